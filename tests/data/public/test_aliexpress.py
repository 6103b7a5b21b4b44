"""The AliExpress reader against the csv module, on two invented countries and on the sample."""

from __future__ import annotations

import csv
import json
import math
import pathlib
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from samples import sample_folder

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.lock import LockError, locked
from tafe_tf.data.public import aliexpress
from tafe_tf.data.public.aliexpress import prepare
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features

CATEGORICAL = [f"categorical_{i}" for i in range(1, 17)]
NUMERICAL = [f"numerical_{i}" for i in range(1, 64)]
HEADER = ["search_id", *CATEGORICAL, *NUMERICAL, "click", "conversion"]
LABELS = [
    ("0", "0"),
    ("1", "0"),
    ("1", "1"),
    ("0", "1"),
    ("0", "0"),
]  # the fourth of five is dropped
Row = dict[str, str]


def invented(count: int, seed: int) -> list[Row]:
    """Rows as published: three a search, six decimals, whole numbers in three columns."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        row = {name: str(rng.integers(0, 3)) for name in CATEGORICAL}
        row |= {name: str(round(float(rng.random()), 6)) for name in NUMERICAL}
        row |= {f"numerical_{j}": "0" for j in (58, 59, 60)}
        row["click"], row["conversion"] = LABELS[i % 5]
        rows.append({"search_id": str(i // 3), **row})
    return rows


def put(folder: pathlib.Path, split: str, rows: list[Row], header: list[str] = HEADER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{split}.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, header, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def raw(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two countries: 40 and 25 training rows, 10 test rows each."""
    for number, (country, count) in enumerate([("NL", 40), ("ES", 25)]):
        put(tmp_path / f"raw/AliExpress_{country}", "train", invented(count, 2 * number))
        put(tmp_path / f"raw/AliExpress_{country}", "test", invented(10, 2 * number + 1))
    return tmp_path / "raw"


def twin(path: pathlib.Path, country: str = "") -> list[dict[str, Any]]:
    """What is to be written of a raw file, row by row."""
    with open(path, newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if (row["click"], row["conversion"]) != ("0", "1")
        ]
    start = {"country": country} if country else {}
    return [
        start
        | {"search_id": f"{country}_{row['search_id']}" if country else row["search_id"]}
        | {name: int(row[name]) for name in CATEGORICAL}
        | {name: float(np.float32(row[name])) for name in NUMERICAL}
        | {name: int(row[name]) for name in ("click", "conversion")}
        for row in rows
    ]


def written(data_dir: pathlib.Path, split: str) -> list[dict[str, Any]]:
    return [row for path in find_files(data_dir, split) for row in pq.read_table(path).to_pylist()]


def content(data_dir: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in data_dir.iterdir()}


def test_the_sample(tmp_path: pathlib.Path) -> None:
    sample = sample_folder("aliexpress")
    (tmp_path / "raw").mkdir()
    for split in ("train", "test"):
        text = (sample / f"aliexpress_{split}_sample.csv").read_bytes()
        (tmp_path / f"raw/{split}.csv").write_bytes(text)
    rows = prepare(tmp_path / "raw", tmp_path / "data")["rows"]
    assert [(rows[s]["read"], rows[s]["written"], rows[s]["dropped"]) for s in rows] == [
        (100, 100, 0),
        (20, 20, 0),
    ]
    for split in ("train", "test"):
        assert written(tmp_path / "data", split) == twin(tmp_path / f"raw/{split}.csv")
    numbers = np.array(
        [[row[name] for name in NUMERICAL] for row in written(tmp_path / "data", "train")]
    )
    assert numbers.min() == 0.0 and numbers.max() == 1.0  # what the buckets are made for


