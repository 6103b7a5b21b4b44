"""Blocks of rows, in parts where the rows are heavy, so that memory is bounded by bytes as well.

Nothing but memory depends on where a block is cut: what goes by blocks, as shuffling does, goes by
whole ones.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.formats.nested import column_at
from tafe_tf.data.formats.reader import Chunk, Wanted, table_of
from tafe_tf.data.iterators import Span, cut
from tafe_tf.data.spelling.plain import holds_texts, is_list, plain

MOST_BYTES = 64 << 20  # of a block; what is at a time in memory is a few times as much
_STEP_ROWS = 1 << 13  # after so many rows of a block, what they weigh is looked at

S = TypeVar("S", pa.RecordBatch, np.ndarray)


class _Step(NamedTuple):
    """Some rows of a block."""

    rows: int
    ends: bool


def bounded(
    pieces: Iterable[S],
    block_rows: int,
    weigh: Callable[[Span[S]], int],
    *,
    skip: int = 0,
    first: int = 0,
) -> Iterator[tuple[list[Span[S]], bool]]:
    """Deals the rows of all pieces into blocks, and a block of heavy rows into several parts.

    Where a block is cut depends on its own rows alone, and not on where reading began.

    Args:
        pieces: Arrow batches or arrays of records.
        block_rows: The rows of a block; the last block holds what is left.
        weigh: Gives the bytes of a span.
        skip: Rows to pass over before the first block. Default: 0.
        first: The rows of the first block that are left, if it was begun. Default: 0, all.

    Yields:
        The spans of each part, and whether the block ends with it.
    """
    steps, of_rows = itertools.tee(_steps(block_rows, first))
    held: list[Span[S]] = []
    weight = 0
    for spans, step in zip(cut(pieces, (step.rows for step in of_rows), skip), steps, strict=False):
        if weight >= MOST_BYTES:
            yield held, False
            held, weight = [], 0
        for span in spans:
            weight += weigh(span)
            _append(held, span)
        if step.ends:
            yield held, True
            held, weight = [], 0
    if held:
        yield held, True


def chunks_of(
    batches: Iterable[pa.RecordBatch],
    wanted: Wanted,
    *,
    done: int,
    skip: int,
) -> Iterator[Chunk]:
    """Gives the wanted columns of Arrow batches, a block or a part of one at a time.

    Args:
        batches: The batches.
        wanted: What to read.
        done: The rows of the source that were read or passed over before.
        skip: The rows of the batches that are among them.
    """
    first = wanted.block_rows - done % wanted.block_rows
    weigh = functools.partial(weigh_batch, padding=wanted.padding)
    for spans, ends in bounded(
        batches,
        wanted.block_rows,
        weigh,
        skip=skip,
        first=first,
    ):
        table = table_of(spans)
        columns = {}
        for name in wanted.names:
            columns[name] = column_at(table, name)
        end = done + table.num_rows
        rows = np.arange(done + 1, end + 1)
        done = end
        yield Chunk(columns, rows, [], ends)


def weigh_batch(span: Span[pa.RecordBatch], padding: int) -> int:
    """The bytes of some rows of a batch.

    Args:
        span: The rows.
        padding: The bytes that the padded lists of a row take once they are arrays.
    """
    batch, start, stop = span
    rows = stop - start
    part = batch.slice(start, rows)
    hidden = sum(map(_hidden_bytes, part.columns))
    return int(part.nbytes) + hidden + rows * padding


def _hidden_bytes(array: pa.Array) -> int:
    """The bytes of texts that are stored once and stand in many rows."""
    if is_list(array.type):
        return _hidden_bytes(array.flatten())
    if not pa.types.is_dictionary(array.type) or not holds_texts(array.type):
        return 0
    lengths = pc.binary_length(plain(array.dictionary))
    return pc.sum(lengths.take(array.indices)).as_py() or 0


def _steps(block_rows: int, first: int) -> Iterator[_Step]:
    """The rows after which the weight of a block is looked at, and whether the block ends there."""
    place = block_rows - first if first else 0
    while True:
        to_step = _STEP_ROWS - place % _STEP_ROWS
        rows = min(to_step, block_rows - place)
        place = (place + rows) % block_rows
        yield _Step(rows, place == 0)


def _append(held: list[Span[S]], span: Span[S]) -> None:
    """Adds a span, to the last one if it goes on with it."""
    if held and held[-1].piece is span.piece and held[-1].stop == span.start:
        held[-1] = held[-1]._replace(stop=span.stop)
    else:
        held.append(span)
