"""Files -> batches: hold-out, shuffle by seed, batch, features; resumable at any batch."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tafe_tf.data.files import read_blocks
from tafe_tf.data.hashing import finalize
from tafe_tf.data.rows import BadRows, Block, DataError
from tafe_tf.schema import Schema

Part = Literal["train", "valid", "all"]


class Batch(NamedTuple):
    """One batch as the loop sees it; B rows, N tasks.

    Attributes:
        inputs: raw columns, or what `Features` made of them.
        labels: float32 [B, N]; in training [B, N + A], with the actions of the A tasks that have `via` last.
        weight: sample weights, float32 [B]; ones where the schema has none.
        file: index of each row's file, int32 [B].
        row: each row's number inside its file, from 1, int64 [B].
        position: int64 [R, 2]; where each of the R readers would start reading for this batch, see `Position`.
        more: whether this pass has another batch after this one, bool [1].
        extra: further columns that evaluation reads (group, truth), by column name; none in training.
    """

    inputs: Any
    labels: Any
    weight: Any
    file: Any
    row: Any
    position: Any
    more: Any
    extra: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Position:
    """Where training stands in its input.

    Attributes:
        epoch: the running epoch, from 0.
        batch: batches of it already trained on.
        readers: of each reader, a raw row of its order at which a shuffle window begins, and how many rows the windows
            before it gave; empty at the beginning of an epoch.
    """

    epoch: int = 0
    batch: int = 0
    readers: Sequence[tuple[int, int]] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holdout:
    """Which rows of the training files are kept for validation.

    Attributes:
        fraction: share of rows, drawn by a hash of the row's place in the files; 0 for none, 1 for all.
        time: if not None, rows with a time of this or later are held out instead.
    """

    fraction: float = 0.0
    time: float | None = None

    def mask(self, block: Block, time_column: str) -> np.ndarray:
        """True for the rows held out, [n]."""
        if self.time is not None:
            return np.asarray(block.columns[time_column] >= self.time)
        place = (block.file.astype(np.uint64) << np.uint64(40)) + block.row.astype(np.uint64)
        return finalize(place + np.uint64(0x9E3779B97F4A7C15)) < np.uint64(self.fraction * 2.0**53)


def time_holdout(files: list[str], schema: Schema, fraction: float, bad_rows: BadRows) -> Holdout:
    """Holds out the latest `fraction` of the rows; rows of one moment stay together."""
    blocks = read_blocks(files, schema, bad_rows=bad_rows, columns=[schema.time])
    times = np.sort(np.concatenate([block.columns[schema.time] for block in blocks]))
    return Holdout(fraction=fraction, time=float(times[round((1.0 - fraction) * (len(times) - 1))]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunnelData:
    """A split's files and how to read them.

    Attributes:
        files: the shards, sorted.
        schema: the dataset.
        batch_size: B.
        seed: of the shuffle.
        shuffle_rows: at least this many consecutive rows are shuffled as one window.
        readers: R. The files are dealt to so many readers, each of which gives B / R rows of every batch; where there
            are fewer files each reads all of them and takes every R-th row. Any number of processes that share the
            readers see the same batches.
        holdout: which rows belong to validation.
        bad_rows: what to do with bad rows.
    """

    files: list[str]
    schema: Schema
    batch_size: int
    seed: int = 0
    shuffle_rows: int = 1 << 18
    readers: int = 1
    holdout: Holdout = Holdout()
    bad_rows: BadRows = dataclasses.field(default_factory=BadRows)

    def training_batches(self, position: Position, mine: Sequence[int] = (0,)) -> Iterator[Batch]:
        """The epoch's batches from `position` on, in an order that the seed and the epoch fix.

        Shards are read in a random order, windows of `shuffle_rows` are permuted whole. The pass ends with the first
        reader that has no full batch left; a single reader gives a partial one if it is the only one.

        Args:
            position: where to begin.
            mine: the readers whose rows to give.

        Raises:
            DataError: if one of several readers has less than a batch.
            ValueError: if a batch cannot be dealt to the readers.
        """
        if self.batch_size % self.readers:
            raise ValueError(f"a batch of {self.batch_size} rows cannot be dealt to {self.readers} readers evenly")
        starts = position.readers or [(0, 0)] * self.readers
        batches = zip(*(self._read(reader, position, *starts[reader]) for reader in mine), strict=False)
        joined = (self._join(parts, mine) for parts in batches)
        batch = next(joined, None)
        while batch is not None:
            following = next(joined, None)
            yield batch._replace(more=np.array([following is not None]))
            batch = following

    def _join(self, parts: Sequence[Batch], mine: Sequence[int]) -> Batch:
        """One batch from those of some readers; the positions of the other readers are 0."""
        rows = _concatenate(parts)
        position = np.zeros((self.readers, 2), np.int64)
        position[list(mine)] = rows.position
        return rows._replace(position=position)

    def _read(self, reader: int, position: Position, start_row: int, rows_before: int) -> Iterator[Batch]:
        """One reader's part of the batches."""
        size = self.batch_size // self.readers
        order = np.random.default_rng([self.seed, position.epoch]).permutation(len(self.files))
        parts: list[Batch] = []
        skip = position.batch * size - rows_before
        waiting, is_first = -skip, position.batch == 0
        for window in self._windows(order, reader, position.epoch, start_row, rows_before):
            parts, waiting = [*parts, window], waiting + len(window.labels)
            if waiting < size:
                continue
            rows = _concatenate(parts)
            start = len(rows.labels) - waiting
            while waiting >= size:
                yield _take(rows, slice(start, start + size))
                start, waiting, is_first = start + size, waiting - size, False
            parts = [_take(rows, slice(start, None), squeeze=False)]
        if is_first and waiting > 0:
            if self.readers > 1:
                raise DataError(
                    f"{', '.join(self.files)}: reader {reader + 1} of {self.readers} has {waiting} rows, fewer than "
                    f"its part of a batch, {size}; take smaller batches or fewer readers"
                )
            yield _take(_concatenate(parts), slice(0, None))

    def _windows(self, order: np.ndarray, reader: int, epoch: int, start: int, before: int) -> Iterator[Batch]:
        blocks: list[Block] = []
        size = 0
        for block in self._blocks(order, reader, start):
            blocks, size = [*blocks, block], size + block.raw_rows
            if size >= self.shuffle_rows:
                window = self._window(blocks, reader, start, before, epoch)
                yield window
                start, before, blocks, size = start + size, before + len(window.labels), [], 0
        if blocks:
            yield self._window(blocks, reader, start, before, epoch)

    def _window(self, blocks: list[Block], reader: int, start: int, before: int, epoch: int) -> Batch:
        rows = _concatenate([self._part(block, "train", reader, start, before) for block in blocks])
        generator = np.random.default_rng([self.seed, epoch, start, reader])
        return _take(rows, generator.permutation(len(rows.labels)), squeeze=False)

    def _blocks(self, order: np.ndarray, reader: int, start_row: int = 0) -> Iterator[Block]:
        """Blocks of the files that a reader reads, by `order`."""
        mine = order[reader :: self.readers] if self._by_file else order
        files = [self.files[i] for i in mine]
        for block in read_blocks(files, self.schema, start_row=start_row, bad_rows=self.bad_rows):
            yield dataclasses.replace(block, file=mine[block.file].astype(np.int32))

    @property
    def _by_file(self) -> bool:
        return len(self.files) >= self.readers

    def _part(self, block: Block, part: Part, reader: int, start: int = 0, before: int = 0) -> Batch:
        """The block's rows that belong to `part` and reader, as one batch whose position is repeated row by row."""
        schema = self.schema
        n = len(block.row)
        rows = Batch(
            inputs={column.name: block.columns[column.name] for column in schema.inputs},
            labels=_with_actions(block, schema) if part == "train" else block.labels.astype(np.float32),
            weight=block.columns[schema.sample_weight] if schema.sample_weight else np.ones(n, np.float32),
            file=block.file,
            row=block.row,
            position=np.tile(np.array([start, before], np.int64), (n, 1)),
            more=np.ones(n, np.bool_),
            extra={} if part == "train" else {name: block.columns[name] for name in _evaluation_columns(schema)},
        )
        wanted = np.ones(n, np.bool_) if self._by_file else block.row % self.readers == reader
        if part != "all":
            wanted &= self.holdout.mask(block, schema.time) == (part == "valid")
        return rows if wanted.all() else _take(rows, wanted, squeeze=False)

    def evaluation_batches(self, part: Part, reader: int = 0) -> Iterator[Batch]:
        """All rows of a part and reader in file order, the last, partial batch included."""
        parts: list[Batch] = []
        waiting = 0
        for block in self._blocks(np.arange(len(self.files)), reader):
            parts.append(self._part(block, part, reader))
            waiting += len(parts[-1].labels)
            rows = _concatenate(parts)
            full = waiting // self.batch_size * self.batch_size
            for start in range(0, full, self.batch_size):
                yield _take(rows, slice(start, start + self.batch_size))
            parts, waiting = [_take(rows, slice(full, None), squeeze=False)], waiting - full
        if waiting:
            yield _take(parts[0], slice(0, None))


