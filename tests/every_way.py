"""Every way in which rows come to the model, and one table of drawn rows brought in by each."""

from __future__ import annotations

import csv
import datetime
import decimal
import json
import pathlib
import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import tensorflow as tf
from drawn_rows import ABSENT, SEPARATOR, UNKNOWN, Drawn, draw, schema_of
from signature_infos import tensor_infos

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.to_column import is_present
from tafe_tf.data.formats.in_memory import ArrowRows, to_arrow
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.export.signature_inputs import by_input, examples
from tafe_tf.export.signatures import Signatures
from tafe_tf.features.graph import Features
from tafe_tf.schema import MISSING_TEXTS, Dtype
from tafe_tf.serving.client import columns as client_columns
from tafe_tf.serving.server import rest_json

Columns = dict[str, Drawn]
Ids = dict[str, np.ndarray]
_BEYOND_INT64 = 2**63


class _IdsOnly(Signatures):
    """The signatures of an export that answer with what the model would get."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._schema = features.schema
        self._score = lambda inputs: inputs


def arrow_type(kind: str) -> pa.DataType:
    """The Arrow type of a kind of drawn values."""
    types = {
        "integer": pa.int64(),
        "small": pa.int8(),
        "unsigned": pa.uint64(),
        "boolean": pa.bool_(),
        "whole float": pa.float32(),
        "float": pa.float64(),
        "fraction": pa.float32(),
        "decimal": pa.decimal128(12, 0),
        "whole decimal": pa.decimal128(12, 2),
        "fraction decimal": pa.decimal128(12, 3),
        "date": pa.date32(),
        "moment": pa.timestamp("s"),
        "exact moment": pa.timestamp("us"),
        "zoned": pa.timestamp("ms", "Asia/Tokyo"),
        "clock": pa.time32("s"),
        "duration": pa.duration("ms"),
        "bytes": pa.binary(),
        "uuid": pa.uuid(),
        "fixed": pa.binary(4),
    }
    return types.get(kind, pa.string())


def arrow_columns(columns: Columns) -> dict[str, pa.Array]:
    """The drawn columns in the Arrow types of their kinds."""
    arrays = {}
    for name, drawn in columns.items():
        kind = arrow_type(drawn.kind)
        if drawn.is_list:
            values = drawn.values
            if drawn.kind == "uuid":  # Arrow takes UUIDs in lists only as bytes
                entries = [[x and x.bytes for x in row] if row else row for row in values]
                arrays[name] = pa.array(entries, pa.list_(pa.binary(16))).cast(pa.list_(kind))
            else:
                arrays[name] = pa.array(values, pa.list_(kind))
        else:
            arrays[name] = pa.array(drawn.values, kind)
    return arrays


def varied(array: pa.Array, rng: random.Random) -> pa.Array:
    """The same values in another of Arrow's representations."""
    kind = array.type
    if pa.types.is_list(kind):
        ways = [pa.large_list(kind.value_type), kind]
        return array.cast(rng.choice(ways))
    if pa.types.is_string(kind):
        ways = [pa.large_string(), pa.string_view(), kind, pa.binary(), pa.large_binary()]
        other = array.cast(rng.choice(ways))
        return other.dictionary_encode() if rng.random() < 0.3 else other
    if pa.types.is_integer(kind) and rng.random() < 0.5:
        return array.dictionary_encode()
    return array


def portable(value: Any) -> Any:
    """A value as formats have it that know numbers, texts and bytes only."""
    if isinstance(value, list):
        return [portable(entry) for entry in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, uuid.UUID | decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return int(value.total_seconds())
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, int) and value >= _BEYOND_INT64:
        return str(value)
    return value


def python_columns(columns: Columns) -> dict[str, list[Any]]:
    """The drawn columns as lists of Python's values; bytes of a fixed size as their digits."""
    lists = {}
    for name, drawn in columns.items():
        lists[name] = drawn.values
        if drawn.kind == "fixed":
            lists[name] = [value and value.hex() for value in drawn.values]
    return lists


def csv_cell(value: Any, rng: random.Random) -> str:
    """A cell as people's programs write it."""
    if value is None:
        return rng.choice(["", *MISSING_TEXTS])
    if isinstance(value, list):
        return SEPARATOR.join(csv_cell(entry, rng) for entry in value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, bool):
        return rng.choice([str(value), str(value).lower(), str(int(value))])
    return str(portable(value))


