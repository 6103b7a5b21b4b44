"""Rows to compare, from request logs and from files of any format that training reads."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.record_framing import read_records
from tafe_tf.schema import RANKS, SCORE, Column, Schema
from tafe_tf.storage.addresses import is_remote

Say = Callable[[str], None]

_OF_LOG = "*.tfrecord"
_OPEN = ".*.open"
_DEFAULT = "serving_default"


class Rows(NamedTuple):
    """Some rows.

    Attributes:
        columns: By their names, [size, ...] each.
        size: How many rows.
        is_call: Whether they are those of one call.
        scores: What was answered for them, [size] by the name of the output; none if they were
            not asked for.
    """

    columns: dict[str, np.ndarray]
    size: int
    is_call: bool
    scores: dict[str, np.ndarray]


class NoFit(Exception):
    """Why a call does not have rows of a schema."""


def read(
    sources: Sequence[str],
    schema: Schema,
    beside: Sequence[str] = (),
    input_format: str = "",
    say: Say = print,
) -> Iterator[Rows]:
    """Yields the rows of request logs, call by call, and of files, block by block.

    Args:
        sources: Files of a request log, folders of them, or what `find_sources` takes.
        schema: Of the model.
        beside: Training files, see `read_blocks`. Default: none.
        input_format: The format of files without an ending, see `find_sources`. Default: "".
        say: Is told in one line what is left out. Default: `print`.

    Raises:
        DataError: If there are no rows, or a file cannot be used.
    """
    files: list[str] = []
    logs: list[str] = []
    for source in sources:
        found = log_files(source, say)
        logs += found
        named = [] if found else find_sources([source], input_format)
        for file in named:  # those of a pattern
            is_of_log = not is_remote(file) and is_log(file)
            (logs if is_of_log else files).append(file)
    if logs:
        yield from _of_logs(logs, schema, say)
    if files:
        names = [column.name for column in schema.served_inputs]
        blocks = read_blocks(
            find_sources(files, input_format),
            schema,
            bad_rows=BadRows(),
            beside=beside,
            columns=names,
            labels=False,
        )
        for block in blocks:
            yield Rows(dict(block.columns), len(block.row), False, {})


def log_files(source: str, say: Say = print) -> list[str]:
    """The files of a request log that a path names; none if it is no log.

    Args:
        source: A file, or a folder, of which the complete files are taken.
        say: Is told how many files are not complete.

    Raises:
        DataError: If no file of a folder is complete.
    """
    if is_remote(source):
        return []
    path = pathlib.Path(source)
    if path.is_file():
        return [source] if is_log(path) else []
    if not path.is_dir():
        return []
    left = len(list(path.glob(_OPEN)))
    others = [file for file in path.iterdir() if not file.name.startswith(".")]
    if left and not others:
        raise DataError(
            f"{source}: no file of the log is complete yet; wait until one has ended, or name one "
            f"({_OPEN}) to read what it has"
        )
    if left:
        say(
            f"{source}: files that are not complete are left out: {left}, which are being written "
            "or were left by a process that was killed; name one to read it"
        )
    found = sorted(path.glob(_OF_LOG))
    if not any(is_log(file) for file in found):
        return []
    return [str(file) for file in found]


def is_log(path: str | os.PathLike[str]) -> bool:
    """Whether the first record of a file is a Predict call."""
    try:
        first = next(read_records(path, lambda _: None), None)
        if first is None:
            return False
        log = prediction_log_pb2.PredictionLog.FromString(first)
    except (DataError, DecodeError):
        return False
    return bool(log.HasField("predict_log"))


def _of_logs(paths: Sequence[str], schema: Schema, say: Say) -> Iterator[Rows]:
    count = 0
    left_out: collections.Counter[str] = collections.Counter()
    for path in paths:
        for number, record in enumerate(read_records(path, say), start=1):
            try:
                log = prediction_log_pb2.PredictionLog.FromString(record)
            except DecodeError:
                raise DataError(f"{path}, record {number}: is no PredictionLog") from None
            try:
                rows = _rows(log, schema)
            except NoFit as error:
                left_out[str(error)] += 1
                continue
            if rows.size:
                count += 1
                yield rows
    for reason, calls in sorted(left_out.items()):
        counted = "1 call is" if calls == 1 else f"{calls:,} calls are"
        say(f"{counted} left out: {reason}")
    if not count:
        raise DataError(f"{', '.join(paths)}: holds no call for rows of this model")


def _rows(log: prediction_log_pb2.PredictionLog, schema: Schema) -> Rows:
    """The rows of a call.

    Raises:
        NoFit: If it has none.
    """
    if not log.HasField("predict_log"):
        raise NoFit("no Predict calls")
    request = log.predict_log.request
    signature = request.model_spec.signature_name or _DEFAULT
    if signature not in (_DEFAULT, SCORE, *RANKS, *schema.output_names):
        raise NoFit(f"of signature {signature!r}, which scores no columns")
    columns = {}
    for column in schema.served_inputs:
        if column.input not in request.inputs:
            raise NoFit(f"no input {column.input!r}")
        array = tf.make_ndarray(request.inputs[column.input])
        if not _fits(array, column):
            raise NoFit(f"input {column.input!r} is of another type or shape")
        columns[column.name] = array
    sizes = {len(array) for array in columns.values()}
    count = max(sizes)
    if signature in RANKS:
        for name in schema.user_inputs:
            columns[name] = np.repeat(columns[name][:1], count, axis=0)
    if {len(array) for array in columns.values()} != {count}:
        raise NoFit("inputs of different lengths")
    scores = {}
    for name, tensor in log.predict_log.response.outputs.items():
        if name not in schema.output_names:
            continue
        scores[name] = tf.make_ndarray(tensor)
        if scores[name].dtype != np.float32 or scores[name].shape != (count,):
            raise NoFit(f"output {name!r} is of another type or shape")
    return Rows(columns, count, True, scores)


def _fits(array: np.ndarray, column: Column) -> bool:
    """Whether an input has the type and the shape that the model takes; others were of another."""
    dtype = np.dtype(object if column.dtype == "string" else column.dtype)
    rank = 2 if column.max_length else 1
    if array.dtype != dtype or array.ndim != rank:
        return False
    return not column.is_exact or array.shape[1] == column.max_length
