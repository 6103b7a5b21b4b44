"""ESM2."""

from __future__ import annotations

import pytest

from tafe_tf.models import ESM2


def test_an_action_before_the_first_step_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"`via` must hold different steps from 1 to 1. Received: via=\[0\]"
    ):
        ESM2([4, 3, 5], 2, via=[0])