def by_csv(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    path = directory / "test.csv"
    lists = python_columns(columns)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(lists)
        for row in zip(*lists.values(), strict=True):
            writer.writerow([csv_cell(value, rng) for value in row])
    return str(path)


def by_cells(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    """The texts of a CSV file's cells, in a table in memory."""
    cells = {}
    for name, values in python_columns(columns).items():
        cells[name] = [csv_cell(value, rng) for value in values]
    return cells


def by_parquet(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    path = directory / "test.parquet"
    pq.write_table(pa.table(arrow_columns(columns)), path, row_group_size=97)
    return str(path)


def by_orc(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    """As Hive and Spark write it; what ORC has no type for is a decimal, a number or a text."""
    path = str(directory / "test.orc")
    lists = python_columns(columns)
    arrays = {}
    for name, array in arrow_columns(columns).items():
        kind = columns[name].kind
        if kind == "unsigned":
            decimals = pa.decimal128(20, 0)
            array = array.cast(pa.list_(decimals) if columns[name].is_list else decimals)
        if kind in ("clock", "duration", "uuid", "fixed"):
            array = pa.array([portable(value) for value in lists[name]])
        arrays[name] = array
    orc.write_table(pa.table(arrays), path, compression="zstd")
    return path


def by_tfrecord(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    path = str(directory / "test.tfrecord")
    lists = python_columns(columns)
    with tf.io.TFRecordWriter(path) as writer:
        for row in zip(*lists.values(), strict=True):
            features = {}
            for (name, drawn), value in zip(columns.items(), row, strict=True):
                if value is not None:
                    features[name] = _feature(value, drawn)
            by_name = tf.train.Features(feature=features)
            writer.write(tf.train.Example(features=by_name).SerializeToString())
    return path


def _feature(value: Any, drawn: Drawn) -> tf.train.Feature:
    """A value as a feature; what int64 and float32 do not hold whole is written as text."""
    entries = value if isinstance(value, list) else [value]
    if drawn.kind in ("integer", "small", "boolean", "duration") and not drawn.is_list:
        integers = [int(portable(entry)) for entry in entries]
        return tf.train.Feature(int64_list=tf.train.Int64List(value=integers))
    if drawn.kind in ("whole float", "fraction"):
        floats = [float("nan") if entry is None else entry for entry in entries]
        return tf.train.Feature(float_list=tf.train.FloatList(value=floats))
    texts = []
    for entry in entries:
        text = "" if entry is None else portable(entry)
        texts.append(text if isinstance(text, bytes) else str(text).encode())
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))


def by_pandas(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    series = {}
    for (name, drawn), values in zip(
        columns.items(), python_columns(columns).values(), strict=True
    ):
        # As numbers of pandas' own, integers with missing ones would become floats.
        is_object = drawn.is_list or None in values
        series[name] = pd.Series(values, dtype=object if is_object else None)
    return pd.DataFrame(series)


def by_pandas_nullable(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    frame: pd.DataFrame = by_pandas(columns, directory, rng)
    kinds = {
        "integer": "Int64",
        "small": "Int8",
        "unsigned": "UInt64",
        "boolean": "boolean",
        "whole float": "Float64",
        "float": "Float64",
        "moment": "datetime64[us]",
        "exact moment": "datetime64[ns]",
        "duration": "timedelta64[s]",
    }
    for name, drawn in columns.items():
        text = "category" if rng.random() < 0.5 else "string"
        kind = kinds.get(drawn.kind, text if arrow_type(drawn.kind) == pa.string() else "")
        if kind and not drawn.is_list:
            frame[name] = frame[name].astype(kind)
    return frame


def by_pandas_arrow(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    series = {}
    for name, array in arrow_columns(columns).items():
        series[name] = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])))
    return pd.DataFrame(series)


def by_polars(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    arrays = {}
    for (name, array), values in zip(
        arrow_columns(columns).items(), python_columns(columns).values(), strict=True
    ):
        kind = columns[name].kind
        if kind == "uuid":
            texts = (
                [[str(x) if x else None for x in row] if row else row for row in values]
                if (columns[name].is_list)
                else [value and str(value) for value in values]
            )
            arrays[name] = pl.Series(
                texts, dtype=pl.List(pl.String) if columns[name].is_list else None
            )
        elif kind == "fixed":
            arrays[name] = pl.Series(values)
        elif kind == "moment" and not columns[name].is_list:
            arrays[name] = pl.Series(array.cast(pa.timestamp("ms")))
        else:
            arrays[name] = pl.Series(array)
        if arrays[name].dtype == pl.String and rng.random() < 0.3:
            arrays[name] = arrays[name].cast(pl.Categorical)
    return pl.DataFrame(arrays)


def by_arrow(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    return pa.table({name: varied(array, rng) for name, array in arrow_columns(columns).items()})


def by_lists(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    return python_columns(columns)


def by_mixed_lists(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    """Python values, of which some are texts of the same meaning, or NumPy's."""
    mixed = {}
    for (name, drawn), values in zip(
        columns.items(), python_columns(columns).values(), strict=True
    ):
        mixed[name] = values
        if drawn.kind in ("integer", "decimal", "date", "uuid") and not drawn.is_list:
            mixed[name] = [_varied_value(value, rng) for value in values]
        elif drawn.kind in ("boolean", "whole float") and not drawn.is_list:
            mixed[name] = [
                value if rng.random() < 0.5 else portable_text(value) for value in values
            ]
    return mixed


def portable_text(value: Any) -> Any:
    return None if value is None else str(value)


def _varied_value(value: Any, rng: random.Random) -> Any:
    if value is None:
        return rng.choice([None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), "", "NA"])
    if isinstance(value, int) and rng.random() < 0.3:
        return np.int64(value)
    return str(value) if rng.random() < 0.3 else value


def by_numpy(columns: Columns, directory: pathlib.Path, rng: random.Random) -> Any:
    kinds: dict[str, Any] = {
        "integer": np.int64,
        "small": np.int16,
        "unsigned": np.uint64,
        "boolean": np.bool_,
        "whole float": np.float32,
        "float": np.float64,
        "moment": "M8[s]",
        "exact moment": "M8[us]",
        "date": "M8[D]",
        "duration": "m8[s]",
    }
    arrays: dict[str, Any] = {}
    for (name, drawn), values in zip(
        columns.items(), python_columns(columns).values(), strict=True
    ):
        kind = kinds.get(drawn.kind)
        if kind is None or drawn.is_list:
            arrays[name] = np.empty(len(values), object)
            arrays[name][:] = values
            continue
        is_missing = [value is None for value in values]
        present = [0 if value is None else value for value in values]
        filled = np.array(values if str(kind)[1:2] == "8" else present, kind)
        arrays[name] = np.ma.array(filled, mask=is_missing) if any(is_missing) else filled
    return arrays


FILES_AND_FRAMES: dict[str, Callable[[Columns, pathlib.Path, random.Random], Any]] = {
    "CSV": by_csv,
    "cells": by_cells,
    "Parquet": by_parquet,
    "ORC": by_orc,
    "TFRecord": by_tfrecord,
    "pandas": by_pandas,
    "pandas nullable": by_pandas_nullable,
    "pandas Arrow": by_pandas_arrow,
    "Polars": by_polars,
    "Arrow": by_arrow,
    "lists": by_lists,
    "mixed lists": by_mixed_lists,
    "NumPy": by_numpy,
}


def ids_of(features: Features, columns: Mapping[str, Any]) -> Ids:
    """What the model gets of raw columns as NumPy arrays."""
    tensors = {}
    for column in features.schema.inputs:
        tensors[column.name] = tf.constant(columns[column.name], column.dtype)
    return {name: tensor.numpy() for name, tensor in features(tensors).items()}


def expected_ids(columns: Columns, features: Features) -> Ids:
    """What the model gets by the meaning of each value."""
    return ids_of(features, canonical(columns))


def column_type(dtype: Dtype) -> Any:
    """NumPy's type of a column."""
    return object if dtype == "string" else np.dtype(dtype)


def canonical(columns: Columns) -> dict[str, np.ndarray]:
    """The meanings as arrays, lists padded with what is absent."""
    arrays = {}
    for name, drawn in columns.items():
        numpy_type = column_type(drawn.dtype)
        rows = drawn.expected
        if drawn.is_list:
            absent = {"string": "", "int64": -1, "float32": np.nan}[drawn.dtype]
            width = max(len(row) for row in rows)
            rows = [[*row, *[absent] * (width - len(row))] for row in rows]
        arrays[name] = np.array(rows, np.float64 if drawn.dtype == "float32" else numpy_type)
        arrays[name] = arrays[name].astype(numpy_type)
    return arrays


def read_ids(source: Any, features: Features) -> Ids:
    """What the model gets of a file's path, or of a table of any library."""
    if not isinstance(source, str):
        source = ArrowRows("rows", to_arrow(source, "rows", features.schema))
    blocks = list(
        read_blocks([source], features.schema, bad_rows=BadRows(), block_rows=150, labels=False)
    )
    found = [ids_of(features, block.columns) for block in blocks]
    return {name: np.concatenate([ids[name] for ids in found]) for name in found[0]}


def client_ids(rows: Any, features: Features) -> Ids:
    """What the model gets of rows that the client was given."""
    schema = features.schema
    names = {}
    for column in schema.inputs:
        names[column.input] = column.dtype + ("s" if column.max_length else "")
    inputs = client_columns.types(tensor_infos(**names))
    inputs.missing = schema.missing
    for name, wanted in inputs.items():
        inputs[name] = wanted._replace(separator=SEPARATOR)
    arrays, _ = client_columns.to_arrays(rows, inputs, "serving_default")
    return ids_of(features, {column.name: arrays[column.input] for column in schema.inputs})


def example_ids(columns: Columns, features: Features) -> Ids:
    """What the model gets of serialized tf.Examples."""
    serialized = examples(features.schema, canonical(columns))
    outputs = _IdsOnly(features).examples(tf.constant(serialized))
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def json_ids(columns: Columns, features: Features, rng: random.Random) -> Ids:
    """What the model gets of a REST request, in which all may stand that means a missing value."""
    schema = features.schema
    inputs = {}
    names = {}
    for name, array in by_input(schema, canonical(columns)).items():
        inputs[name] = array.tolist()
    for column in schema.inputs:
        names[column.input] = column.dtype + ("s" if column.max_length else "")
        if column.max_length:
            continue
        texts_or_numbers: dict[str, list[Any]] = {
            "string": ["", *MISSING_TEXTS, str(UNKNOWN)],
            "int64": [ABSENT["int64"], UNKNOWN],
            "float32": [float("nan"), float(UNKNOWN)],
        }
        spellings = texts_or_numbers[column.dtype]
        values = inputs[column.input]
        for place, is_here in enumerate(is_present(np.array(values, column_type(column.dtype)))):
            if not is_here:
                values[place] = rng.choice(spellings)
    document = rest_json.parse(json.dumps({"inputs": inputs}).encode())
    arrays, _ = rest_json.to_arrays(document, tensor_infos(**names))
    return ids_of(features, {column.name: arrays[column.input] for column in schema.inputs})


def compare(seed: int, rows: int, directory: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Brings one drawn table in by every way.

    Args:
        seed: Of the draw.
        rows: The number of rows.
        directory: Where files are written.

    Returns:
        For each way the cells that came in, and the rows of which the model gets something else
        than their values mean.
    """
    columns = draw(seed, rows)
    schema = schema_of(columns)
    features = Features(schema, directory)
    expected = expected_ids(columns, features)
    found = {}
    for way, make in FILES_AND_FRAMES.items():
        rng = random.Random(seed)
        source = make(columns, directory, rng)
        found[way] = read_ids(source, features)
        if not isinstance(source, str):
            found[f"client, {way}"] = client_ids(source, features)
    found["tf.Example"] = example_ids(columns, features)
    found["REST JSON"] = json_ids(columns, features, random.Random(seed))
    cells = len(columns) * rows
    return {way: (cells, differing_rows(ids, expected)) for way, ids in found.items()}


def differing_rows(found: Ids, expected: Ids) -> int:
    """The number of rows of which the model gets something else."""
    differs = np.zeros(len(expected["ids"]), bool)
    for name, values in expected.items():
        differs |= (found[name] != values).any(axis=1)
    return int(differs.sum())


def count_table(counts: Mapping[str, tuple[int, int]]) -> str:
    """The ways as lines of text: cells, and rows that differ."""
    lines = [f"{'way':24} {'cells':>8} {'rows that differ':>17}"]
    for way, (cells, differing) in counts.items():
        lines.append(f"{way:24} {cells:8,} {differing:17,}")
    return "\n".join(lines)
