"""ESM2."""

from __future__ import annotations

import numpy as np
import pytest
from registry import make

from tafe_tf.models import ESM2


def test_an_action_before_the_first_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`via` must hold steps from 1 to 1. Received: via=\[0\]"):
        ESM2([4, 3, 5], 2, via=[0])


def test_of_several_actions_the_last_one_is_read() -> None:
    ids = np.array([[1, 2, 4], [3, 0, 0]])
    one, several = (make("esm2", [4, 3, 5], 3, via=via) for via in ([1, 2], [1, 1, 2]))
    several.set_weights(one.get_weights())
    logits = one(ids, training=True)
    np.testing.assert_array_equal(several(ids, training=True), logits)
    labels = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 0]], float)
    micro = 1.0 - labels[:, 3:4]  # of the action before, which nobody reads
    with_micro = np.concatenate([labels[:, :3], micro, labels[:, 3:]], axis=1)
    expected = float(one.paper_loss()(labels, logits))
    assert float(several.paper_loss()(with_micro, logits)) == expected