def deal(batches: Iterator[Batch], replicas: int) -> Iterator[Batch]:
    """Each batch in equal pieces, one a replica; the first one's position is the batch's, the others' are 0.

    After the last batch its pieces come again without end: what reads ahead never meets one.

    Raises:
        DataError: if a batch cannot be cut so.
    """
    pieces: list[Batch] = []
    for batch in batches:
        rows = len(batch.labels)
        if rows % replicas:
            raise DataError(f"a batch of {rows} rows cannot be cut into equal pieces for {replicas} replicas")
        cuts = [slice(rows * i // replicas, rows * (i + 1) // replicas) for i in range(replicas)]
        whole = batch._replace(position=(), more=())
        pieces = [
            _take(whole, cut, squeeze=False)._replace(position=batch.position * (i == 0), more=batch.more)
            for i, cut in enumerate(cuts)
        ]
        yield from pieces
    yield from itertools.cycle(pieces)


def _concatenate(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _take(rows: Batch, which: slice | np.ndarray, squeeze: bool = True) -> Batch:
    """Some of the rows; with `squeeze` the position of the first one stands for the batch."""
    taken = tf.nest.map_structure(lambda array: array[which], rows)
    return taken._replace(position=taken.position[:1], more=taken.more[:1]) if squeeze else taken


class Stream:
    """A tf.data pipeline over a generator of batches that keeps the generator's own error.

    Args:
        batches: makes the generator.
        schema: the dataset.
        part: what the batches are of.
        transform: raw inputs -> model inputs, run in the pipeline.

    Attributes:
        dataset: `Batch`es of tensors.
    """

    def __init__(
        self, batches: Callable[[], Iterator[Batch]], schema: Schema, part: Part, transform: Callable[..., Any]
    ) -> None:
        self._batches = batches
        self._error: Exception | None = None
        dataset = tf.data.Dataset.from_generator(self._generate, output_signature=_signature(schema, part))
        dataset = dataset.map(lambda batch: batch._replace(inputs=transform(batch.inputs)), num_parallel_calls=2)
        self.dataset = dataset.prefetch(4)

    def _generate(self) -> Iterator[Batch]:
        try:
            yield from self._batches()
        except Exception as error:
            self._error = error
            raise

    def reraise(self, error: Exception) -> None:
        """Raises what went wrong in the generator, or else `error` itself."""
        raise (self._error or error) from None


def _with_actions(block: Block, schema: Schema) -> np.ndarray:
    actions = [block.columns[schema.tasks[i].via] for i in schema.via]
    return np.column_stack([block.labels, *actions]).astype(np.float32)


def _evaluation_columns(schema: Schema) -> list[str]:
    return [name for name in (schema.group, *(task.truth for task in schema.tasks)) if name]


def _signature(schema: Schema, part: Part) -> Batch:
    columns = {c.name: tf.TensorSpec([None, c.max_length] if c.max_length else [None], c.dtype) for c in schema.columns}
    return Batch(
        inputs={c.name: columns[c.name] for c in schema.inputs},
        labels=tf.TensorSpec([None, len(schema.tasks) + (len(schema.via) if part == "train" else 0)], tf.float32),
        weight=tf.TensorSpec([None], tf.float32),
        file=tf.TensorSpec([None], tf.int32),
        row=tf.TensorSpec([None], tf.int64),
        position=tf.TensorSpec([None, 2], tf.int64),
        more=tf.TensorSpec([1], tf.bool),
        extra={} if part == "train" else {name: columns[name] for name in _evaluation_columns(schema)},
    )
