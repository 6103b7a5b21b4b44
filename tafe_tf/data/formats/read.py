"""Finds a split's files and reads them block by block, whatever their format."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.convert import to_block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import csv_files, parquet_files, tfrecord_files
from tafe_tf.schema import Schema

BLOCK_ROWS = 1 << 16
_READERS = {
    ".csv": csv_files.read,
    ".csv.gz": csv_files.read,
    ".parquet": parquet_files.read,
    ".tfrecord": tfrecord_files.read,
    ".tfrecord.gz": tfrecord_files.read,
}


def extension_of(path: str | pathlib.Path) -> str:
    """The ending that tells a file's format.

    Raises:
        DataError: if it is none of the known ones.
    """
    name = pathlib.Path(path).name
    found = next((extension for extension in _READERS if name.endswith(extension)), "")
    if not found:
        raise DataError(f"{path}: must end in one of {', '.join(_READERS)}")
    return found


def count_rows(path: str) -> int | None:
    """Rows of a Parquet file, from its footer; None for formats that do not say.

    Raises:
        DataError: if the file is no Parquet file or is damaged.
    """
    return parquet_files.count_rows(path) if extension_of(path) == ".parquet" else None


def find_files(data_dir: str | pathlib.Path, split: str, required: bool = True) -> list[str]:
    """The files of a split, sorted: `<split>.EXT`, `<split>-*.EXT` and `<split>/*.EXT` below `data_dir`.

    Args:
        data_dir: the dataset's directory.
        split: "train", "valid" or "test".
        required: raise if there is none.

    Raises:
        DataError: if files are required and missing, or are of several formats.
    """
    directory = pathlib.Path(data_dir)
    patterns = [
        f"{split}{x}"
        for extension in _READERS
        for x in (extension, f"-*{extension}", f"/*{extension}")
    ]
    found = {p for pattern in patterns for p in directory.glob(pattern) if p.is_file()}
    files = sorted(
        str(p) for p in found if not p.name.startswith(".")
    )  # a hidden file is one that a writer began
    formats = {extension_of(path).removesuffix(".gz") for path in files}
    if len(formats) > 1:
        raise DataError(
            f"{data_dir}: {split!r} files must be of one format. Received: {', '.join(files)}"
        )
    if required and not files:
        kinds = ", ".join(_READERS)
        raise DataError(
            f"{data_dir}: no file {split}.EXT, {split}-*.EXT or {split}/*.EXT, where EXT is one of {kinds}"
        )
    return files


def read_blocks(
    files: Sequence[str],
    schema: Schema,
    *,
    bad_rows: BadRows,
    block_rows: int = BLOCK_ROWS,
    start_row: int = 0,
    columns: Sequence[str] | None = None,
    labels: bool = True,
    keep: Sequence[str] = (),
) -> Iterator[Block]:
    """Reads files in the given order.

    A block holds `block_rows` rows, the last one of each file what is left, before bad rows are dropped: the same
    rows in the same files give the same blocks in every format.

    Args:
        files: paths of one format.
        schema: the dataset.
        bad_rows: what to do with bad rows.
        block_rows: rows a block.
        start_row: rows to pass over first, counted over all files; CSV rows of a wrong width do not count.
        columns: names of the columns to read, by default all of `schema.columns`.
        labels: whether to read and check the labels.
        keep: names of columns to deliver as Arrow arrays besides, of the schema or not; one value a row.

    Raises:
        DataError: for a file that cannot be used, naming it.
        BadRowError: at the first bad row, unless `bad_rows` drops them.
        ValueError: if `columns` names none or an unknown column, or `keep` one that holds lists.
    """
    known = [c.name for c in schema.columns]
    if columns is not None and (not columns or not set(columns) <= set(known)):
        raise ValueError(f"columns must be some of {', '.join(known)}. Received: {list(columns)}")
    wanted = tuple(c for c in schema.columns if columns is None or c.name in columns)
    labels = labels and columns is None
    lists = {c.name for c in schema.columns if c.max_length}
    if lists & set(keep):
        raise ValueError(f"keep must name columns of one value a row. Received: {list(keep)}")
    kept = {name: next((c for c in schema.columns if c.name == name), None) for name in keep}
    names = list(
        dict.fromkeys([*(c.name for c in wanted), *(schema.labels if labels else ()), *keep])
    )
    to_skip = start_row
    for index, path in enumerate(files):
        reader = _READERS[extension_of(path)]
        rows_of_file = 0
        for raw, rows, problems in reader(path, names, lists, block_rows, to_skip):
            rows_of_file += len(rows)
            if raw is None:  # passed over
                to_skip -= len(rows)
                continue
            yield to_block(
                raw,
                rows,
                problems,
                columns=wanted,
                keep=kept,
                schema=schema,
                labels=labels,
                file=index,
                path=path,
                bad_rows=bad_rows,
            )
        if rows_of_file == 0:
            raise DataError(f"{path}: holds no rows")
