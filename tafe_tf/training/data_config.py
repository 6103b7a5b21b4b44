"""Which rows a job is given."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

from tafe_tf import schema_toml
from tafe_tf.data.errors import DataError, is_utf8
from tafe_tf.data.formats.splits import Sources
from tafe_tf.features import vector_files
from tafe_tf.schema import Schema
from tafe_tf.storage.listing import missing

Rows: TypeAlias = "Sequence[str] | pa.Table"  # the paths of files, or a table in memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which rows a model is trained, stopped and tested on.

    Attributes:
        schema: What the columns are.
        train: The training rows.
        valid: The rows for early stopping. By default, (), a part of the training rows is held out.
        test: The rows that the finished model is evaluated on. By default, (), there are none.
        data_dir: The directory where the files were found, "" if they were named one by one.
        schema_file: The schema's TOML file, "" if it did not come from one. Vocabularies of the
            same rows that lie beside it are used, see `tafe_tf.prepare`.
    """

    schema: Schema
    train: Rows
    valid: Rows = ()
    test: Rows = ()
    data_dir: str = ""
    schema_file: str = ""

    def __post_init__(self) -> None:
        for name, rows in self.splits():
            if isinstance(rows, pa.Table):
                continue
            if name == "train" and not rows:
                raise DataError("train: must name at least one file")
            for path in missing(rows):
                raise FileNotFoundError(f"{path}: there is no such file")
            for path in rows:
                if not is_utf8(path):
                    raise DataError(f"{path!a}: the name must be UTF-8, to be noted; rename it")
        for problem in vector_files.problems(self.schema, self.schema_file):
            raise FileNotFoundError(problem)

    def splits(self) -> list[tuple[str, Rows]]:
        """The rows by the name of their split."""
        return [
            ("train", self.train),
            ("valid", self.valid),
            ("test", self.test),
        ]

    def files(self) -> dict[str, list[str]]:
        """The paths of the files by the name of their split, without tables in memory."""
        found = {}
        for name, rows in self.splits():
            if not isinstance(rows, pa.Table):
                found[name] = list(rows)
        return found

    def inputs(self) -> dict[str, list[str]]:
        """The paths of all files that a run depends on: those of rows, and of vectors."""
        found = self.files()
        of_vectors = vector_files.paths(self.schema, self.schema_file)
        if of_vectors:
            found["pretrained"] = of_vectors
        return found

    @classmethod
    def in_directory(cls, data_dir: str | pathlib.Path, schema_file: str = "") -> DataConfig:
        """The files `train`, `valid` and `test` of a directory; only the first must be there.

        Args:
            data_dir: The directory, or one file of training rows, see `splits.find_splits`.
            schema_file: The schema's TOML file; by default `schema.toml` in the directory.

        Raises:
            DataError: If there are no training files.
            SchemaError: If the schema cannot be used.
        """
        return cls.of_sources(Sources(data_dir=str(data_dir)), schema_file)

    @classmethod
    def of_sources(cls, sources: Sources, schema_file: str = "") -> DataConfig:
        """The files that are found in a directory, or by patterns.

        Args:
            sources: Where the rows are.
            schema_file: The schema's TOML file. Default: "", see `Sources.schema_file`.

        Raises:
            DataError: If there are no training files, or no file is found where some are named.
            SchemaError: If the schema cannot be used.
        """
        schema_file = schema_file or sources.schema_file
        schema = schema_toml.load(schema_file)
        return cls(
            schema=schema,
            data_dir=sources.data_dir,
            schema_file=schema_file,
            **sources.find(),
        )
