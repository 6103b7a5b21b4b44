"""The common features in a compact form: sorted 64-bit keys -> a row of ids, and lists in memory-mapped files."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.iterators import in_order
from tafe_tf.data.public.ali_ccp.fields import Protocol
from tafe_tf.data.public.ali_ccp.lists import Lists, single_values, to_lists
from tafe_tf.data.public.ali_ccp.text import UNKNOWN, count_rows, line_blocks, parse

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
        path: the raw file, for messages.
        keys: ascending, uint64 [U].
        order: the row of each key, int64 [U].
        single: ids of the S single fields, int64 [U, S].
        several: whether a single field has several ids, bool [U].
        lists: of the rows, their ids and values memory-mapped.
        unknown: features whose field is none of Ali-CCP's.
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
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.order[place], -1)


def build(
    path: pathlib.Path,
    directory: pathlib.Path,
    protocol: Protocol,
    block_bytes: int,
    on_rows: Callable[[int], None],
) -> None:
    """Writes the compact form of a raw file into `directory`, beside and then renamed; what is there already stays.

    Args:
        path: the raw common file.
        directory: to be made.
        protocol: fields and limits.
        block_bytes: text to read at a time.
        on_rows: called with the number of rows of each block.

    Raises:
        BadRowError: at the first bad row, or a key that stands twice.
        DataError: if the file cannot be read.
    """
    if directory.exists():
        return
    beside = directory.with_name(f"{directory.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    unknown = 0
    files = {name: open(beside / name, "wb") for name in _DTYPES}  # noqa: SIM115
    try:
        for arrays, found in in_order(_compact, _blocks(path, protocol, block_bytes)):
            for name, array in arrays.items():
                array.astype(_DTYPES[name], copy=False).tofile(files[name])
            unknown += found
            on_rows(len(arrays["keys"]))
    finally:
        for file in files.values():
            file.close()
    _check_keys(path, _whole(beside, "keys"))
    (beside / "unknown.json").write_text(json.dumps(unknown), encoding="utf-8")
    os.rename(beside, directory)


def load(path: pathlib.Path, directory: pathlib.Path, protocol: Protocol) -> Common:
    """Opens what `build` wrote."""
    keys, single, several, counts = (
        _whole(directory, name) for name in ("keys", "single", "several", "counts")
    )
    order = np.argsort(keys, kind="stable")
    lists = Lists(
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
        ids=_mapped(directory, "ids"),
        values=_mapped(directory, "values"),
    )
    return Common(
        path=str(path),
        keys=keys[order],
        order=order,
        single=single.reshape(len(order), len(protocol.single)),
        several=several,
        lists=lists,
        unknown=json.loads((directory / "unknown.json").read_text(encoding="utf-8")),
    )


def _blocks(
    path: pathlib.Path, protocol: Protocol, block_bytes: int
) -> Iterator[tuple[Protocol, str, bytes, int]]:
    row = 1
    for block in line_blocks(path, block_bytes):
        yield protocol, str(path), block, row
        row += count_rows(block)


def _compact(item: tuple[Protocol, str, bytes, int]) -> tuple[dict[str, np.ndarray], int]:
    protocol, path, block, first_row = item
    rows = parse(path, block, first_row, protocol.fields, skeleton=False)
    limits = np.array(list(protocol.lists.values()), np.int64)
    single, several = single_values(rows.features, len(protocol.single))
    lists = to_lists(rows.features, len(protocol.single), limits)
    arrays = {
        "keys": rows.keys,
        "single": single,
        "several": several,
        "counts": np.diff(lists.offsets),
    }
    return arrays | {"ids": lists.ids, "values": lists.values}, int(
        (rows.features.field == UNKNOWN).sum()
    )


def _check_keys(path: pathlib.Path, keys: np.ndarray) -> None:
    if not len(keys):
        raise DataError(f"{path}: holds no rows")
    order = np.argsort(keys, kind="stable")
    twice = np.flatnonzero(np.diff(keys[order]) == 0)
    if len(twice):
        place = twice[np.argmin(order[twice + 1])]  # the first row that repeats a key
        first, again = int(order[place]) + 1, int(order[place + 1]) + 1
        rule = f"stands in row {first} already"
        key = f"{int(keys[order[place]]):016x}"
        raise BadRowError(
            f"{path}: row {again}, column 'common_feature_index': {rule}. Received: {key!r}"
        )


def _whole(directory: pathlib.Path, name: str) -> np.ndarray:
    return np.fromfile(directory / name, _DTYPES[name])


def _mapped(directory: pathlib.Path, name: str) -> np.ndarray:
    path = directory / name
    return (
        np.memmap(path, _DTYPES[name], "r") if path.stat().st_size else _whole(directory, name)
    )  # empty: no map
