"""Files -> batches: hold-out, deal to readers, shuffle by seed; resumable at any batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import Batch, Part, concatenate, from_block, take
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.hashing import finalize
from tafe_tf.schema import Schema


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
            raise ValueError(
                f"a batch of {self.batch_size} rows cannot be dealt to {self.readers} readers evenly"
            )
        starts = position.readers or [(0, 0)] * self.readers
        batches = zip(
            *(self._read(reader, position, *starts[reader]) for reader in mine), strict=False
        )
        joined = (self._join(parts, mine) for parts in batches)
        batch = next(joined, None)
        while batch is not None:
            following = next(joined, None)
            yield batch._replace(more=np.array([following is not None]))
            batch = following

    def _join(self, parts: Sequence[Batch], mine: Sequence[int]) -> Batch:
        """One batch from those of some readers; the positions of the other readers are 0."""
        rows = concatenate(parts)
        position = np.zeros((self.readers, 2), np.int64)
        position[list(mine)] = rows.position
        return rows._replace(position=position)

    def _read(
        self, reader: int, position: Position, start_row: int, rows_before: int
    ) -> Iterator[Batch]:
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
            rows = concatenate(parts)
            start = len(rows.labels) - waiting
            while waiting >= size:
                yield take(rows, slice(start, start + size))
                start, waiting, is_first = start + size, waiting - size, False
            parts = [take(rows, slice(start, None), squeeze=False)]
        if is_first and waiting > 0:
            if self.readers > 1:
                raise DataError(
                    f"{', '.join(self.files)}: reader {reader + 1} of {self.readers} has {waiting} rows, fewer than "
                    f"its part of a batch, {size}; take smaller batches or fewer readers"
                )
            yield take(concatenate(parts), slice(0, None))

    def _windows(
        self, order: np.ndarray, reader: int, epoch: int, start: int, before: int
    ) -> Iterator[Batch]:
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

    def _window(
        self, blocks: list[Block], reader: int, start: int, before: int, epoch: int
    ) -> Batch:
        rows = concatenate([self._part(block, "train", reader, start, before) for block in blocks])
        generator = np.random.default_rng([self.seed, epoch, start, reader])
        return take(rows, generator.permutation(len(rows.labels)), squeeze=False)

    def _blocks(self, order: np.ndarray, reader: int, start_row: int = 0) -> Iterator[Block]:
        """Blocks of the files that a reader reads, by `order`."""
        mine = order[reader :: self.readers] if self._by_file else order
        files = [self.files[i] for i in mine]
        for block in read_blocks(files, self.schema, start_row=start_row, bad_rows=self.bad_rows):
            yield dataclasses.replace(block, file=mine[block.file].astype(np.int32))

    @property
    def _by_file(self) -> bool:
        return len(self.files) >= self.readers

    def _part(
        self, block: Block, part: Part, reader: int, start: int = 0, before: int = 0
    ) -> Batch:
        """The block's rows that belong to `part` and reader, as one batch whose position is repeated row by row."""
        rows = from_block(block, self.schema, part, (start, before))
        wanted = (
            np.ones(len(block.row), np.bool_)
            if self._by_file
            else block.row % self.readers == reader
        )
        if part != "all":
            wanted &= self.holdout.mask(block, self.schema.time) == (part == "valid")
        return rows if wanted.all() else take(rows, wanted, squeeze=False)

    def evaluation_batches(self, part: Part, reader: int = 0) -> Iterator[Batch]:
        """All rows of a part and reader in file order, the last, partial batch included."""
        parts: list[Batch] = []
        waiting = 0
        for block in self._blocks(np.arange(len(self.files)), reader):
            parts.append(self._part(block, part, reader))
            waiting += len(parts[-1].labels)
            rows = concatenate(parts)
            full = waiting // self.batch_size * self.batch_size
            for start in range(0, full, self.batch_size):
                yield take(rows, slice(start, start + self.batch_size))
            parts, waiting = [take(rows, slice(full, None), squeeze=False)], waiting - full
        if waiting:
            yield take(parts[0], slice(0, None))
