"""HM3; its logits are compared with their twin, path by path, in `test_models.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from registry import make, randomize
from scipy.special import expit
from sklearn.metrics import log_loss

from tafe_tf.models import HM3

ROWS = [4, 3, 5]
IDS = np.array([[1, 2, 4], [3, 0, 0], [2, 1, 3], [0, 2, 1]])
LABELS = np.array([[0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 0, 1]], float)


def test_the_six_probabilities_combine_as_in_the_paper() -> None:
    model = randomize(make("hm3", ROWS, 2, via=[1, 1], dtype="float64"))
    towers = model.towers(model.flatten(model.embed(IDS, False)))
    click, micro, macro_without, macro, buy_without, buy = expit(np.array(model.heads(towers))).T
    any_macro = micro * macro + (1 - micro) * macro_without
    expected = [
        click,
        click * (any_macro * buy + (1 - any_macro) * buy_without),
        click * micro,
        click * any_macro,
    ]
    logits = np.array(model(IDS, training=True))
    np.testing.assert_allclose(expit(logits), np.transpose(expected), rtol=1e-12)
    loss = model.paper_loss()(LABELS, logits)
    each = [log_loss(LABELS[:, i], expected[i]) for i in range(4)]
    assert float(loss) == pytest.approx(sum(each), rel=1e-6)  # the loss computes in float32


@pytest.mark.parametrize(
    ("other", "num_tasks", "via"), [("esm2", 3, [1]), ("esmm", 3, []), ("esmm", 1, [])]
)
def test_one_action_is_esm2_and_none_esmm(other: str, num_tasks: int, via: list[int]) -> None:
    given: dict[str, Any] = {"via": via} if via else {}
    known = randomize(make(other, ROWS, num_tasks, dtype="float64", **given))
    model = make("hm3", ROWS, num_tasks, via=via, dtype="float64")
    # ESM2 has the towers of actions last.
    order = [0, 3, 1, 4, 2] if via else list(range(num_tasks))
    for mine, theirs in zip(model.trainable_variables, known.trainable_variables, strict=True):
        values = theirs.numpy()
        mine.assign(values if "table" in mine.path else values[order])
    np.testing.assert_allclose(model(IDS, training=True), known(IDS, training=True), rtol=1e-12)


def test_errors() -> None:
    with pytest.raises(
        ValueError, match=r"`via` must hold steps from 1 to 1. Received: via=\[1, 2\]"
    ):
        HM3(ROWS, 2, via=[1, 2])