def test_one_country(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    blocks: list[int] = []
    record = prepare(raw, tmp_path / "data", ["NL"], shard_rows=16, on_rows=blocks.append)
    assert record == json.loads((tmp_path / "data/prepared.json").read_text())
    counts = {"read": 40, "written": 32, "dropped": 8, "shards": 3, "complete": True}
    assert record["rows"]["train"] == counts and blocks == [16, 16, 8, 10]
    for split in ("train", "test"):
        assert written(tmp_path / "data", split) == twin(raw / f"AliExpress_NL/{split}.csv")
    prepare(
        raw / "AliExpress_NL", tmp_path / "same", shard_rows=16
    )  # the folder's files by themselves
    same = ["schema.toml", *(f"train-0000{i}.parquet" for i in range(3)), "test-00000.parquet"]
    assert all(
        content(tmp_path / "data")[name] == content(tmp_path / "same")[name] for name in same
    )


@pytest.mark.parametrize("format", ["parquet", "csv", "csv.gz", "tfrecord"])
def test_countries_joined_in_every_format(
    raw: pathlib.Path, tmp_path: pathlib.Path, format: str
) -> None:
    record = prepare(raw, tmp_path / "data", ["NL", "ES"], format=format, shard_rows=32)
    assert record["rows"]["train"]["dropped"] == 13 and record["rows"]["train"]["shards"] == 3
    files = find_files(tmp_path / "data", "train")
    expected = [row for c in ("NL", "ES") for row in twin(raw / f"AliExpress_{c}/train.csv", c)]
    schema = schema_toml.load(tmp_path / "data/schema.toml")
    found: dict[str, list[Any]] = {name: [] for name in expected[0]}
    for block in read_blocks(files, schema, bad_rows=BadRows()):
        labels = {name: block.labels[:, i] for i, name in enumerate(schema.labels)}
        for name, values in {**block.columns, **labels}.items():
            found[name] += [v.decode() if isinstance(v, bytes) else v for v in values.tolist()]
    assert found == {name: [row[name] for row in expected] for name in expected[0]}
    if format == "parquet":
        assert written(tmp_path / "data", "train") == expected


def test_what_the_model_gets(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    prepare(raw, tmp_path / "data", ["NL", "ES"])
    schema = schema_toml.load(tmp_path / "data/schema.toml")
    files = find_files(tmp_path / "data", "train")
    vocabulary.build(files, schema, tmp_path / "data", BadRows())
    features = Features(schema, tmp_path / "data")
    (batch,) = FunnelData(files=files, schema=schema, batch_size=100).evaluation_batches("all")
    ids = features({name: tf.constant(values) for name, values in batch.inputs.items()})[
        "ids"
    ].numpy()
    assert ids.shape == (52, 80) and batch.labels.shape == (52, 2)
    assert batch.extra["search_id"].tolist()[::51] == ["NL_0", "ES_8"]
    assert ids[:, 0].tolist() == [2] * 32 + [3] * 20  # the more frequent country first
    last = round(200 * math.log1p(1))
    values = np.array(
        [[row[name] for name in NUMERICAL[:57]] for row in written(tmp_path / "data", "train")]
    )
    np.testing.assert_array_equal(ids[:, 17:74], 2 + last + np.round(200 * np.log1p(values)))
    assert features.rows[17] == 2 + 2 * last + 1
    assert {"country", "categorical_9", "numerical_23"} <= set(schema.user_inputs)
    assert not {"categorical_10", "numerical_24"} & set(schema.user_inputs)


@pytest.mark.parametrize("stop", range(1, 7))
@pytest.mark.parametrize("function", ["_write", "write_json"])
def test_a_killed_run_goes_on(
    raw: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    stop: int,
) -> None:
    prepare(raw, tmp_path / "whole", ["NL", "ES"], shard_rows=16)
    calls: list[Any] = []
    original = getattr(aliexpress, function)

    def killed(*arguments: Any) -> None:
        calls.append(arguments)
        # a record that was never begun leaves nothing to go on from
        if len(calls) == stop + (function == "write_json"):
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(aliexpress, function, killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(raw, tmp_path / "data", ["NL", "ES"], shard_rows=16)
    assert not (tmp_path / "data/prepared.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").glob("train-*")}
    monkeypatch.undo()
    with pytest.raises(
        DataError, match=r"data: is being prepared with shard_rows 16; .*Received: 17"
    ):
        prepare(raw, tmp_path / "data", ["NL", "ES"], shard_rows=17)
    prepare(raw, tmp_path / "data", ["NL", "ES"], shard_rows=16)
    assert content(tmp_path / "data") == content(tmp_path / "whole")
    kept = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert len(kept) >= len(before) - 1  # at most the shard that the record did not know


def test_all_rows_of_a_block_dropped(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = prepare(raw, tmp_path / "data", ["NL"], shard_rows=1)["rows"]
    assert (rows["train"]["read"], rows["train"]["shards"]) == (40, 32)
    assert written(tmp_path / "data", "train") == twin(raw / "AliExpress_NL/train.csv")


def test_a_directory_of_something_else_is_refused(
    raw: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    data = tmp_path / "data"
    prepare(raw, data, ["NL"])
    before = content(data)
    assert prepare(raw, data, ["NL"])["rows"]["train"]["written"] == 32 and content(data) == before
    message = (
        r"data: was prepared with countries \['NL'\]; take another directory, or empty it. "
        r"Received: \['ES'\]"
    )
    with pytest.raises(DataError, match=message):
        prepare(raw, data, ["ES"])
    with pytest.raises(
        DataError, match=r"data: was prepared with format 'parquet'; .*Received: 'csv'"
    ):
        prepare(raw, data, ["NL"], format="csv")
    put(raw / "AliExpress_NL", "test", invented(11, 1))
    with pytest.raises(
        DataError,
        match=r"data: was prepared with sources \{.*Received: \{'AliExpress_NL/train.csv': ",
    ):
        prepare(raw, data, ["NL"])
    assert content(data) == before
    with pytest.raises(
        DataError, match=r"AliExpress_NL: holds train.csv of another job; take another directory"
    ):
        prepare(raw, raw / "AliExpress_NL", ["NL"])


def test_a_shard_that_is_gone(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    prepare(raw, tmp_path / "data", ["NL"])
    (tmp_path / "data/test-00000.parquet").unlink()
    with pytest.raises(
        DataError, match=r"test-00000.parquet: was written and is gone; empty .*data and prepare it"
    ):
        prepare(raw, tmp_path / "data", ["NL"])


def test_a_shard_that_is_damaged_and_a_folder_in_use(
    raw: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    data = tmp_path / "data"
    prepare(raw, data, ["NL"])
    shard = data / "test-00000.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[::-1])
    with pytest.raises(DataError, match=r"data: test-00000.parquet holds other bytes .* prepare"):
        prepare(raw, data, ["NL"])
    shard.write_bytes(content)
    with locked(data), pytest.raises(LockError, match=r"data: process \d+ .* writes in this"):
        prepare(raw, data, ["NL"])
    prepare(raw, data, ["NL"])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("click", "2", r"column 'click': a label must be 0 or 1. Received: '2'"),
        ("conversion", "?", r"column 'conversion': a label must be 0 or 1; say .* Received: '\?'"),
        ("categorical_3", "x", r"column 'categorical_3': must be an integer. Received: 'x'"),
        ("categorical_3", "1.5", r"column 'categorical_3': must be an integer. Received: '1.5'"),
        ("numerical_63", "0,1", r"column 'numerical_63': must be a number. Received: '0,1'"),
    ],
)
def test_bad_cells(
    raw: pathlib.Path, tmp_path: pathlib.Path, column: str, value: str, message: str
) -> None:
    rows = invented(40, 0)
    rows[30][column] = value  # behind rows that are dropped
    put(raw / "AliExpress_ES", "train", rows)
    with pytest.raises(BadRowError, match=r"AliExpress_ES/train.csv: row 31, " + message):
        prepare(raw, tmp_path / "data", ["NL", "ES"], shard_rows=16)


def test_a_mended_file_is_another_one(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = invented(40, 0)
    good, rows[30]["click"] = rows[30]["click"], "7"
    put(raw / "AliExpress_NL", "train", rows)
    with pytest.raises(BadRowError, match="row 31, column 'click'"):
        prepare(raw, tmp_path / "data", ["NL"], shard_rows=16)
    assert [path.name for path in (tmp_path / "data").glob("train-*")] == ["train-00000.parquet"]
    rows[30]["click"] = good  # as long as it was
    put(raw / "AliExpress_NL", "train", rows)
    with pytest.raises(DataError, match=r"is being prepared from another AliExpress_NL/train.csv"):
        prepare(raw, tmp_path / "data", ["NL"], shard_rows=16)


def test_a_row_of_another_width(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with open(raw / "AliExpress_NL/train.csv", "a") as file:
        file.write("1,2,3\n")
    with pytest.raises(
        BadRowError, match=r"AliExpress_NL/train.csv: row 41: must have 82 cells. Received: 3"
    ):
        prepare(raw, tmp_path / "data", ["NL"])


def test_missing_columns_and_files(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    put(
        raw / "AliExpress_NL",
        "test",
        invented(5, 0),
        [name for name in HEADER if name != "numerical_7"],
    )
    with pytest.raises(
        DataError, match=r"AliExpress_NL/test.csv: column 'numerical_7' is missing; the columns are"
    ):
        prepare(raw, tmp_path / "data", ["NL"])
    (raw / "AliExpress_ES/test.csv").unlink()
    with pytest.raises(DataError, match=r"AliExpress_ES: no file test.EXT, test-\*.EXT"):
        prepare(raw, tmp_path / "more", ["ES"])
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("countries", [["FR"], ["NL", "NL"], ["NL", "FR"], "NL", []])
def test_countries_that_are_not_there(
    raw: pathlib.Path, tmp_path: pathlib.Path, countries: list[str]
) -> None:
    message = (
        r"raw: countries must be one or more of the AliExpress_\* folders \['ES', 'NL'\], "
        r"each once. Received: \["
    )
    with pytest.raises(DataError, match=message):
        prepare(raw, tmp_path / "data", countries)


def test_other_settings_that_cannot_be(raw: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"train.xlsx: must end in one of .csv, "):
        prepare(raw, tmp_path / "data", ["NL"], format="xlsx")
    with pytest.raises(ValueError, match=r"shard_rows must be 1 or more. Received: 0"):
        prepare(raw, tmp_path / "data", ["NL"], shard_rows=0)
