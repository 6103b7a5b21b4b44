"""The common features in a compact form: sorted 64-bit keys, each with a row of ids and lists.

The lists lie in memory-mapped files.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tafe_tf.data.atomic import publish, read_json
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.iterators import in_order
from tafe_tf.data.public.ali_ccp.fields import Protocol
from tafe_tf.data.public.ali_ccp.lists import Lists, single_values, to_lists
from tafe_tf.data.public.ali_ccp.raw_files import count_rows, line_blocks
from tafe_tf.data.public.ali_ccp.text import UNKNOWN, parse

_UNKNOWN = "unknown.json"
_DTYPES: dict[str, Any] = {
    "keys": np.uint64,  # [U]
    "single": np.int64,  # [U, S]
    "several": np.bool_,  # [U]
    "counts": np.int64,  # [U, L]
    "ids": np.int64,
    "values": np.float32,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """U common rows.

    Attributes:
        path: The raw file, for messages.
        keys: The rows' keys, ascending, uint64 [U].
        order: The row of each key, int64 [U].
        single: The ids of the S single fields, int64 [U, S].
        several: Whether a single field has several ids, bool [U].
        lists: The rows' lists; their ids and values are memory-mapped.
        unknown: The number of features whose field is none of Ali-CCP's.
    """

    path: str
    keys: np.ndarray
    order: np.ndarray
    single: np.ndarray
    several: np.ndarray
    lists: Lists
    unknown: int

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The common row of each key, -1 where there is none; int64 [n]."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        last = len(self.keys) - 1
        place = np.searchsorted(self.keys, keys)
        place = np.minimum(place, last)
        is_found = self.keys[place] == keys
        return np.where(is_found, self.order[place], -1)


def build(
    path: pathlib.Path,
    directory: pathlib.Path,
    protocol: Protocol,
    block_bytes: int,
    on_rows: Callable[[int], None],
) -> None:
    """Writes the compact form of a raw file into a folder, under another name until it is whole.

    Args:
        path: The raw common file.
        directory: The folder; if it is there already, nothing is done.
        protocol: Fields and limits.
        block_bytes: How much text to read at a time.
        on_rows: Called with the number of rows of each block.

    Raises:
        BadRowError: At the first bad row, or a key that stands twice.
        DataError: If the file cannot be read.
    """
    if directory.exists():
        return
    beside = directory.with_name(f"{directory.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    unknown = 0
    files = {name: open(beside / name, "wb") for name in _DTYPES}  # noqa: SIM115
    try:
        blocks = _blocks(path, protocol, block_bytes)
        for compact in in_order(_compact, blocks):
            for name, array in compact.arrays.items():
                stored = array.astype(_DTYPES[name], copy=False)
                stored.tofile(files[name])
            unknown += compact.unknown
            on_rows(len(compact.arrays["keys"]))
    finally:
        for file in files.values():
            file.close()
    _check_keys(path, _whole(beside, "keys"))
    text = json.dumps(unknown)
    (beside / _UNKNOWN).write_text(text, encoding="utf-8")
    publish(beside, directory)


def load(
    path: pathlib.Path,
    directory: pathlib.Path,
    protocol: Protocol,
) -> Common:
    """Opens what `build` wrote."""
    keys = _whole(directory, "keys")
    order = np.argsort(keys, kind="stable")
    single = _whole(directory, "single")
    single = single.reshape(len(keys), len(protocol.single))
    start = np.zeros(1, np.int64)
    ends = np.cumsum(_whole(directory, "counts"))
    lists = Lists(
        offsets=np.concatenate([start, ends]),
        ids=_mapped(directory, "ids"),
        values=_mapped(directory, "values"),
    )
    return Common(
        path=str(path),
        keys=keys[order],
        order=order,
        single=single,
        several=_whole(directory, "several"),
        lists=lists,
        unknown=read_json(directory / _UNKNOWN),
    )


class _Block(NamedTuple):
    """Lines of the raw file, and the number of the first row."""

    protocol: Protocol
    path: str
    text: bytes
    first_row: int


class _Compact(NamedTuple):
    """A block's part of each file, and the number of its features of unknown fields."""

    arrays: dict[str, np.ndarray]
    unknown: int


def _blocks(
    path: pathlib.Path,
    protocol: Protocol,
    block_bytes: int,
) -> Iterator[_Block]:
    row = 1
    for text in line_blocks(path, block_bytes):
        yield _Block(protocol, str(path), text, row)
        row += count_rows(text)


def _compact(block: _Block) -> _Compact:
    protocol = block.protocol
    rows = parse(
        block.path,
        block.text,
        block.first_row,
        protocol.fields,
        skeleton=False,
    )
    fields = len(protocol.single)
    limits = np.array(list(protocol.lists.values()), np.int64)
    single, several = single_values(rows.features, fields)
    lists = to_lists(rows.features, fields, limits)
    arrays = {
        "keys": rows.keys,
        "single": single,
        "several": several,
        "counts": np.diff(lists.offsets),
        "ids": lists.ids,
        "values": lists.values,
    }
    is_unknown = rows.features.field == UNKNOWN
    return _Compact(arrays, int(is_unknown.sum()))


def _check_keys(path: pathlib.Path, keys: np.ndarray) -> None:
    if not len(keys):
        raise DataError(f"{path}: holds no rows")
    order = np.argsort(keys, kind="stable")
    steps = np.diff(keys[order])
    twice = np.flatnonzero(steps == 0)
    if not len(twice):
        return
    place = twice[np.argmin(order[twice + 1])]  # the first row that repeats a key
    first = int(order[place]) + 1
    again = int(order[place + 1]) + 1
    where = f"{path}: row {again}, column 'common_feature_index'"
    key = f"{int(keys[order[place]]):016x}"
    raise BadRowError(f"{where}: stands in row {first} already. Received: {key!r}")


def _whole(directory: pathlib.Path, name: str) -> np.ndarray:
    return np.fromfile(directory / name, _DTYPES[name])


def _mapped(directory: pathlib.Path, name: str) -> np.ndarray:
    path = directory / name
    if path.stat().st_size == 0:  # what is empty cannot be mapped
        return _whole(directory, name)
    return np.memmap(path, _DTYPES[name], "r")
