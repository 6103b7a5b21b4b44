"""ORC files, through pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
from pyarrow import orc

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.bounded import chunks_of
from tafe_tf.data.formats.nested import root_of
from tafe_tf.data.formats.reader import Chunk, Wanted, check_not_in_file, check_types
from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.reading import ObjectFile


def read(
    path: str,
    wanted: Wanted,
    skip: int,
) -> Iterator[Chunk]:
    """Reads a file's columns in their own types, see `reader.Reader`.

    A stripe is read at once, of it only the columns that are wanted. Nothing tells how many rows a
    stripe has before it is read, so rows to skip are read as well.

    Raises:
        DataError: If the file is no ORC file or is damaged, if a column is missing, or if it holds
            lists where one value belongs, or the reverse.
    """
    done = 0
    try:
        with OrcFile(path) as file:
            if file.num_rows == 0:
                return
            check_not_in_file(path, wanted.of_folders, file.schema.names)
            check_types(path, file.schema, wanted.names, wanted.lists)
            done = min(skip, file.num_rows)
            if done:
                yield Chunk(None, np.arange(1, done + 1), [])
            roots = [root_of(file.schema.names, name) for name in wanted.names]
            for chunk in chunks_of(
                file.batches(roots),
                wanted,
                done=done,
                skip=done,
            ):
                done += len(chunk.rows)
                yield chunk
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read after row {done}: {error}") from None


class OrcFile:
    """An open ORC file or object.

    Args:
        path: A path or a URI.

    Raises:
        StoreError: If the object is not there or cannot be read.
        OSError: If the local file cannot be read.
        pyarrow.ArrowException: If it is no ORC file.

    Attributes:
        schema: The Arrow types of the columns.
        num_rows: How many rows there are.
    """

    def __init__(self, path: str) -> None:
        self._object = ObjectFile(path, is_input=True) if is_remote(path) else None
        source = path if self._object is None else pa.PythonFile(self._object, "r")
        self._file = orc.ORCFile(source)
        self.schema: pa.Schema = self._file.schema
        self.num_rows: int = self._file.nrows

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Reads stripe by stripe.

        Args:
            columns: The columns to read. Default: all.
        """
        names = None if columns is None else list(dict.fromkeys(columns))
        if names is not None and any("." in name for name in names):
            names = None  # pyarrow takes a dot for the way into a struct
        for stripe in range(self._file.nstripes):
            yield self._file.read_stripe(stripe, columns=names)

    def close(self) -> None:
        """Closes the object; a local file is closed by pyarrow."""
        if self._object is not None:
            self._object.close()

    def __enter__(self) -> OrcFile:
        return self

    def __exit__(self, *arguments: object) -> None:
        self.close()
