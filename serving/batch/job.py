"""What a batch-scoring job is to do, checked before any row is read."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tafe_tf import schema_toml
from tafe_tf.data import bad_row_limit
from tafe_tf.data.atomic import read_json
from tafe_tf.data.bad_rows import Policy
from tafe_tf.data.errors import DataError
from tafe_tf.data.field_counts import training_shares
from tafe_tf.data.fingerprint import fingerprint
from tafe_tf.data.formats.file_kinds import extension_of, format_of
from tafe_tf.data.formats.partitions import names_within
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.data.formats.read import BLOCK_ROWS, count_rows
from tafe_tf.export import manifest, model_card, operations
from tafe_tf.export.description import FIELDS_SIGNATURE
from tafe_tf.export.errors import ExportError
from tafe_tf.export.session_model import DEFAULT_SIGNATURE
from tafe_tf.native.library import MODES, Mode
from tafe_tf.schema import Schema

ROW = "row"  # the column that holds a row's number in its input file, from 1


class JobError(ValueError):
    """A job cannot be done as it is asked for; the message says what to change."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """An input file as it was when the job began.

    Attributes:
        path: The file's absolute path.
        size: Its size in bytes.
        sample: A hash of pieces of its content, see `Fingerprint`; no time of change counts.
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
class Job:
    """What to score, with which model, and where to write the scores.

    Attributes:
        model: The absolute path of an exported version.
        inputs: The files to score, all of one format.
        output: The absolute path of the directory for the scores; it holds one job's files only.
        keys: Names of the input's columns that are written beside the scores, none by default.
        signature: The signature to ask, one that takes raw columns; "serving_default" by default,
            which gives every probability.
        batch_size: Rows that the model scores at a time, 1024 by default.
        rows_per_shard: Rows of input whose scores make one output file, 16 `BLOCK_ROWS` by
            default. It is a multiple of `BLOCK_ROWS`, or less than that.
        on_bad_row: "raise" (the default) to stop at a bad row, "drop" to leave it out.
        max_bad_rows: How many rows of all files may be left out, see `bad_row_limit.check_limit`.
            Default: 1%.
        native: Whether the native kernel computes in place of the layers, see `SessionModel`; by
            default where it was built and applies.

    Raises:
        JobError: If one of these breaks its rule.
        OSError: If the model lacks a file.
    """

    model: str
    inputs: tuple[Input, ...]
    output: str
    keys: tuple[str, ...] = ()
    signature: str = DEFAULT_SIGNATURE
    batch_size: int = 1024
    rows_per_shard: int = 16 * BLOCK_ROWS
    on_bad_row: Policy = "raise"
    max_bad_rows: str = bad_row_limit.DEFAULT
    native: Mode = "auto"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise JobError(f"batch_size must be 1 or more. Received: {self.batch_size}")
        size = self.rows_per_shard
        is_uneven = size > BLOCK_ROWS and size % BLOCK_ROWS != 0
        if size < 1 or is_uneven:
            raise JobError(
                f"rows_per_shard must be a multiple of {BLOCK_ROWS}, or 1 to that. Received: {size}"
            )
        if self.on_bad_row not in ("raise", "drop"):
            raise JobError(f"on_bad_row must be 'raise' or 'drop'. Received: {self.on_bad_row!r}")
        if self.native not in MODES:
            raise JobError(f"native must be 'auto', 'on' or 'off'. Received: {self.native!r}")
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
    def schema(self) -> Schema:
        """The schema that the model was trained with."""
        return schema_toml.load(pathlib.Path(self.model) / "assets.extra" / "schema.toml")

    @functools.cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names of the signature's outputs, in the funnel's order."""
        inputs = {column.input for column in self.schema.inputs}
        scoring: dict[str, set[str]] = {}  # signatures that score rows of columns
        for name, definition in _signature_defs(self.model).items():
            if set(definition.inputs) == inputs and name != "rank":
                scoring[name] = set(definition.outputs)
        if self.signature not in scoring:
            names = ", ".join(sorted(scoring))
            raise JobError(
                f"{self.model}: signature {self.signature!r} scores no rows of columns; "
                f"these do: {names}"
            )
        found = scoring[self.signature]
        order = [*self.schema.step_names, *self.schema.conditional_names]
        in_order = [name for name in order if name in found]
        others = sorted(found - set(order))
        return (*in_order, *others)

    @functools.cached_property
    def tells_fields(self) -> bool:
        """Whether the model tells which values of rows it knows; exports did not always."""
        return FIELDS_SIGNATURE in _signature_defs(self.model)

    @functools.cached_property
    def training_shares(self) -> dict[str, dict[str, float]]:
        """The shares of missing and of unseen values in training, by field, as far as known."""
        card = pathlib.Path(self.model) / model_card.FILE
        described = read_json(card) if card.exists() else {}
        return training_shares({"fields": [], **described})

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What a file of scores depends on, beside the input file."""
        return {
            "model": self.model,
            "fingerprint": manifest.identity(self.model),
            "signature": self.signature,
            "keys": list(self.keys),
            "rows_per_shard": self.rows_per_shard,
        }

    @property
    def block_rows(self) -> int:
        """The number of rows to read at a time; `rows_per_shard` is a multiple of it."""
        return min(self.rows_per_shard, BLOCK_ROWS)

    def part_path(self, source: Input, number: int) -> pathlib.Path:
        """The path of one part of an input file's scores; parts are numbered from 0."""
        return pathlib.Path(self.output) / f"{source.stem}-{number:05d}.parquet"


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
    return tuple(look_at(os.path.abspath(path)) for path in files)


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
        if os.path.dirname(source.path) == os.path.abspath(output):
            raise JobError(
                f"{output}: the output must not lie among the input files ({source.path})"
            )
    for paths in by_stem.values():
        if len(paths) > 1:
            raise JobError(
                f"{paths[0]} and {paths[1]} would be scored into one file; score them in two jobs"
            )


def _signature_defs(model: str) -> Mapping[str, Any]:
    """The model's `SignatureDef`s by name, read without loading the model."""
    try:
        saved = operations.read_graph(model)
    except ExportError as error:
        raise JobError(str(error)) from None
    return saved.meta_graphs[0].signature_def


def check_model(model: str) -> str:
    """Finds that a model is what was published, and holds no operation but computations.

    Args:
        model: The directory of its version.

    Returns:
        What was found, a line.

    Raises:
        JobError: In one line, if a file is another one, or the graph does more than compute.
    """
    try:
        found = manifest.check(model)
        operations.check(model)
    except (DataError, ExportError) as error:
        raise JobError(str(error)) from None
    return found
