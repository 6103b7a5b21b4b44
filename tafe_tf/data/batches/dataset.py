"""Files -> batches: held-out rows apart, dealt to readers, shuffled by seed, resumable anywhere.

The way of a row in training, one function a step:

    a format's reader       a file's rows as Arrow arrays, in chunks that `rechunk` cuts to size
    read_blocks, to_block   checked NumPy arrays, without bad rows
    FunnelData._windows     the reader's training rows of several blocks, shuffled as one window
    rechunk                 again, from windows to the reader's part of each batch
    FunnelData._batches     one `Batch` of the parts of all readers of this process
    deal                    its pieces, one for each replica
    Stream                  a tf.data pipeline of them, where `Features` makes ids of raw values
    SyncSteps               takes a piece, and calls the model
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import (
    Batch,
    Part,
    Rows,
    columns_of,
    extra_columns_of,
    target_columns_of,
)
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.position import Position
from tafe_tf.data.batches.unseen import UnseenDraw, UnseenIds
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.maturity import Now, ages, as_logged, without_immature
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.hashing import of_places
from tafe_tf.data.iterators import Span, rechunk
from tafe_tf.schema import Schema

_Chunk: TypeAlias = "list[Span[Rows]]"  # one reader's part of a batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class FunnelData:
    """A split's files and how to read them.

    Attributes:
        files: The paths of the shards, sorted; tables in memory may stand in their places.
        schema: What to read, and the rules for it.
        batch_size: B, the rows of a batch.
        seed: Of the shuffle. Default: 0.
        shuffle_rows: At least this many consecutive rows are shuffled as one window. Default:
            262,144.
        readers: R. The files are dealt to so many readers, each of which gives B / R rows of every
            batch. If there are fewer files than readers, each reader reads all files and takes
            every R-th row. Any number of processes that share the readers see the same batches.
            Default: 1.
        holdout: Which rows belong to validation. Default: none.
        keep_negatives: The share of the training rows without the first step that training batches
            hold, drawn by a hash of the row's place and the seed. Each stands for 1 / share rows by
            its weight. Default: 1.0, all of them.
        unseen: Which ids training batches take for those of unseen values. Default: none.
        now: As of when labels are judged that mature (`Task.matures_after`): a datetime64[ns]
            if the rows' times are dates or times, else a number. Default: None, all labels are
            taken as they are.
        gives_ages: Whether training batches hold labels as they were logged, also those that have
            not matured, and the age of each row, by which a loss can judge them. All other batches
            are as of `now` in any case. It needs `now`. Default: False.
        bad_rows: What to do with bad rows. Default: raise at the first.
        beside: Further files that tell whether a column exists which a TFRecord file lacks, such as
            those that a model was trained on. Default: none.
    """

    files: Sequence[str | ArrowRows]
    schema: Schema
    batch_size: int
    seed: int = 0
    shuffle_rows: int = 1 << 18
    readers: int = 1
    holdout: Holdout = dataclasses.field(default_factory=Holdout)
    keep_negatives: float = 1.0
    unseen: UnseenIds = dataclasses.field(default_factory=UnseenIds)
    now: Now | None = None
    gives_ages: bool = False
    bad_rows: BadRows = dataclasses.field(default_factory=BadRows)
    beside: Sequence[str | ArrowRows] = ()

    @property
    def paths(self) -> list[str]:
        """The files, where all of them are files.

        Raises:
            DataError: If one is a table in memory.
        """
        for file in self.files:
            if isinstance(file, ArrowRows):
                raise DataError(f"{file}: are rows in memory, where a file is needed")
        return [str(file) for file in self.files]

    def training_batches(
        self,
        position: Position,
        mine: Sequence[int] = (0,),
    ) -> Iterator[Batch]:
        """Gives the epoch's batches from a position on, in an order that seed and epoch fix.

        Files are read in a random order, and windows of `shuffle_rows` rows are permuted whole. The
        pass ends with the first reader that has no full batch left. Only if a single reader has
        less than one batch altogether, it gives that.

        Args:
            position: Where to begin.
            mine: The readers whose rows to give. Default: the first.

        Raises:
            DataError: If one of several readers has less than a batch, or no row at all.
            ValueError: If a batch cannot be dealt to the readers evenly.
        """
        size = self._rows_a_reader()
        starts = position.readers or [(0, 0)] * self.readers
        chunks = []
        for reader in mine:
            start, before = starts[reader]
            windows = self._windows(
                "train",
                reader,
                start,
                before,
                position.epoch,
            )
            passed = position.batch * size - before
            chunks.append(rechunk(windows, size, skip=passed))
        in_step = zip(*chunks, strict=False)
        numbered = enumerate(in_step, position.batch)
        full = itertools.takewhile(self._is_full, numbered)
        batches = (parts for _, parts in full)
        draw = None
        if self.unseen:
            draw = UnseenDraw(
                self.unseen,
                self.schema,
                seed=self.seed,
                epoch=position.epoch,
            )
        return self._batches(
            batches,
            "train",
            self.keep_negatives,
            draw,
        )

    def evaluation_batches(
        self,
        part: Part,
        reader: int = 0,
    ) -> Iterator[Batch]:
        """Gives all rows of a part in file order, the last, partial batch included.

        Args:
            part: "train" or "valid" for the rows that `holdout` leaves or picks, or "all".
            reader: The reader whose rows to give, B of them in a batch. Default: the first.

        Raises:
            DataError: If a file cannot be read.
        """
        windows = self._windows(part, reader)
        chunks = rechunk(windows, self.batch_size)
        one_reader = zip(chunks, strict=True)
        return self._batches(one_reader, part)

    def kept_columns(self, names: Sequence[str], part: Part = "all") -> pa.Table:
        """Reads columns of a part as they are, of the schema or not, in the order of evaluation.

        Args:
            names: Of columns with one value a row.
            part: "train", "valid" or "all". Default: "all".

        Raises:
            DataError: If a file cannot be read or lacks a column.
            ValueError: If a column holds lists.
        """
        tables = []
        blocks = read_blocks(
            self.files,
            self.schema,
            beside=self.beside,
            bad_rows=self.bad_rows,
            keep=names,
        )
        for block in blocks:
            which = self._pick([block], part, reader=0)
            tables.append(pa.table({name: block.kept[name] for name in names}).take(which))
        return pa.concat_tables(tables, promote_options="permissive")

    def _rows_a_reader(self) -> int:
        if self.batch_size % self.readers:
            rule = f"cannot be dealt to {self.readers} readers evenly"
            raise ValueError(f"a batch of {self.batch_size} rows {rule}")
        return self.batch_size // self.readers

    def _is_full(self, numbered: tuple[int, tuple[_Chunk, ...]]) -> bool:
        """Whether the parts of a batch, numbered inside its epoch, are as long as they must be."""
        number, parts = numbered
        size = self._rows_a_reader()
        for chunk in parts:
            count = sum(span.stop - span.start for span in chunk)
            if count == size:
                continue
            if number > 0:
                return False
            if self.readers > 1:
                files = ", ".join(str(file) for file in self.files)
                reader = f"reader {chunk[0].piece.reader + 1} of {self.readers}"
                raise DataError(
                    f"{files}: {reader} has {count} rows, fewer than its part of a batch, {size}; "
                    "take smaller batches or fewer readers"
                )
        return True

    def _windows(
        self,
        part: Part,
        reader: int,
        start: int = 0,
        before: int = 0,
        epoch: int | None = None,
    ) -> Iterator[Rows]:
        """Gives the rows of a part that belong to a reader, window by window.

        Args:
            part: What rows.
            reader: whose.
            start: The raw row of the reader's order at which to begin.
            before: How many rows the windows before this row gave.
            epoch: Whose order to read and to shuffle in; None for the order of the files,
                unshuffled, where each block is a window.
        """
        names = columns_of(self.schema, part)
        order = self._file_order(reader, epoch)
        files = [self.files[i] for i in order]
        read = read_blocks(
            files,
            self.schema,
            start_row=start,
            split=None if len(files) == len(self.files) else self.files,
            beside=self.beside,
            bad_rows=self.bad_rows,
        )
        window_rows = 1 if epoch is None else self.shuffle_rows
        has_ages = self.gives_ages and epoch is not None
        blocks: list[Block] = []
        raw_rows = 0
        for block in itertools.chain(read, [None]):
            if block is not None:
                block = self._judged(block, has_ages)
                file = order[block.file].astype(np.int32)
                blocks.append(dataclasses.replace(block, file=file))
                raw_rows += block.raw_rows
                is_whole = block.ends or epoch is None
                if raw_rows < window_rows or not is_whole:
                    continue
            if not blocks:
                break
            which = self._pick(blocks, part, reader)
            if epoch is not None:
                which = which[self._kept(blocks, which)]
                seeds = [self.seed, epoch, start, reader]
                generator = np.random.default_rng(seeds)
                which = which[generator.permutation(len(which))]
            columns = {}
            for name in names:
                columns[name] = _gather([block.columns[name] for block in blocks], which)
            yield Rows(
                columns=columns,
                labels=_gather([block.labels for block in blocks], which),
                file=_gather([block.file for block in blocks], which),
                row=_gather([block.row for block in blocks], which),
                reader=reader,
                position=(start, before),
                age=self._ages(blocks, which) if has_ages else None,
            )
            start += raw_rows
            before += len(which)
            blocks = []
            raw_rows = 0
        if epoch is not None and start == 0:
            names_of_files = ", ".join(str(file) for file in files)
            which_reader = f"reader {reader + 1} of {self.readers}"
            raise DataError(f"{names_of_files}: {which_reader} has no rows; take fewer readers")

    def _judged(self, block: Block, is_logged: bool) -> Block:
        """A block with its labels as of `now`, or as they were logged by then."""
        if self.now is None:
            return block
        judge = as_logged if is_logged else without_immature
        return judge(block, self.schema, self.now)

    def _ages(self, blocks: Sequence[Block], which: np.ndarray) -> np.ndarray:
        """How old some rows are in seconds, by their places among those of all blocks."""
        if self.now is None:
            raise ValueError("ages are as of a time, `now`, which was not given")
        of_blocks = [ages(block, self.now) for block in blocks]
        return _gather(of_blocks, which)

    def _file_order(self, reader: int, epoch: int | None) -> np.ndarray:
        """The indices of the files that a reader reads, in its order."""
        count = len(self.files)
        order = np.arange(count)
        if epoch is not None:
            generator = np.random.default_rng([self.seed, epoch])
            order = generator.permutation(count)
        if not self._by_file:
            return order
        return order[reader :: self.readers]

    @property
    def _by_file(self) -> bool:
        """Whether readers share the files, rather than the rows of every file."""
        return len(self.files) >= self.readers

    def _pick(
        self,
        blocks: Sequence[Block],
        part: Part,
        reader: int,
    ) -> np.ndarray:
        """The indices of the rows that belong to a part and a reader, among those of all blocks."""
        masks = []
        for block in blocks:
            mask = np.ones(len(block.row), np.bool_)
            if not self._by_file:
                mask &= block.row % self.readers == reader
            if part == "valid":
                mask &= self.holdout.mask(block)
            elif part == "train":
                mask &= self.holdout.training_mask(block)
            masks.append(mask)
        return np.flatnonzero(np.concatenate(masks))

    def _kept(self, blocks: Sequence[Block], which: np.ndarray) -> np.ndarray:
        """Which of some rows, by their places among those of all blocks, training keeps, bool."""
        if self.keep_negatives >= 1.0:
            return np.ones(len(which), np.bool_)
        first = _gather([block.labels[:, 0] for block in blocks], which)
        hashes = of_places(
            _gather([block.file for block in blocks], which),
            _gather([block.row for block in blocks], which),
            stream=self.seed + 1,
        )
        is_drawn = hashes < np.uint64(self.keep_negatives * 2.0**53)
        return (first != 0) | is_drawn

    def _batches(
        self,
        chunks: Iterable[tuple[_Chunk, ...]],
        part: Part,
        kept: float = 1.0,
        draw: UnseenDraw | None = None,
    ) -> Iterator[Batch]:
        """Makes a batch of each item, which holds the parts of several readers.

        Of the rows without the first step, `kept` is the share that they hold; `draw` says which
        ids are taken for unseen ones.
        """
        schema = self.schema
        names = columns_of(schema, part)
        further = target_columns_of(schema) if part == "train" else []
        extra = [] if part == "train" else extra_columns_of(schema)
        to_the_end: Iterator[Any] = itertools.chain(chunks, [None])
        for parts, following in itertools.pairwise(to_the_end):
            shape = (self.readers, 2)
            position = np.zeros(shape, np.int64)
            for chunk in parts:
                first = chunk[0].piece
                position[first.reader] = first.position
            spans = list(itertools.chain.from_iterable(parts))
            columns = {}
            for name in names:
                columns[name] = _joined(spans, lambda rows, name=name: rows.columns[name])
            labels = _joined(spans, lambda rows: rows.labels)
            if schema.sample_weight:
                weight = columns[schema.sample_weight]
            else:
                weight = np.ones(len(labels), np.float32)
            if kept < 1.0:
                weight = np.where(labels[:, 0] == 0, weight / kept, weight)
                weight = weight.astype(np.float32)
            taken = [_target(columns[name]) for name in further]
            targets = np.column_stack([labels, *taken])
            if schema.step_weights:
                weight = _weights_of_steps(targets.shape, weight, columns, schema)
            targets = targets.astype(np.float32)
            file = _joined(spans, lambda rows: rows.file)
            row = _joined(spans, lambda rows: rows.row)
            has_ages = spans[0].piece.age is not None
            yield Batch(
                inputs={column.name: columns[column.name] for column in schema.inputs},
                labels=targets,
                weight=weight,
                file=file,
                row=row,
                position=position,
                more=np.array([following is not None]),
                extra={name: columns[name] for name in extra},
                unseen=draw.mask(file, row) if draw else (),
                age=_joined(spans, lambda rows: rows.age) if has_ages else (),
            )


def _weights_of_steps(
    shape: tuple[int, ...],
    row_weight: np.ndarray,
    columns: Mapping[str, np.ndarray],
    schema: Schema,
) -> np.ndarray:
    """The weight of each row's steps, actions and amount, float32 of the labels' shape."""
    weights = np.empty(shape, np.float32)
    weights[:] = row_weight[:, None]
    for i, task in enumerate(schema.tasks):
        if task.weight_column:
            weights[:, i] *= columns[task.weight_column]
    last = schema.tasks[-1].weight_column
    has_amount = shape[1] > len(schema.tasks) + len(schema.actions)
    if has_amount and last:
        weights[:, -1] *= columns[last]
    return weights


def _target(values: np.ndarray) -> np.ndarray:
    """A target as the loss takes it: an amount that is not known, NaN, is 0."""
    return np.nan_to_num(values) if values.dtype.kind == "f" else values


def _gather(parts: list[np.ndarray], which: np.ndarray) -> np.ndarray:
    """Some rows of consecutive arrays, by their places in all of them together."""
    whole = np.concatenate(parts)
    return whole[which]


def _joined(
    spans: Iterable[Span[Rows]],
    array_of: Callable[..., np.ndarray],
) -> np.ndarray:
    """The rows of all spans, one span after the other, of one of the arrays that they have."""
    parts = []
    for rows, start, stop in spans:
        array = array_of(rows)
        parts.append(array[start:stop])
    return np.concatenate(parts)
