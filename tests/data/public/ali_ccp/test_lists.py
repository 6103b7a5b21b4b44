"""Which values of a list are kept."""

from __future__ import annotations

import numpy as np

from tafe_tf.data.public.ali_ccp.lists import largest


def test_the_largest_of_a_cell_keep_their_places() -> None:
    cell = np.array([0, 0, 0, 0, 2, 2])
    values = np.array([1, 3, 1, 3, 5, 4], np.float32)
    assert largest(cell, values, np.array([3, 1, 1])).tolist() == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]
    assert largest(cell, values, np.array([4, 0, 2])).all()
