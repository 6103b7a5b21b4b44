"""Columns inside columns: a dotted name reaches into a map, a struct, or lists of structs.

A map of value to weight is two lists: `column = "interests.key"`, `weights = "interests.value"`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.spelling.plain import is_list

_OF_MAPS = ("key", "value")


def root_of(present: Collection[str], name: str) -> str:
    """The column of a table in which a name lies: the one of the whole name, if there is one.

    Args:
        present: The names of the table's columns.
        name: What is looked for, such as "interests.key".

    Returns:
        The longest beginning of the name that is a column; the name itself if none is.
    """
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        beginning = ".".join(parts[:count])
        if beginning in present:
            return beginning
    return name


def type_at(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of what a name stands for in a table, or None if it stands for nothing."""
    root = root_of(schema.names, name)
    if schema.get_field_index(root) < 0:
        return None
    kind = schema.field(root).type
    for part in _rest(root, name):
        kind = _inner_type(kind, part)
        if kind is None:
            return None
    return kind


def column_at(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    """The values of what a name stands for in a table; `type_at` must have found it.

    Example:
        >>> import pyarrow as pa
        >>> kind = pa.map_(pa.string(), pa.float64())
        >>> table = pa.table({"interests": pa.array([[("golf", 0.5), ("chess", 2.0)], None], kind)})
        >>> column_at(table, "interests.key").to_pylist()
        [['golf', 'chess'], None]
        >>> column_at(table, "interests.value").to_pylist()
        [[0.5, 2.0], None]
    """
    root = root_of(table.schema.names, name)
    array = table.column(root)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    for part in _rest(root, name):
        array = _inner(array, part)
    return array


def parts_to_read(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """What a Parquet file must read for some names, each once, in Parquet's own dotted names.

    Of a struct only the fields that are needed are read; a map is read whole.
    """
    paths = []
    for name in names:
        root = root_of(schema.names, name)
        path = root
        kind = schema.field(root).type
        for part in _rest(root, name):
            if not pa.types.is_struct(kind):
                break
            path = f"{path}.{part}"
            kind = kind.field(part).type
        paths.append(path)
    return list(dict.fromkeys(paths))


def _rest(root: str, name: str) -> list[str]:
    """The steps from a column to what a name stands for."""
    if root == name:
        return []
    return name[len(root) + 1 :].split(".")


def _inner_type(kind: pa.DataType, part: str) -> pa.DataType | None:
    """The type of a part of a value, or None if its type has no such part."""
    if pa.types.is_struct(kind):
        index = kind.get_field_index(part)
        return kind.field(index).type if index >= 0 else None
    if pa.types.is_map(kind):
        if part not in _OF_MAPS:
            return None
        return pa.list_(kind.key_type if part == "key" else kind.item_type)
    if is_list(kind):
        inner = _inner_type(kind.value_type, part)
        return None if inner is None else pa.list_(inner)
    return None


def _inner(array: pa.Array, part: str) -> pa.Array:
    """A part of each value; missing where the value itself is missing."""
    kind = array.type
    if pa.types.is_struct(kind):
        return pc.struct_field(array, part)
    if pa.types.is_map(kind):
        keys_and_items = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        array = array.cast(pa.list_(keys_and_items))
    parts = _inner(array.flatten(), part)
    counts = pc.fill_null(pc.list_value_length(array), 0)
    ends = np.cumsum(counts.to_numpy(zero_copy_only=False))
    offsets = pa.array(np.append(0, ends), pa.int32())
    return pa.ListArray.from_arrays(offsets, parts, mask=array.is_null())
