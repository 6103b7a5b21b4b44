"""MMOE."""

from __future__ import annotations

import numpy as np
import pytest
from registry import make

from tafe_tf.models import MMOE

ROWS = [4, 3, 5]
IDS = np.array([[1, 2, 4], [3, 0, 0]])


def test_an_own_loss_counts_once_in_pieces() -> None:
    model = make("mmoe+dselect_k", ROWS, 3, entropy_weight=0.5)
    model(IDS, training=True)
    whole = float(sum(model.losses))
    model.pieces = 2
    model(IDS, training=True)
    assert float(sum(model.losses)) == pytest.approx(whole, rel=1e-5)


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"`num_tasks` must be 1 or more. Received: num_tasks=0"):
        MMOE(ROWS, 0)
    with pytest.raises(
        ValueError, match=r"must be a power of two, .* Received: 3 experts, num_selected=2"
    ):
        MMOE(ROWS, 2, num_experts=3, gate="dselect_k")
    with pytest.raises(
        ValueError, match=r"`gate` must be 'softmax' or 'dselect_k'. Received: gate='top_k'"
    ):
        MMOE(ROWS, 2, gate="top_k")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match=r"`num_experts` must be 1 or more. Received: num_experts=0"
    ):
        MMOE(ROWS, 2, num_experts=0)
