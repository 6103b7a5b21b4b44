"""What a batch-scoring job is to do, checked before any row is read."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from tafe_tf.data import bad_row_limit
from tafe_tf.data.fingerprint import fingerprint
from tafe_tf.data.formats.file_kinds import extension_of, format_of
from tafe_tf.data.formats.partitions import names_within
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.data.formats.read import BLOCK_ROWS, count_rows
from tafe_tf.serving.batch.settings import JobError, Settings
from tafe_tf.storage.addresses import absolute, join, parent_of

ROW = "row"  # the column that holds a row's number in its input file, from 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """An input file as it was when the job began.

    Attributes:
        path: The file's absolute path, or its URI.
        size: Its size in bytes.
        sample: A hash of pieces of its content, or the store's mark of it, see `Fingerprint`; no
            time of change counts.
        rows: The number of its rows, or None if the whole file must be read to know.
    """

    path: str
    size: int
    sample: str
    rows: int | None

    @property
    def identity(self) -> dict[str, Any]:
        """What distinguishes this file from any other, and from itself after a change."""
        return {"path": self.path, "size": self.size, "sample": self.sample}

    @property
    def stem(self) -> str:
        """What its scores are named after, such as "a" for "a.csv.gz".

        The folders that hold values are in it: "dt=2026-11-18+part-0".
        """
        (name,) = names_within([self.path])
        return name.removesuffix(extension_of(self.path)).replace("/", "+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job(Settings):
    """What to score, and where to write the scores.

    Attributes:
        inputs: The files to score, all of one format.
        output: The absolute path, or the URI, of the directory for the scores; it holds one job's
            files only.
        rows_per_shard: Rows of input whose scores make one output file, 16 `BLOCK_ROWS` by
            default. It is a multiple of `BLOCK_ROWS`, or less than that.
        max_bad_rows: How many rows of all files may be left out, see `bad_row_limit.check_limit`.
            Default: 1%.

    The other attributes are those of `Settings`.

    Raises:
        JobError: If one of these breaks its rule.
        OSError: If the model lacks a file.
    """

    inputs: tuple[Input, ...]
    output: str
    rows_per_shard: int = 16 * BLOCK_ROWS
    max_bad_rows: str = bad_row_limit.DEFAULT

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.rows_per_shard
        is_uneven = size > BLOCK_ROWS and size % BLOCK_ROWS != 0
        if size < 1 or is_uneven:
            raise JobError(
                f"rows_per_shard must be a multiple of {BLOCK_ROWS}, or 1 to that. Received: {size}"
            )
        try:
            bad_row_limit.check_limit(self.max_bad_rows)
        except ValueError as error:
            raise JobError(str(error)) from None
        _check_inputs(self.inputs, self.output)
        self._check_keys()

    def _check_keys(self) -> None:
        reserved = [ROW, *self.outputs]
        lists = [column.name for column in self.schema.columns if column.max_length]
        for key in self.keys:
            if key in reserved:
                raise JobError(
                    f"key {key!r} is reserved: the output has {', '.join(reserved)} of its own"
                )
            if key in lists:
                raise JobError(f"key {key!r} holds lists; a key must hold one value a row")
            if self.keys.count(key) > 1:
                raise JobError(f"key {key!r} must be given once. Received: {', '.join(self.keys)}")

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What a file of scores depends on, beside the input file."""
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "signature": self.signature,
            "keys": list(self.keys),
            "rows_per_shard": self.rows_per_shard,
        }

    @property
    def block_rows(self) -> int:
        """The number of rows to read at a time; `rows_per_shard` is a multiple of it."""
        return min(self.rows_per_shard, BLOCK_ROWS)

    def part_path(self, source: Input, number: int) -> str:
        """The path or URI of one part of an input file's scores; parts are numbered from 0."""
        return join(self.output, f"{source.stem}-{number:05d}.parquet")


def find_inputs(patterns: Sequence[str], input_format: str = "") -> tuple[Input, ...]:
    """The files that paths and patterns name, sorted by path.

    Args:
        patterns: Paths, or patterns such as "DIR/*.parquet", see `find_sources`.
        input_format: The format of files without an ending, see `find_sources`. Default: "".

    Raises:
        DataError: If a pattern matches no file, or a file is of no known format, or damaged.
        FileNotFoundError: If a path is not there.
    """
    files = find_sources(patterns, input_format)
    return tuple(look_at(absolute(path)) for path in files)


def look_at(path: str) -> Input:
    """An input file as it is now.

    Raises:
        DataError: If it is of no known format, or damaged.
    """
    seen = fingerprint(path)
    return Input(path=path, size=seen.size, sample=seen.sample, rows=count_rows(path))


def _check_inputs(inputs: Sequence[Input], output: str) -> None:
    if not inputs:
        raise JobError("there must be an input file")
    formats = {format_of(source.path) for source in inputs}
    if len(formats) > 1:
        raise JobError(f"input files must be of one format. Received: {', '.join(sorted(formats))}")
    by_stem: dict[str, list[str]] = collections.defaultdict(list)
    for source in inputs:
        by_stem[source.stem].append(source.path)
        if parent_of(source.path) == absolute(output):
            raise JobError(
                f"{output}: the output must not lie among the input files ({source.path})"
            )
    for paths in by_stem.values():
        if len(paths) > 1:
            raise JobError(
                f"{paths[0]} and {paths[1]} would be scored into one file; score them in two jobs"
            )
