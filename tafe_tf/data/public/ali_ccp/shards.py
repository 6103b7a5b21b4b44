"""One skeleton file as shards: blocks of rows, joined with their common rows, as Arrow tables, as files."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.data.atomic import write_text
from tafe_tf.data.bad_rows import BadRows, Problem
from tafe_tf.data.formats.write_tables import open_tables
from tafe_tf.data.hashing import finalize
from tafe_tf.data.iterators import in_order
from tafe_tf.data.public.ali_ccp.common import Common
from tafe_tf.data.public.ali_ccp.fields import TASKS, Protocol, column
from tafe_tf.data.public.ali_ccp.lists import Lists, join_list, join_single, single_values, to_lists
from tafe_tf.data.public.ali_ccp.text import UNKNOWN, Rows, count_rows, line_blocks, parse

TEST_SHARE = 0.1  # of the official training rows, in the random split

Counts = collections.Counter[
    str
]  # "<split>/read", "/written", "/dropped", "/several_values"; "unknown"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A skeleton file and what is made of it.

    Attributes:
        split: "train" or "test": the file's own.
        path: of the file.
        common: its common rows.
        protocol: fields and limits.
        seed: of the random split; None for the official one.
        format: "parquet" or "tfrecord".
        block_bytes: text to read at a time.
        shard_blocks: blocks that make a shard.
        data_dir: where shards go.
        work: a hidden folder on the same disk: shards in the making, and a file of counts for each that is whole.
    """

    split: str
    path: pathlib.Path
    common: Common
    protocol: Protocol
    seed: int | None
    format: str
    block_bytes: int
    shard_blocks: int
    data_dir: pathlib.Path
    work: pathlib.Path

    def counts_file(self, shard: int) -> pathlib.Path:
        """Its presence says that a shard is whole."""
        return self.work / f"{self.split}-{shard:05d}.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
    """A block's rows by split, and its counts."""

    shard: int
    tables: dict[str, pa.Table]
    counts: Counts


def write_shards(source: Source, on_rows: Callable[[int], None]) -> Counts:
    """Writes the shards that are missing.

    Args:
        source: the file.
        on_rows: called with the number of rows of each block.

    Returns:
        The counts of all shards.

    Raises:
        BadRowError: at the first bad row, or one whose key no common row has.
        DataError: if a file cannot be read.
    """

    def convert(item: tuple[int, bytes, int]) -> Piece:
        return _piece(source, *item)

    pieces = in_order(convert, _blocks(source))
    for shard, group in itertools.groupby(pieces, key=lambda piece: piece.shard):
        _write_shard(source, shard, group, on_rows)
    total: Counts = collections.Counter()
    for path in sorted(source.work.glob(f"{source.split}-?????.json")):
        total.update(json.loads(path.read_text(encoding="utf-8")))
    return total


def _blocks(source: Source) -> Iterator[tuple[int, bytes, int]]:
    """Shard, text and the first row's number of each block that has to be converted."""
    row = 1
    whole: dict[int, int] = {}  # rows of the shards that are there already
    for index, block in enumerate(line_blocks(source.path, source.block_bytes)):
        shard = index // source.shard_blocks
        path = source.counts_file(shard)
        if index % source.shard_blocks == 0 and path.exists():
            whole[shard] = json.loads(path.read_text(encoding="utf-8"))["rows"]
            row += whole[shard]
        if shard not in whole:
            yield shard, block, row
            row += count_rows(block)


def _piece(source: Source, shard: int, block: bytes, first_row: int) -> Piece:
    rows = parse(source.path, block, first_row, source.protocol.fields, skeleton=True)
    numbers = first_row + np.arange(len(rows.keys))
    users = source.common.find(rows.keys)
    _check_found(source, rows, users, numbers)
    bad = rows.labels[:, 1] & ~rows.labels[:, 0]
    single, several = single_values(rows.features, len(source.protocol.single))
    limits = np.array(list(source.protocol.lists.values()), np.int64)
    lists = to_lists(rows.features, len(source.protocol.single), limits)
    counts: Counts = collections.Counter(
        rows=len(numbers), unknown=int((rows.features.field == UNKNOWN).sum())
    )
    tables = {}
    for split, mask in _splits(source, numbers).items():
        at = np.flatnonzero(mask & ~bad)
        joined, both = join_single(single[at], source.common.single[users[at]])
        columns = {
            name: pa.array(rows.labels[at, i].astype(np.int64)) for i, name in enumerate(TASKS)
        }
        columns |= {
            column(name): pa.array(joined[:, i]) for i, name in enumerate(source.protocol.single)
        }
        for i, name in enumerate(source.protocol.lists):
            part = join_list(lists, source.common.lists, at, users[at], i, limits)
            columns |= _list_columns(column(name), part)
        tables[split] = pa.table(columns)
        counts[f"{split}/read"] = int(mask.sum())
        counts[f"{split}/dropped"] = int((mask & bad).sum())
        counts[f"{split}/written"] = len(at)
        counts[f"{split}/several_values"] = int(
            (several[at] | source.common.several[users[at]] | both).sum()
        )
    return Piece(shard=shard, tables=tables, counts=counts)


def _check_found(source: Source, rows: Rows, users: np.ndarray, numbers: np.ndarray) -> None:
    rule = f"has no row in {pathlib.Path(source.common.path).name}"
    for i in np.flatnonzero(users < 0)[:1]:
        problem = Problem(int(i), "common_feature_index", rule, f"{int(rows.keys[i]):016x}")
        BadRows().judge(str(source.path), numbers, [problem])


def _splits(source: Source, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Which rows belong to which split."""
    if source.seed is None:
        return {source.split: np.ones(len(numbers), bool)}
    is_test = uniform(numbers, source.seed) < TEST_SHARE
    return {"train": ~is_test, "test": is_test}


def uniform(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A hash of each row's number (splitmix64), float64 in [0, 1)."""
    x = numbers.astype(np.uint64) + np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    return np.asarray(finalize(x * np.uint64(0x9E3779B97F4A7C15)) * 2.0**-53)


def _list_columns(name: str, lists: Lists) -> dict[str, pa.Array]:
    offsets = pa.array(lists.offsets, pa.int32())
    values = {name: lists.ids, f"{name}_weights": lists.values}
    return {
        key: pa.ListArray.from_arrays(offsets, pa.array(array)) for key, array in values.items()
    }


def _write_shard(
    source: Source, shard: int, pieces: Iterable[Piece], on_rows: Callable[[int], None]
) -> None:
    """Writes the shard's files into the hidden folder, moves them into place, and then notes the counts."""
    counts: Counts = collections.Counter()
    names = {split: f"{split}-{shard:05d}.{source.format}" for split in ("train", "test")}
    with contextlib.ExitStack() as stack:
        writers: dict[str, Any] = {}
        for piece in pieces:
            for split, table in piece.tables.items():
                if table.num_rows and split not in writers:
                    writers[split] = stack.enter_context(
                        open_tables(source.work / names[split], table.schema)
                    )
                if table.num_rows:
                    writers[split].append(table)
            counts.update(piece.counts)
            on_rows(piece.counts["rows"])
    for split in writers:
        os.replace(source.work / names[split], source.data_dir / names[split])
    write_text(source.counts_file(shard), json.dumps(counts))
