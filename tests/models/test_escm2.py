"""ESCM2."""

from __future__ import annotations

import pytest

from tafe_tf.models import ESCM2


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"`estimator` must be 'ips', 'dr' or 'naive'. Received: estimator='snips'"
    ):
        ESCM2([4, 3, 5], 2, estimator="snips")  # type: ignore[arg-type]
