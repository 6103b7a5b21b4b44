"""Arrow arrays without the ways in which Arrow stores their values."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_NAMES = {
    pa.float16(): "float16",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.uuid(): "UUID",
}


def plain(array: pa.Array) -> pa.Array:
    """Gives the values themselves.

    Dictionaries and run-end encoded arrays become what they encode, views become texts or bytes,
    UUIDs their canonical texts, and extension types whose values are those of their storage become
    the storage.
    """
    kind = array.type
    if isinstance(kind, pa.UuidType):
        return _uuids(array)
    if isinstance(kind, pa.Bool8Type):
        return array.cast(pa.bool_())
    if isinstance(kind, pa.JsonType | pa.FixedShapeTensorType):
        return plain(array.storage)
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(array))
    if pa.types.is_dictionary(kind):
        return plain(array.dictionary).take(array.indices)  # Arrow decodes no views
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if pa.types.is_binary_view(kind):
        return array.cast(pa.large_binary())
    return array


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is of texts, with offsets of 32 or 64 bits."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a type is of bytes of any length, with offsets of 32 or 64 bits."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def holds_texts(kind: pa.DataType) -> bool:
    """Whether a type is of texts or bytes, however they are stored."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return holds_texts(kind.value_type)
    is_view = pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)
    return bool(is_view or is_text(kind) or is_bytes(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is of lists: of any length, of a fixed one, or views."""
    are_lists = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(is_of(kind) for is_of in are_lists)


def decoded(array: pa.Array) -> pa.Array:
    """Bytes as texts; what is not UTF-8 becomes a text that shows its bytes."""
    kind = pa.large_string() if pa.types.is_large_binary(array.type) else pa.string()
    try:
        return array.cast(kind)
    except pa.ArrowInvalid:
        texts = []
        for value in array.to_pylist():
            text = None if value is None else value.decode(errors="backslashreplace")
            texts.append(text)
        return pa.array(texts, kind)


def name_of(kind: pa.DataType) -> str:
    """A type's name as NumPy, pandas and the schema write it."""
    return _NAMES.get(kind, str(kind))


def _uuids(array: pa.Array) -> pa.Array:
    texts: list[str | None] = []
    for value in array.storage.to_pylist():
        if value is None:
            texts.append(None)
            continue
        digits = value.hex()
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        texts.append("-".join(parts))
    return pa.array(texts, pa.string())
