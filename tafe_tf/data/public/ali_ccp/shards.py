"""One skeleton file as shards: blocks of rows, joined with their common rows."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tafe_tf.data import manifest
from tafe_tf.data.atomic import publish, read_json, write_text
from tafe_tf.data.bad_rows import BadRows, Problem
from tafe_tf.data.formats.write_tables import open_tables
from tafe_tf.data.hashing import finalize
from tafe_tf.data.iterators import in_order
from tafe_tf.data.public.ali_ccp.common import Common
from tafe_tf.data.public.ali_ccp.fields import TASKS, Protocol, column
from tafe_tf.data.public.ali_ccp.lists import (
    Lists,
    join_list,
    join_single,
    single_values,
    to_lists,
)
from tafe_tf.data.public.ali_ccp.raw_files import count_rows, line_blocks
from tafe_tf.data.public.ali_ccp.text import UNKNOWN, Lines, parse

TEST_SHARE = 0.1  # of the official training rows, in the random split

# Keys: "<split>/" and "read", "written", "dropped" or "several_values"; "rows"; "unknown".
Counts = collections.Counter[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A skeleton file and what is made of it.

    Attributes:
        split: The file's own split, "train" or "test".
        path: The file.
        common: Its common rows.
        protocol: Fields and limits.
        seed: The seed of the random split; None for the official one.
        format: "parquet" or "tfrecord".
        block_bytes: How much text to read at a time.
        shard_blocks: How many blocks make a shard.
        data_dir: The folder for the shards.
        work: A hidden folder on the same disk, for shards in the making and for a file of counts of
            each that is whole.
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
        """A file whose presence says that a shard is whole: its counts, and what its files hold."""
        return self.work / f"{self.split}-{shard:05d}.json"


class _Block(NamedTuple):
    """Lines of a skeleton file, the shard that they go to, and the number of the first row."""

    shard: int
    text: bytes
    first_row: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Joined:
    """A block's rows by split, joined with their common rows, and its counts."""

    shard: int
    tables: dict[str, pa.Table]
    counts: Counts


def write_shards(source: Source, on_rows: Callable[[int], None]) -> Counts:
    """Writes the shards that are missing or damaged; prints a line for each damaged one.

    Args:
        source: The skeleton file and what is made of it.
        on_rows: Called with the number of rows of each block.

    Returns:
        The counts of all shards.

    Raises:
        BadRowError: At the first bad row, or one whose key no common row has.
        DataError: If a file cannot be read.
    """
    _forget_damaged(source)
    join = functools.partial(_join, source)
    blocks = in_order(join, _blocks(source))
    by_shard = itertools.groupby(blocks, key=lambda joined: joined.shard)
    for shard, group in by_shard:
        _write_shard(source, shard, group, on_rows)
    total: Counts = collections.Counter()
    for path in sorted(source.work.glob(f"{source.split}-?????.json")):
        total.update(read_json(path)["counts"])
    return total


def find_shards(directory: pathlib.Path, format: str) -> list[str]:
    """The names of all shards in a folder."""
    return sorted(path.name for path in directory.glob(f"t*-?????.{format}"))


def _forget_damaged(source: Source) -> None:
    """Removes the counts of shards that do not hold what was written."""
    for path in sorted(source.work.glob(f"{source.split}-?????.json")):
        noted = read_json(path).get("files")
        if noted is None:  # an earlier version of this package wrote it
            path.unlink()
            continue
        different = manifest.differences(source.data_dir, noted)
        if different:
            print(f"{source.data_dir}: {different[0]}; it is written again", flush=True)
            path.unlink()


def _blocks(source: Source) -> Iterator[_Block]:
    """Each block that has to be converted."""
    row = 1
    whole: dict[int, int] = {}  # rows of the shards that are there already
    texts = line_blocks(source.path, source.block_bytes)
    for index, text in enumerate(texts):
        shard = index // source.shard_blocks
        path = source.counts_file(shard)
        if index % source.shard_blocks == 0 and path.exists():
            whole[shard] = read_json(path)["counts"]["rows"]
            row += whole[shard]
        if shard not in whole:
            yield _Block(shard, text, row)
            row += count_rows(text)


def _join(source: Source, block: _Block) -> _Joined:
    """Parses a block and joins its rows with their common rows."""
    protocol = source.protocol
    lines = parse(
        source.path,
        block.text,
        block.first_row,
        protocol.fields,
        skeleton=True,
    )
    numbers = block.first_row + np.arange(len(lines.keys))
    users = source.common.find(lines.keys)
    _check_found(source, lines, users, numbers)
    is_unknown = lines.features.field == UNKNOWN
    counts: Counts = collections.Counter(
        rows=len(numbers),
        unknown=int(is_unknown.sum()),
    )
    click = lines.labels[:, 0]
    conversion = lines.labels[:, 1]
    is_bad = conversion & ~click
    own = _Own.of(lines, protocol)
    tables = {}
    for split, is_in_split in _splits(source, numbers).items():
        rows = np.flatnonzero(is_in_split & ~is_bad)
        tables[split], several = _table(
            source,
            lines,
            own,
            rows,
            users[rows],
        )
        counts[f"{split}/read"] = int(is_in_split.sum())
        counts[f"{split}/dropped"] = int((is_in_split & is_bad).sum())
        counts[f"{split}/written"] = len(rows)
        counts[f"{split}/several_values"] = several
    return _Joined(shard=block.shard, tables=tables, counts=counts)


