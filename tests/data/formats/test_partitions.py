"""Folders that hold values are columns, as `pyarrow.dataset` reads them."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.fingerprint import changes, of_splits
from tafe_tf.data.formats.partitions import keys_of, names_within
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_splits
from tafe_tf.data.formats.write import write
from tafe_tf.drafting.draft import draft
from tafe_tf.first_look.look import look
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="log",
    features=(
        Feature(name="user", kind="hash", buckets=16),
        Feature(name="shop", kind="hash", buckets=16),
        Feature(name="hour", kind="vocabulary", dtype="int64"),
    ),
    tasks=(Task(name="click"),),
    group="dt",
    time="dt",
)
SHOPS = ["Café / =%", "a+b", "x y", None]
EXTENSIONS = ("csv.gz", "parquet", "tfrecord")


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "user": [f"u{i}" for i in range(200)],
            "click": rng.integers(0, 2, 200),
            "dt": rng.choice(["2026-11-18", "2026-11-19"], 200),
            "hour": ["03"] * 200,
            "shop": [SHOPS[i] for i in rng.integers(0, 4, 200)],
        }
    )


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value  # as TFRecord has texts


def partitioned(folder: pathlib.Path, rows: pa.Table, extension: str) -> pathlib.Path:
    """The rows as pyarrow writes them, by day, hour and shop, then in the format asked for."""
    keys = pa.schema([("dt", pa.string()), ("hour", pa.string()), ("shop", pa.string())])
    ds.write_dataset(
        rows,
        folder / "arrow",
        format="parquet",
        partitioning=ds.partitioning(keys, flavor="hive"),
    )
    for path in sorted((folder / "arrow").rglob("*.parquet")):
        target = folder / "log" / path.relative_to(folder / "arrow").parent
        target.mkdir(parents=True)
        columns = ds.dataset(path, format="parquet").to_table().to_pydict()
        write(target / f"part-0.{extension}", columns)
    (folder / "log" / "_SUCCESS").touch()
    (folder / "log" / "dt=2026-11-20" / "hour=00").mkdir(parents=True)  # a day without rows
    return folder / "log"


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_reader_gives_what_pyarrow_gives(
    tmp_path: pathlib.Path, rows: pa.Table, extension: str
) -> None:
    log = partitioned(tmp_path, rows, extension)
    keys = pa.schema([("dt", pa.string()), ("hour", pa.string()), ("shop", pa.string())])
    dataset = ds.dataset(tmp_path / "arrow", partitioning=ds.partitioning(keys, flavor="hive"))
    theirs = dataset.to_table().sort_by("user")
    files = find_splits(log)["train"]
    assert files == find_sources(str(log)) and len(files) == 8
    found: dict[str, list[Any]] = {name: [] for name in ("user", "shop", "hour", "dt", "time")}
    for block in read_blocks(files, SCHEMA, bad_rows=BadRows(), keep=["dt"]):
        for name in ("user", "shop", "hour"):
            found[name] += [_text(value) for value in block.columns[name]]
        found["dt"] += block.kept["dt"].to_pylist()
        assert block.time is not None
        found["time"] += list(block.time)
    order = np.argsort(found["user"])
    ours = {name: [values[i] for i in order] for name, values in found.items()}
    assert ours["user"] == sorted(rows["user"].to_pylist())
    assert ours["shop"] == [shop or "" for shop in theirs["shop"].to_pylist()]
    assert ours["hour"] == [int(hour) for hour in theirs["hour"].to_pylist()]
    assert ours["dt"] == theirs["dt"].to_pylist()
    assert ours["time"] == [np.datetime64(day, "ns") for day in ours["dt"]]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_keys_alone_can_be_read_from_any_row_on(
    tmp_path: pathlib.Path, rows: pa.Table, extension: str
) -> None:
    files = find_splits(partitioned(tmp_path, rows, extension))["train"]
    blocks = list(read_blocks(files, SCHEMA, bad_rows=BadRows(), columns=["hour", "shop"]))
    assert sum(len(block.columns["hour"]) for block in blocks) == 200
    later = list(
        read_blocks(files, SCHEMA, bad_rows=BadRows(), columns=["hour", "shop"], start_row=150)
    )
    whole = np.concatenate([block.columns["shop"] for block in blocks])
    np.testing.assert_array_equal(
        np.concatenate([block.columns["shop"] for block in later]), whole[150:]
    )


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_key_that_is_also_a_column_is_an_error(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / "hour=3" / f"train.{extension}"
    path.parent.mkdir()
    columns: dict[str, Any] = {"user": ["a", "b"], "hour": [1, 2], "shop": ["x", "y"]}
    write(path, {**columns, "click": [1, 0], "dt": ["2026-11-18"] * 2})
    rule = r"train\..*: column 'hour' stands in the file and in a folder's name, hour=VALUE; write"
    with pytest.raises(DataError, match=rule):
        list(read_blocks([str(path)], SCHEMA, bad_rows=BadRows()))
    assert any("stands in the file and in" in text for text in look(tmp_path).problems)
    # Where it is not read, nothing asks for it.
    list(read_blocks([str(path)], SCHEMA, bad_rows=BadRows(), columns=["user"]))


def test_keys_that_differ_between_files(tmp_path: pathlib.Path) -> None:
    for name in ("dt=1/a.csv", "dt=2/a.csv", "b.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("click\n1\n")
    rule = r"b\.csv: lies in no folder dt=VALUE, and .*dt=1/a\.csv does; give files of the same"
    for find in (find_sources, find_splits):
        with pytest.raises(DataError, match=rule):
            find(str(tmp_path))
    (tmp_path / "b.csv").unlink()
    assert len(find_sources(str(tmp_path))) == 2
    with pytest.raises(DataError, match=r"two folders have the key 'dt'"):
        keys_of("/log/dt=1/dt=2/a.csv")


def test_folders_of_a_split_hold_partitions(tmp_path: pathlib.Path) -> None:
    for name in ("train/dt=1/a.csv", "train/dt=2/a.csv", "train/old/b.csv", "test/dt=3/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("click\n1\n")
    found = find_splits(tmp_path)
    assert names_within(found["train"]) == ["dt=1/a.csv", "dt=2/a.csv"]
    assert names_within(found["test"]) == ["dt=3/a.csv"]


def test_fingerprints_tell_partitions_apart(tmp_path: pathlib.Path) -> None:
    """All partitions have a file part-0, so its name alone does not say which one has changed."""
    paths = []
    for day in (1, 2, 3):
        path = tmp_path / f"dt={day}" / "part-0.csv"
        path.parent.mkdir()
        path.write_text(f"click\n{day % 2}\n")
        paths.append(str(path))
    noted = of_splits({"train": paths[:2]})
    pathlib.Path(paths[0]).write_text("click\n7\n")
    assert changes(noted, of_splits({"train": paths})) == [
        *("dt=1/part-0.csv holds other bytes", "dt=3/part-0.csv is new"),
    ]


def test_a_draft_and_a_look_know_the_keys(tmp_path: pathlib.Path, rows: pa.Table) -> None:
    log = partitioned(tmp_path, rows, "csv")
    text = draft(log, tasks=["click"])
    for line in ('time = "dt"', 'name = "shop"', "'hour' is '03' in all rows"):
        assert line in text
    (log / "schema.toml").write_text(text)
    found = look(log)
    assert found.problems == () and found.rows == {"train": 200}
