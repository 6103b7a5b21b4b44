"""A small dataset of every kind of field to prepare, and what is read back of it."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write
from tafe_tf.engines.preparation import Engine

SCHEMA = """
name = "shop"
group = "user"
time = "at"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
[[features]]
name = "city"
kind = "vocabulary"
min_count = 3
[[features]]
name = "user"
kind = "vocabulary"
[[features]]
name = "item"
kind = "vocabulary"
dtype = "int64"
min_count = 2
[[features]]
name = "shop"
kind = "hash"
buckets = 10
[[features]]
name = "hour"
kind = "integer"
size = 24
[[features]]
name = "price"
kind = "log_round"
[[features]]
name = "price_class"
column = "price"
kind = "quantile"
buckets = 8
[[features]]
name = "tags"
kind = "vocabulary"
max_length = 3
weights = "tag_weights"
"""
# Of the source and of the shards.
FORMATS = [("csv", "parquet"), ("parquet", "tfrecord"), ("tfrecord", "parquet")]
BAD = ("row 7, column 'buy'", "row 30, column 'hour'")


def rows(count: int, seed: int, bad: bool = False) -> dict[str, list[Any]]:
    """Rows with missing values, lists of any length, many scripts and many values of one count."""
    rng = np.random.default_rng(seed)
    tags = [[f"tag {t}" for t in rng.integers(0, 12, n)] for n in rng.integers(0, 6, count)]
    columns: dict[str, list[Any]] = {
        "city": [
            ["Köln", "東京", "Łódź", "a b", "", '"', "😀"][i % 7] or None
            for i in rng.integers(0, 50, count)
        ],
        "user": [f"ü{i}" for i in rng.integers(0, count // 3, count)],
        "item": [None if rng.random() < 0.1 else int(i) - 5 for i in rng.zipf(1.5, count) % 90],
        "shop": [f"s{i}" for i in rng.integers(0, 99, count)],
        "hour": rng.integers(0, 24, count).tolist(),
        "price": [
            None if rng.random() < 0.1 else float(p) for p in rng.lognormal(2, 2, count).round(3)
        ],
        "tags": list(tags),
        "tag_weights": [rng.uniform(0.1, 1, len(t)).round(3).tolist() for t in tags],
        "at": (1_700_000_000 + rng.integers(0, 10**6, count)).tolist(),
        "click": [int(i % 3 == 0) for i in range(count)],
        "buy": [int(i % 6 == 0) for i in range(count)],
    }
    if bad:
        columns["buy"][6], columns["click"][6] = 1, 0
        columns["hour"] = [str(hour) for hour in columns["hour"]]
        columns["hour"][29] = "noon"
    return columns


def make_data(directory: pathlib.Path, extension: str) -> pathlib.Path:
    """Two training files, the second with two bad rows, one of validation and one of test rows."""
    directory.mkdir(parents=True)
    (directory / "schema.toml").write_text(SCHEMA)
    write(directory / f"train-a.{extension}", rows(150, 0))
    write(directory / f"train-b.{extension}", rows(100, 1, bad=True))
    write(directory / f"valid.{extension}", rows(40, 2))
    write(directory / f"test.{extension}", rows(70, 3))
    return directory


def beam_engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Beam whose workers run in this process, without a download of Prism."""
    pytest.importorskip("apache_beam")
    from apache_beam.runners.portability import prism_runner

    from tafe_tf.engines.beam import BeamDriver
    from tafe_tf.engines.dealt import DealtEngine

    def refuse(*_: Any) -> None:
        raise RuntimeError("not in tests")

    monkeypatch.setattr(prism_runner.PrismRunner, "run_pipeline", refuse)
    return DealtEngine(BeamDriver(["--runner=DirectRunner"]))


def content(directory: pathlib.Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file()
    }


def read(directory: pathlib.Path, split: str) -> dict[str, list[Any]]:
    """All good rows of a split in order, texts as `str`."""

    def value(item: Any) -> Any:
        if isinstance(item, list):
            return [value(x) for x in item]
        return item.decode() if isinstance(item, bytes) else "NaN" if item != item else item

    schema = schema_toml.load(directory / "schema.toml")
    blocks = list(
        read_blocks(find_files(directory, split), schema, bad_rows=BadRows("drop"), block_rows=13)
    )
    columns = {
        name: [value(x) for b in blocks for x in b.columns[name].tolist()]
        for name in blocks[0].columns
    }
    if schema.time:
        columns[schema.time] = [
            value(x) for b in blocks if b.time is not None for x in b.time.tolist()
        ]
    return columns | {"labels": [x for b in blocks for x in b.labels.tolist()]}