class _Own(NamedTuple):
    """What the lines of a block say themselves: n rows, S single fields, L lists.

    Attributes:
        single: The ids of the single fields, int64 [n, S].
        several: Whether a row has several ids of a single field, bool [n].
        lists: The lists, cut.
        limits: How many ids are kept of each list, int64 [L].
    """

    single: np.ndarray
    several: np.ndarray
    lists: Lists
    limits: np.ndarray

    @classmethod
    def of(cls, lines: Lines, protocol: Protocol) -> _Own:
        fields = len(protocol.single)
        limits = np.array(list(protocol.lists.values()), np.int64)
        single, several = single_values(lines.features, fields)
        lists = to_lists(lines.features, fields, limits)
        return cls(single, several, lists, limits)


def _table(
    source: Source,
    lines: Lines,
    own: _Own,
    rows: np.ndarray,
    users: np.ndarray,
) -> tuple[pa.Table, int]:
    """Some rows of a block with their common rows, and how many have several ids of one field."""
    common = source.common
    joined, in_both = join_single(
        own.single[rows],
        common.single[users],
    )
    columns = {}
    for i, name in enumerate(TASKS):
        labels = lines.labels[rows, i].astype(np.int64)
        columns[name] = pa.array(labels)
    for i, name in enumerate(source.protocol.single):
        columns[column(name)] = pa.array(joined[:, i])
    for i, name in enumerate(source.protocol.lists):
        part = join_list(
            own.lists,
            common.lists,
            rows,
            users,
            i,
            own.limits,
        )
        columns |= _list_columns(column(name), part)
    several = own.several[rows] | common.several[users] | in_both
    return pa.table(columns), int(several.sum())


def _check_found(
    source: Source,
    lines: Lines,
    users: np.ndarray,
    numbers: np.ndarray,
) -> None:
    """Raises BadRowError for the first row whose key no common row has."""
    rule = f"has no row in {pathlib.Path(source.common.path).name}"
    for i in np.flatnonzero(users < 0)[:1]:
        key = f"{int(lines.keys[i]):016x}"
        problem = Problem(int(i), "common_feature_index", rule, key)
        BadRows().judge(str(source.path), numbers, [problem])


def _splits(source: Source, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Which rows belong to which split, bool [n] each."""
    if source.seed is None:
        return {source.split: np.ones(len(numbers), bool)}
    is_test = uniform(numbers, source.seed) < TEST_SHARE
    return {"train": ~is_test, "test": is_test}


def uniform(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A hash of each row's number (splitmix64), float64 in [0, 1)."""
    start = np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    x = numbers.astype(np.uint64) + start
    x = x * np.uint64(0x9E3779B97F4A7C15)
    hashes = finalize(x)  # 0 to 2^53 - 1
    return np.asarray(hashes * 2.0**-53)


def _list_columns(name: str, lists: Lists) -> dict[str, pa.Array]:
    """The column of a list's ids and that of its weights."""
    offsets = pa.array(lists.offsets, pa.int32())
    flat_ids = pa.array(lists.ids)
    flat_weights = pa.array(lists.values)
    return {
        name: pa.ListArray.from_arrays(offsets, flat_ids),
        f"{name}_weights": pa.ListArray.from_arrays(offsets, flat_weights),
    }


def _write_shard(
    source: Source,
    shard: int,
    blocks: Iterable[_Joined],
    on_rows: Callable[[int], None],
) -> None:
    """Writes the shard's files into the hidden folder and moves them; the counts come last."""
    counts: Counts = collections.Counter()
    names = {split: f"{split}-{shard:05d}.{source.format}" for split in ("train", "test")}
    with contextlib.ExitStack() as stack:
        writers: dict[str, Any] = {}
        for block in blocks:
            for split, table in block.tables.items():
                if not table.num_rows:
                    continue
                if split not in writers:
                    writer = open_tables(source.work / names[split], table.schema)
                    writers[split] = stack.enter_context(writer)
                writers[split].append(table)
            counts.update(block.counts)
            on_rows(block.counts["rows"])
    files = manifest.entries(source.work, [names[split] for split in writers])
    for name in files:
        publish(source.work / name, source.data_dir / name)
    write_text(source.counts_file(shard), json.dumps({"counts": counts, "files": files}))
