"""Values of Arrow arrays as texts."""

from __future__ import annotations

import pyarrow as pa

from tafe_tf.data.spelling.missing_texts import without_missing
from tafe_tf.data.spelling.plain import is_bytes, is_text, plain
from tafe_tf.data.spelling.refusal import refusal
from tafe_tf.schema import Column

_LARGEST_DECIMAL = 76  # digits of the widest decimal type


def texts(
    array: pa.Array,
    column: Column,
    missing: tuple[str, ...],
    source: str,
) -> pa.Array:
    """Gives values as texts, see the table in `tafe_tf.data.spelling`.

    Args:
        array: The values, [n].
        column: What the schema says of them, for messages.
        missing: The texts that mean a missing value.
        source: The file or the table, for messages.

    Returns:
        Texts, or bytes where the array holds bytes, with null for each missing value, [n].

    Raises:
        DataError: If values of this type have no one text, and not all of them are missing.
    """
    array = plain(array)
    found = _as_text(array)
    if found is not None:
        return without_missing(found, missing)
    is_missing = array.is_null(nan_is_null=True)
    if is_missing.true_count < len(array):
        raise refusal(array, column, source)
    return pa.nulls(len(array), pa.string())


def _as_text(array: pa.Array) -> pa.Array | None:
    """The values as texts or bytes, or None if values of this type have no one text."""
    kind = array.type
    if is_text(kind) or is_bytes(kind):
        return array
    if pa.types.is_integer(kind) or pa.types.is_date32(kind):
        return array.cast(pa.string())
    if pa.types.is_date64(kind):
        return array.cast(pa.date32()).cast(pa.string())
    if pa.types.is_decimal(kind) and kind.scale <= 0:
        whole = pa.decimal256(_LARGEST_DECIMAL, 0)
        return array.cast(whole).cast(pa.string())
    if pa.types.is_fixed_size_binary(kind):
        digits = [None if value is None else value.hex() for value in array.to_pylist()]
        return pa.array(digits, pa.string())
    return None
