"""Reads files block by block, whatever their format."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.convert import to_block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import csv_files, in_memory, orc_files, parquet_files
from tafe_tf.data.formats.csv_header import read_header
from tafe_tf.data.formats.file_kinds import format_of
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.partitions import with_keys
from tafe_tf.data.formats.reader import Chunk, Reader, Wanted
from tafe_tf.schema import Column, Schema
from tafe_tf.shown import listed, shown

BLOCK_ROWS = 1 << 16
_NUMBER_BYTES = 8  # of an entry of a padded list


def _read_tfrecord(*arguments: Any) -> Iterator[Chunk]:
    """Reads a TFRecord file; only then is TensorFlow imported, which takes seconds."""
    from tafe_tf.data.formats import tfrecord_files

    yield from tfrecord_files.read(*arguments)


_READERS: dict[str, Reader] = {
    ".csv": csv_files.read,
    ".tsv": csv_files.read,
    ".parquet": parquet_files.read,
    ".orc": orc_files.read,
    ".tfrecord": _read_tfrecord,
}


def count_rows(path: str) -> int | None:
    """Rows of a Parquet file, from its footer; None for formats that do not say.

    Raises:
        DataError: If the file is no Parquet file or is damaged.
    """
    if format_of(path) != ".parquet":
        return None
    return parquet_files.count_rows(path)


def read_blocks(
    files: Sequence[str | ArrowRows],
    schema: Schema,
    *,
    bad_rows: BadRows,
    block_rows: int = BLOCK_ROWS,
    start_row: int = 0,
    split: Sequence[str | ArrowRows] | None = None,
    beside: Sequence[str | ArrowRows] = (),
    columns: Sequence[str] | None = None,
    labels: bool = True,
    keep: Sequence[str] = (),
) -> Iterator[Block]:
    """Reads files, or tables in memory, in the given order.

    A block holds `block_rows` rows, and the last block of each file holds what is left, before bad
    rows are dropped. So the same rows in the same files give the same blocks in every format. A
    block of more than 64 MiB comes in parts, see `Block.ends`. A file without rows gives no block.

    Args:
        files: Paths, or rows in memory.
        schema: What to read, and the rules for it.
        bad_rows: What to do with bad rows.
        block_rows: The rows of a block. Default: 65,536.
        start_row: Rows to pass over first, counted over all files; CSV rows of a wrong width do not
            count. Default: 0.
        split: All files of the split, where `files` are only some of them. They tell whether a
            column exists that a TFRecord file lacks. Of a part of a split that has no rows, which
            is no error then, the last block is empty. Default: None, `files` are the split.
        beside: Further files that tell whether a column exists which a TFRecord file lacks, such as
            those that a model was trained on. Default: none.
        columns: The names of the columns to read. Default: None, all of `schema.columns`.
        labels: Whether to read and check the labels; they are left out anyway if `columns` is
            given. Default: True.
        keep: The names of columns to deliver as Arrow arrays as well, of the schema or not, with
            one value a row. Default: none.

    Raises:
        DataError: For a file that cannot be used; the message starts with its name. Also if there
            is no row at all.
        BadRowError: At the first bad row, unless `bad_rows` drops them; or if it drops too many, at
            the latest after the last block of a whole pass.
        ValueError: If `columns` names none or an unknown column, or `keep` one that holds lists.
    """
    known = {column.name: column for column in schema.columns}
    _check_asked_for(known, columns, keep)
    asked_for = schema.columns
    if columns is not None:
        asked_for = tuple(column for column in asked_for if column.name in columns)
    labels = labels and columns is None
    names = [column.name for column in asked_for]
    if labels:
        names += schema.labels
    names += keep
    wanted = Wanted(
        names=list(dict.fromkeys(names)),
        lists={column.name for column in schema.columns if column.max_length},
        numbers=_numbers(known, names),
        block_rows=block_rows,
        padding=sum(_NUMBER_BYTES * column.max_length for column in asked_for),
        delimiter=schema.delimiter,
        quote=schema.quote,
        elsewhere=functools.partial(
            _has_column,
            [*(split or files), *beside],
            max(block_rows, BLOCK_ROWS),
        ),
        note=bad_rows.note,
    )
    convert = functools.partial(
        to_block,
        columns=asked_for,
        keep={name: known.get(name) for name in keep},
        schema=schema,
        labels=labels,
        bad_rows=bad_rows,
    )
    to_skip = start_row
    are_empty = []
    for index, source in enumerate(files):
        read = _reader_of(source)
        rows_of_file = 0
        for chunk in read(source, wanted, to_skip):
            rows_of_file += len(chunk.rows)
            bad_rows.see(str(source), int(chunk.rows.max()))
            if chunk.columns is None:  # passed over
                to_skip -= len(chunk.rows)
                continue
            block = convert(
                chunk.columns,
                chunk.rows,
                chunk.problems,
                file=index,
                path=str(source),
            )
            yield block if chunk.ends else dataclasses.replace(block, ends=False)
        are_empty.append(rows_of_file == 0)
        if split is not None and rows_of_file == 0:
            nothing = {name: pa.nulls(0) for name in wanted.names}
            no_rows = np.zeros(0, np.int64)
            yield convert(nothing, no_rows, [], file=index, path=str(source))
    if split is None and are_empty and all(are_empty):
        sources = listed(str(source) for source in files)
        raise DataError(f"{sources}: holds no rows")
    if split is None:
        bad_rows.check(str(source) for source in files)


def notes_of(files: Sequence[str], schema: Schema) -> list[str]:
    """What a reader finds out of the first file, such as its delimiter; a word each.

    For a job whose files are read elsewhere, or in parts; in one process `BadRows.notes` has it.
    """
    bad_rows = BadRows()
    for path in files[:1]:
        wanted = Wanted(
            names=[*(column.name for column in schema.columns), *schema.labels],
            block_rows=BLOCK_ROWS,
            delimiter=schema.delimiter,
            quote=schema.quote,
            note=bad_rows.note,
        )
        if format_of(path) in (".csv", ".tsv"):
            with contextlib.suppress(DataError):  # who reads the file will say it
                read_header(path, wanted)
    return bad_rows.notes


def _check_asked_for(
    known: Mapping[str, Column],
    columns: Sequence[str] | None,
    keep: Sequence[str],
) -> None:
    """Raises ValueError if columns are unknown, or one to keep holds lists."""
    if columns is not None:
        are_known = set(columns) <= known.keys()
        if not columns or not are_known:
            rule = f"columns must be some of {listed(known)}"
            raise ValueError(f"{rule}. Received: {shown(list(columns))}")
    if any(name in known and known[name].max_length for name in keep):
        raise ValueError(
            f"keep must name columns of one value a row. Received: {shown(list(keep))}"
        )


def _numbers(known: Mapping[str, Column], names: Sequence[str]) -> set[str]:
    """The names of columns that hold one number a row."""
    found = set()
    for name in names:
        column = known.get(name)
        if column is not None and column.dtype != "string" and not column.max_length:
            found.add(name)
    return found


def _has_column(
    files: Sequence[str | ArrowRows],
    rows: int,
    name: str,
) -> bool:
    """Whether the first rows of any of some files have a column; only TFRecord files are looked at.

    Args:
        files: The files.
        rows: How many rows of each are looked at.
        name: The column.
    """
    from tafe_tf.data.formats import tfrecord_kinds

    paths = [file for file in files if not isinstance(file, ArrowRows)]
    records = [path for path in paths if format_of(path) == ".tfrecord"]
    return any(tfrecord_kinds.has_column(path, name, rows) for path in records)


def _reader_of(source: str | ArrowRows) -> Reader:
    if isinstance(source, ArrowRows):
        return in_memory.read
    return with_keys(_READERS[format_of(source)])
