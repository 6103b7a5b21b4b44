"""The terms check themselves; `tests/training/test_warm_start.py` has them at work."""

from __future__ import annotations

import math

import pytest

from tafe_tf.export.publish_terms import Terms


@pytest.mark.parametrize("name", ["max_auc_loss", "max_log_loss_rise"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_margins_are_finite_and_not_negative(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be finite and not negative. Received: "):
        Terms(**{name: value})  # type: ignore[arg-type]
