"""Ids outside the rows of their field, which would read and train the next field's rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops

from tafe_tf.types import Tensor


def check_ids(
    ids: Tensor,
    field_rows: Sequence[int],
    slots: Sequence[int],
    names: Sequence[str] = (),
) -> None:
    """Raises if an id lies outside its field's rows; symbols have no values and are passed over.

    Args:
        ids: Integers [B, S].
        field_rows: The number of rows of each field.
        slots: The number of ids of each field; S is their sum.
        names: The names of the fields, for the message. By default, they are numbered from 1.

    Raises:
        ValueError: Naming the row, from 1, the field, its number of rows, and the id.

    Example:
        >>> check_ids([[0, 3]], field_rows=[2, 4], slots=[1, 1])
        >>> check_ids([[0, 4]], field_rows=[2, 4], slots=[1, 1], names=["user", "item"])
        Traceback (most recent call last):
        ValueError: row 1: an id of field 'item' must be from 0 to 3. Received: 4
    """
    values = _values(ids)
    if values is None:
        return
    limits = np.repeat(field_rows, slots)  # [S]
    is_outside = (values < 0) | (values >= limits)
    if not is_outside.any():
        return
    row, slot = np.argwhere(is_outside)[0]
    field = np.repeat(np.arange(len(slots)), slots)[slot]
    name = repr(names[field]) if names else f"{field + 1} of {len(slots)}"
    rule = f"must be from 0 to {limits[slot] - 1}"
    raise ValueError(f"row {row + 1}: an id of field {name} {rule}. Received: {values[row, slot]}")


def _values(ids: Tensor) -> np.ndarray | None:
    """The ids as an array; None for what stands for ids in a graph or a traced function."""
    try:
        return ops.convert_to_numpy(ids)
    except Exception:  # each backend has an exception of its own
        return None
