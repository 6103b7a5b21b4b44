"""What a batch-scoring job is asked to do, checked before anything is read."""

from __future__ import annotations

import collections
import dataclasses
import functools
import glob
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import Policy
from tafe_tf.data.formats.read import BLOCK_ROWS, count_rows, extension_of
from tafe_tf.export.session_model import DEFAULT_SIGNATURE
from tafe_tf.schema import Schema

ROW = "row"  # the column with a row's number in its input file


class JobError(ValueError):
    """A job cannot be done as it was asked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """An input file as it was when the job began.

    Attributes:
        path: absolute.
        size: in bytes.
        mtime_ns: its last change, in nanoseconds since 1970.
        rows: how many it holds, or None where only reading tells.
    """

    path: str
    size: int
    mtime_ns: int
    rows: int | None

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this file from another, and from what it is after a change."""
        return {"path": self.path, "size": self.size, "mtime_ns": self.mtime_ns}

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return pathlib.Path(self.path).name.removesuffix(extension_of(self.path))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What to score, with what, and where to.

    Attributes:
        model: an exported version, absolute.
        inputs: the files, of one format.
        output: the directory for the scores, absolute; the files of one job only.
        keys: columns of the input to carry through.
        signature: of the model; one that takes raw columns.
        batch_size: rows a call of the model.
        rows_per_shard: input rows an output file; a multiple of BLOCK_ROWS, or below it.
        on_bad_row: "raise" or "drop".

    Raises:
        JobError: if one of these breaks its rule.
        OSError: if the model lacks a file.
    """

    model: str
    inputs: tuple[Input, ...]
    output: str
    keys: tuple[str, ...] = ()
    signature: str = DEFAULT_SIGNATURE
    batch_size: int = 1024
    rows_per_shard: int = 16 * BLOCK_ROWS
    on_bad_row: Policy = "raise"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise JobError(f"batch_size must be 1 or more. Received: {self.batch_size}")
        size = self.rows_per_shard
        if size < 1 or (size > BLOCK_ROWS and size % BLOCK_ROWS):
            raise JobError(
                f"rows_per_shard must be a multiple of {BLOCK_ROWS}, or 1 to that. Received: {size}"
            )
        if self.on_bad_row not in ("raise", "drop"):
            raise JobError(f"on_bad_row must be 'raise' or 'drop'. Received: {self.on_bad_row!r}")
        _check_inputs(self.inputs, self.output)
        self._check_keys()

    def _check_keys(self) -> None:
        reserved = [ROW, *self.outputs]
        lists = [c.name for c in self.schema.columns if c.max_length]
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
        """The model's dataset."""
        return schema_toml.load(pathlib.Path(self.model) / "assets.extra" / "schema.toml")

    @functools.cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the signature's outputs, in funnel order."""
        known = {c.name for c in self.schema.inputs}
        signatures = {
            name: list(definition.outputs)
            for name, definition in _signature_defs(self.model).items()
            if set(definition.inputs) == known and name != "rank"
        }
        if self.signature not in signatures:
            names = ", ".join(sorted(signatures))
            raise JobError(
                f"{self.model}: signature {self.signature!r} scores no rows of columns; these do: {names}"
            )
        order = [*self.schema.step_names, *self.schema.conditional_names]
        found = signatures[self.signature]
        return tuple([n for n in order if n in found] + sorted(set(found) - set(order)))

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """What scores depend on, the input file aside."""
        content = (pathlib.Path(self.model) / "fingerprint.pb").read_bytes()
        return {
            "model": self.model,
            "fingerprint": hashlib.sha256(content).hexdigest()[:16],
            "signature": self.signature,
            "keys": list(self.keys),
            "rows_per_shard": self.rows_per_shard,
        }

    @property
    def block_rows(self) -> int:
        """Rows to read at a time; divides `rows_per_shard`."""
        return min(self.rows_per_shard, BLOCK_ROWS)

    def part_path(self, source: Input, number: int) -> pathlib.Path:
        """Where a part of an input file's scores lies."""
        return pathlib.Path(self.output) / f"{source.stem}-{number:05d}.parquet"


def find_inputs(patterns: Sequence[str]) -> tuple[Input, ...]:
    """The files that paths and globs name, sorted; hidden ones, which a writer began, are left out.

    Raises:
        JobError: if a pattern matches none.
        DataError: for a file of no known format, or a damaged one.
    """
    found = set()
    for pattern in patterns:
        paths = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
        files = {
            os.path.abspath(p)
            for p in paths
            if os.path.isfile(p) and not os.path.basename(p).startswith(".")
        }
        if not files:
            raise JobError(
                f"{pattern}: no file matches; give a file, or a pattern such as 'DIR/*.parquet'"
            )
        found |= files
    return tuple(look_at(path) for path in sorted(found))


def look_at(path: str) -> Input:
    """A file as it is now.

    Raises:
        DataError: if it is of no known format, or damaged.
    """
    status = os.stat(path)
    return Input(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, rows=count_rows(path))


def _check_inputs(inputs: Sequence[Input], output: str) -> None:
    if not inputs:
        raise JobError("there must be an input file")
    formats = {extension_of(source.path).removesuffix(".gz") for source in inputs}
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
    """Signatures by name, without loading the model."""
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((pathlib.Path(model) / "saved_model.pb").read_bytes())
    except message.DecodeError as error:
        raise JobError(f"{model}: saved_model.pb is damaged: {error}") from None
    return saved.meta_graphs[0].signature_def
