"""Writes the shards of a dataset and the records of those that are whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import pathlib
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.data.atomic import publish
from tafe_tf.data.bad_rows import BadRows, Dropped
from tafe_tf.data.blocks.to_table import not_text, to_table
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import BLOCK_ROWS, read_blocks
from tafe_tf.data.formats.write_tables import open_tables
from tafe_tf.data.manifest import entry
from tafe_tf.data.shards.job import EXTENSIONS, Piece, Record, ShardJob
from tafe_tf.data.shards.resumable_parts import Cut, merge, read_parts
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import is_remote


def convert(job: ShardJob, piece: Piece) -> Iterator[int]:
    """Writes the shards of a piece, and their records.

    Args:
        job: The job.
        piece: A part of what is left of it.

    Yields:
        The number of rows of each block, once it is written.

    Raises:
        DataError: If a file, or a row of it, cannot be used. Shards before it are finished.
    """
    cuts = read_parts(
        piece.path,
        job.schema,
        job.shard_rows,
        job.on_bad_row,
        piece.first,
        piece.stop,
        split=job.files[piece.split],
        block_rows=min(job.shard_rows, BLOCK_ROWS),
    )
    for first in cuts:
        yield from _write(
            job,
            piece,
            piece.path,
            itertools.chain([first], cuts),
        )


def _write(
    job: ShardJob,
    piece: Piece,
    path: str,
    cuts: Iterator[Cut],
) -> Iterator[int]:
    """Writes one shard, up to the cut that ends it; none where no row is good."""
    written = 0
    dropped = 0
    reasons: list[Dropped] = []
    with _beside(job) as beside:
        with contextlib.ExitStack() as stack:
            writer: Any = None
            for cut in cuts:
                table, bad, why = _table(job, path, cut)
                if table.num_rows:
                    if writer is None:
                        tables = open_tables(beside, table.schema)
                        writer = stack.enter_context(tables)
                        types = table.schema
                    writer.append(_of_types(table, types, path))
                written += table.num_rows
                dropped += bad
                reasons = merge([*reasons, *why])
                yield cut.block.raw_rows
                if cut.ends:
                    break
        shard = None
        if written:
            _check(beside, job.schema, written)
            shard = entry(beside)
            publish(beside, job.shard(piece.split, piece.file, cut.part))
        record = Record(
            written=written,
            dropped=dropped,
            reasons=reasons,
            last=cut.last,
            shard=shard,
        )
        text = json.dumps(record.to_json())
        beside.write_text(text, encoding="utf-8")
        publish(beside, job.record(piece.split, piece.file, cut.part))


@contextlib.contextmanager
def _beside(job: ShardJob) -> Iterator[pathlib.Path]:
    """A name of this machine to write under, before what was written is published."""
    # Another worker may write the same shard at the same time.
    name = f"{uuid.uuid4().hex}.tmp{EXTENSIONS[job.format]}"
    if not is_remote(job.output):
        yield pathlib.Path(job.work, name)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder, name)


def _table(
    job: ShardJob,
    path: str,
    cut: Cut,
) -> tuple[pa.Table, int, list[Dropped]]:
    """A cut's rows, the number of bad ones and why they are bad.

    Some rows are bad only because a table does not take their text.
    """
    try:
        table = to_table(cut.block, job.schema)
        return table, cut.dropped, cut.reasons
    except pa.ArrowInvalid:
        bad_rows = BadRows(job.on_bad_row)
        problems = not_text(cut.block, job.schema)
        bad_rows.judge(path, cut.block.row, problems)
        not_texts = [problem.index for problem in problems]
        good = np.ones(len(cut.block.row), bool)
        good[not_texts] = False
        table = to_table(cut.block.take(good), job.schema)
        dropped, reasons = bad_rows.take()
        dropped += cut.dropped
        reasons = [*cut.reasons, *reasons]
        return table, dropped, reasons


def _of_types(
    table: pa.Table,
    types: pa.Schema,
    path: str,
) -> pa.Table:
    """The rows in the types of those before, from which only times of several kinds differ.

    Raises:
        DataError: If that would change a value.
    """
    if table.schema == types:
        return table
    try:
        return table.cast(types)
    except (pa.ArrowException, ValueError) as error:
        names = [field.name for field in types if table.schema.field(field.name) != field]
        rule = "must be of one kind in all rows, such as 1.0 beside 1.5"
        raise DataError(f"{path}: column {names[0]!r} {rule}: {error}") from None


def _check(
    path: pathlib.Path,
    schema: Schema,
    written: int,
) -> None:
    """Raises OSError if a shard does not read as it was written."""
    blocks = read_blocks(
        [str(path)],
        schema,
        bad_rows=BadRows(),
    )
    rows = sum(len(block.row) for block in blocks)
    if rows != written:
        raise OSError(f"{path}: holds {rows} rows of {written}")
