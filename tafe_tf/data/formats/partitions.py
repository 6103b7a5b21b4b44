"""Folders whose names hold values, as Hive and Spark write them: `dt=2026-11-18/hour=03/part-0`.

A key is a column of every file below its folder. Its values are texts, as the folders' names have
them, so "03" keeps its zero; a feature of numbers reads them as it reads any text. Every folder on
the absolute path counts, so that a file has the same columns however it was named.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import pathlib
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.reader import Chunk, Reader, Wanted, check_not_in_file
from tafe_tf.storage.addresses import absolute

_MISSING = "__HIVE_DEFAULT_PARTITION__"


def keys_of(path: str | pathlib.Path) -> dict[str, str | None]:
    """The keys of a file's folders and their values; None is a missing value.

    Raises:
        DataError: If two of its folders have the same key.

    Example:
        >>> keys_of("/log/dt=2026-11-18/shop=Caf%C3%A9/user=__HIVE_DEFAULT_PARTITION__/part-0.csv")
        {'dt': '2026-11-18', 'shop': 'Café', 'user': None}
    """
    found: dict[str, str | None] = {}
    for folder in pathlib.Path(absolute(path)).parent.parts:
        if not is_partition(folder):
            continue
        key, _, value = folder.partition("=")
        key = urllib.parse.unquote(key)
        if key in found:
            raise DataError(f"{path}: two folders have the key {key!r}; rename one of them")
        found[key] = None if value == _MISSING else urllib.parse.unquote(value)
    return found


def is_partition(folder: str) -> bool:
    """Whether the name of a folder holds a key and its value."""
    return folder.find("=") > 0


def check_same_keys(files: Sequence[str]) -> None:
    """Raises DataError unless all files lie in folders of the same keys, or none does."""
    if not files:
        return
    first = keys_of(files[0])
    for path in files[1:]:
        keys = keys_of(path)
        for key in first.keys() ^ keys.keys():
            with_key, without = (files[0], path) if key in first else (path, files[0])
            raise DataError(
                f"{without}: lies in no folder {key}=VALUE, and {with_key} does; give files of "
                "the same keys"
            )


def with_keys(read: Reader) -> Reader:
    """A reader that gives the keys of a file's folders as columns too."""
    return functools.partial(_read, read)


def _read(
    read: Reader,
    path: Any,
    wanted: Wanted,
    skip: int,
) -> Iterator[Chunk]:
    keys = keys_of(path)
    own = {name: keys[name] for name in wanted.names if name in keys}
    if not own:
        yield from read(path, wanted, skip)
        return
    of_file = dataclasses.replace(
        wanted,
        names=[name for name in wanted.names if name not in own],
        of_folders=list(own),
    )
    for chunk in read(path, of_file, skip):
        if chunk.columns is None:
            yield chunk
            continue
        columns = dict(chunk.columns)
        for key, value in own.items():
            columns[key] = column_of(value, len(chunk.rows))
        yield chunk._replace(columns=columns)


def column_of(value: str | None, rows: int) -> pa.Array:
    """A key's value as a column of so many rows."""
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def add_keys(path: str, table: pa.Table) -> pa.Table:
    """A table of all columns of a file, with the keys of its folders.

    Raises:
        DataError: If a key is a column of the file as well.
    """
    keys = keys_of(path)
    check_not_in_file(path, keys, table.schema.names)
    for key, value in keys.items():
        table = table.append_column(key, column_of(value, table.num_rows))
    return table


def names_within(files: Sequence[str]) -> list[str]:
    """The names of files, with those of the folders that hold values: dt=2026-11-18/part-0.csv.

    Files of one name that lie in other folders have their paths within the folder that all files
    share. So no two files have one name, and a data set that was moved keeps its names.

    Example:
        >>> names_within(["/log/dt=1/part-0.csv", "/log/dt=2/part-0.csv"])
        ['dt=1/part-0.csv', 'dt=2/part-0.csv']
        >>> names_within(["/log/a/part-0.csv", "/log/b/part-0.csv", "/log/b/part-1.csv"])
        ['a/part-0.csv', 'b/part-0.csv', 'part-1.csv']
    """
    names = [_with_partitions(path) for path in files]
    counts = collections.Counter(names)
    if len(counts) == len(names):
        return names
    places = [absolute(path) for path in files]
    root = os.path.commonpath([os.path.dirname(path) for path in places])
    found = []
    for path, name in zip(places, names, strict=True):
        is_unique = counts[name] == 1
        found.append(name if is_unique else pathlib.Path(path).relative_to(root).as_posix())
    return found


def _with_partitions(path: str) -> str:
    *folders, name = pathlib.Path(absolute(path)).parts
    return "/".join([*filter(is_partition, folders), name])
