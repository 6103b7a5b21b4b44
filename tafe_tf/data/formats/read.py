"""Finds a split's files and reads them block by block, whatever their format."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.convert import to_block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import csv_files, in_memory, parquet_files
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.reader import Chunk, Reader
from tafe_tf.schema import Schema

BLOCK_ROWS = 1 << 16


def _read_tfrecord(*arguments: Any) -> Iterator[Chunk]:
    """Reads a TFRecord file; only then is TensorFlow imported, which takes seconds."""
    from tafe_tf.data.formats import tfrecord_files

    yield from tfrecord_files.read(*arguments)


_READERS: dict[str, Reader] = {
    ".csv": csv_files.read,
    ".csv.gz": csv_files.read,
    ".parquet": parquet_files.read,
    ".tfrecord": _read_tfrecord,
    ".tfrecord.gz": _read_tfrecord,
}


def extension_of(path: str | pathlib.Path) -> str:
    """The ending that tells a file's format: .csv, .csv.gz, .parquet, .tfrecord or .tfrecord.gz.

    Raises:
        DataError: If it is none of these.
    """
    name = pathlib.Path(path).name
    for extension in _READERS:
        if name.endswith(extension):
            return extension
    raise DataError(f"{path}: must end in one of {', '.join(_READERS)}")


def count_rows(path: str) -> int | None:
    """Rows of a Parquet file, from its footer; None for formats that do not say.

    Raises:
        DataError: If the file is no Parquet file or is damaged.
    """
    if extension_of(path) != ".parquet":
        return None
    return parquet_files.count_rows(path)


def find_files(
    data_dir: str | pathlib.Path,
    split: str,
    required: bool = True,
) -> list[str]:
    """Finds a split's files: `<split>.EXT`, `<split>-*.EXT` and `<split>/*.EXT` below `data_dir`.

    Args:
        data_dir: The dataset's directory.
        split: "train", "valid" or "test".
        required: Whether to raise if there is no such file. Default: True.

    Returns:
        The paths, sorted. Hidden files are left out, since a writer may still be at work on them.

    Raises:
        DataError: If files are required and missing, or are of several formats.
    """
    directory = pathlib.Path(data_dir)
    found: set[pathlib.Path] = set()
    for extension in _READERS:
        for rest in (extension, f"-*{extension}", f"/*{extension}"):
            found.update(directory.glob(f"{split}{rest}"))
    visible = [path for path in found if path.name[0] != "."]
    files = sorted(str(path) for path in visible if path.is_file())
    formats = {extension_of(path).removesuffix(".gz") for path in files}
    if len(formats) > 1:
        raise DataError(
            f"{data_dir}: {split!r} files must be of one format. Received: {', '.join(files)}"
        )
    if required and not files:
        places = f"{split}.EXT, {split}-*.EXT or {split}/*.EXT"
        kinds = ", ".join(_READERS)
        raise DataError(f"{data_dir}: no file {places}, where EXT is one of {kinds}")
    return files


def read_blocks(
    files: Sequence[str | ArrowRows],
    schema: Schema,
    *,
    bad_rows: BadRows,
    block_rows: int = BLOCK_ROWS,
    start_row: int = 0,
    columns: Sequence[str] | None = None,
    labels: bool = True,
    keep: Sequence[str] = (),
) -> Iterator[Block]:
    """Reads files, or tables in memory, in the given order.

    A block holds `block_rows` rows, and the last block of each file holds what is left, before bad
    rows are dropped. So the same rows in the same files give the same blocks in every format.

    Args:
        files: Paths, or rows in memory.
        schema: What to read, and the rules for it.
        bad_rows: What to do with bad rows.
        block_rows: The rows of a block. Default: 65,536.
        start_row: Rows to pass over first, counted over all files; CSV rows of a wrong width do not
            count. Default: 0.
        columns: The names of the columns to read. Default: None, all of `schema.columns`.
        labels: Whether to read and check the labels; they are left out anyway if `columns` is
            given. Default: True.
        keep: The names of columns to deliver as Arrow arrays as well, of the schema or not, with
            one value a row. Default: none.

    Raises:
        DataError: For a file that cannot be used; the message starts with its name.
        BadRowError: At the first bad row, unless `bad_rows` drops them.
        ValueError: If `columns` names none or an unknown column, or `keep` one that holds lists.
    """
    known = {column.name: column for column in schema.columns}
    lists = {column.name for column in schema.columns if column.max_length}
    if columns is not None:
        are_known = set(columns) <= known.keys()
        if not columns or not are_known:
            rule = f"columns must be some of {', '.join(known)}"
            raise ValueError(f"{rule}. Received: {list(columns)}")
    if lists & set(keep):
        raise ValueError(f"keep must name columns of one value a row. Received: {list(keep)}")
    wanted = schema.columns
    if columns is not None:
        wanted = tuple(column for column in wanted if column.name in columns)
    labels = labels and columns is None
    names = [column.name for column in wanted]
    if labels:
        names += schema.labels
    names += keep
    names = list(dict.fromkeys(names))
    to_skip = start_row
    for index, source in enumerate(files):
        reader = _reader_of(source)
        rows_of_file = 0
        for chunk in reader(source, names, lists, block_rows, to_skip):
            rows_of_file += len(chunk.rows)
            if chunk.columns is None:  # passed over
                to_skip -= len(chunk.rows)
                continue
            yield to_block(
                chunk.columns,
                chunk.rows,
                chunk.problems,
                columns=wanted,
                keep={name: known.get(name) for name in keep},
                schema=schema,
                labels=labels,
                file=index,
                path=str(source),
                bad_rows=bad_rows,
            )
        if rows_of_file == 0:
            raise DataError(f"{source}: holds no rows")


def _reader_of(source: str | ArrowRows) -> Reader:
    if isinstance(source, ArrowRows):
        return in_memory.read
    return _READERS[extension_of(source)]
