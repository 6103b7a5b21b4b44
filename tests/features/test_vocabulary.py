"""Vocabularies and statistics from training files."""

import csv
import json
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import BadRowError
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.manifest import ManifestError, entries
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.schema import Feature, Schema, SchemaError, Task

SCHEMA = Schema(
    name="t",
    features=(
        Feature(name="city", kind="vocabulary", min_count=2),
        Feature(name="user", kind="vocabulary", dtype="int64"),
        Feature(name="tags", kind="vocabulary", max_length=2),
        Feature(name="hour", kind="integer", size=24),
    ),
    tasks=(Task(name="click"), Task(name="buy")),
)
TABLE = [
    # city, user, tags, hour, click, buy
    ("Köln", 7, "x|y|z", 1, 1, 1),
    ("Köln", 7, "y", 2, 1, 0),
    ("", -1, "", 3, 0, 0),
    ("b", -900719925474099301, "y|x", 4, 0, 0),
    ("a", 5, "q", 24, 1, 0),
    ("b", 5, "x|y", -6, 0, 0),
    ("b", "", "x", 6, 0, 0),
]


def write(path: pathlib.Path, rows: list[tuple]) -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("city", "user", "tags", "hour", "click", "buy"), *rows])
    return str(path)


def read_all(directory: pathlib.Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file()
    }


def test_build(tmp_path: pathlib.Path) -> None:
    files = [write(tmp_path / "train-0.csv", TABLE[:3]), write(tmp_path / "train-1.csv", TABLE[3:])]
    out = tmp_path / "out"
    statistics = vocabulary.build(files, SCHEMA, out, BadRows())
    assert statistics == {
        "rows": 7,
        "rate": {"click": 3 / 7, "buy": 1 / 7},
        "vocabulary": {"city": 2, "user": 3, "tags": 3},
        "distinct": {"city": 3, "user": 3, "tags": 3},
        "missing": {"city": 1 / 7, "user": 2 / 7, "tags": 1 / 10, "hour": 0.0},
        "unseen": {"city": 1 / 7, "user": 0.0, "tags": 0.0, "hour": 2 / 7},
        "files": entries(out, [f"vocabulary/{name}.txt" for name in ("city", "tags", "user")]),
        "made_from": vocabulary.fingerprint(files, SCHEMA),
    }
    assert json.loads((out / "statistics.json").read_text()) == statistics
    written = {
        name: content.decode().splitlines()
        for name, content in read_all(out / "vocabulary").items()
    }
    assert written == {
        "city.txt": ["b", "Köln"],  # "a" occurs once; "" is missing, not a value
        "user.txt": ["5", "7", "-900719925474099301"],
        "tags.txt": ["x", "y", "q"],  # "z" lies beyond max_length
    }
    assert {p.name for p in out.iterdir()} == {
        "profile.json",
        "statistics.json",
        "vocabulary",
    }  # nothing left over


def test_the_same_files_give_the_same_bytes_and_replace_what_was_there(
    tmp_path: pathlib.Path,
) -> None:
    file = write(tmp_path / "train.csv", TABLE)
    (tmp_path / "b" / "vocabulary").mkdir(parents=True)
    (tmp_path / "b" / "vocabulary" / "old.txt").write_text("of another schema")
    for name in ("a", "b"):
        vocabulary.build([file], SCHEMA, tmp_path / name, BadRows())
    assert read_all(tmp_path / "a") == read_all(tmp_path / "b")
    assert len(read_all(tmp_path / "a")) == 5


def test_vocabularies_are_reused_for_the_same_content_alone(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "train.csv", TABLE)
    prepared = tmp_path / "prepared"
    vocabulary.build([file], SCHEMA, prepared, BadRows())
    assert vocabulary.reuse([file], SCHEMA, prepared, tmp_path / "a")
    assert read_all(tmp_path / "a") == read_all(prepared)
    size = pathlib.Path(file).stat().st_size
    write(tmp_path / "train.csv", [TABLE[-1], *TABLE[:-1]])  # of the same name and size
    assert pathlib.Path(file).stat().st_size == size
    assert not vocabulary.reuse([file], SCHEMA, prepared, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_vocabularies_that_were_changed_are_not_reused(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "train.csv", TABLE)
    vocabulary.build([file], SCHEMA, tmp_path, BadRows())
    path = tmp_path / "vocabulary" / "user.txt"
    whole = path.read_text()
    for changed in (whole + "9\n", whole.replace("5", "6"), whole[:-1], ""):
        path.write_text(changed)
        with pytest.raises(
            ManifestError, match=r"vocabulary/user.txt h.* and not .*Run tafe_tf.prepare again"
        ):
            vocabulary.reuse([file], SCHEMA, tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_killed_process_left_is_removed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "out" / ".vocabulary-killed").mkdir(parents=True)
    file = write(tmp_path / "train.csv", TABLE)
    vocabulary.build([file], SCHEMA, tmp_path / "out", BadRows())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"profile.json", "statistics.json", "vocabulary"}


@pytest.mark.parametrize("text", ["5\n7\n5\n", "5\nseven\n"])
def test_a_vocabulary_that_is_none_names_its_file(tmp_path: pathlib.Path, text: str) -> None:
    file = write(tmp_path / "train.csv", TABLE)
    vocabulary.build([file], SCHEMA, tmp_path, BadRows())
    (tmp_path / "vocabulary" / "user.txt").write_text(text)
    with pytest.raises(SchemaError, match=r"vocabulary/user.txt: is damaged: .*; build it again$"):
        Features(SCHEMA, tmp_path)


def test_bad_rows_raise_or_do_not_count(tmp_path: pathlib.Path) -> None:
    file = write(tmp_path / "train.csv", [*TABLE, ("bad", 1, "bad", 1, 0, 1)])
    with pytest.raises(BadRowError, match=r"train\.csv: row 8, column 'buy'"):
        vocabulary.build([file], SCHEMA, tmp_path / "out", BadRows())
    assert not read_all(tmp_path / "out")
    dropped = BadRows("drop")
    assert vocabulary.build([file], SCHEMA, tmp_path / "out", dropped)["rows"] == 7
    assert dropped.count == 1 and b"bad" not in read_all(tmp_path / "out")["vocabulary/tags.txt"]


def test_a_value_that_is_no_line_is_a_bad_row_of_which_nothing_is_counted(
    tmp_path: pathlib.Path,
) -> None:
    rows = [
        ("a\nb", 1, "x", 1, 0, 0),
        ("Rome", 1, "x|y\rz", 1, 0, 0),
        *[("Bonn", 1, "x", 1, 0, 0)] * 2,
    ]
    file = write(tmp_path / "train.csv", rows)
    message = r"train.csv: row 1, column 'city': must be UTF-8 text without a line .*: 'a\\nb'$"
    with pytest.raises(BadRowError, match=message):
        vocabulary.build([file], SCHEMA, tmp_path / "out", BadRows())
    assert not read_all(tmp_path / "out")
    dropping = BadRows("drop")
    assert vocabulary.build([file], SCHEMA, tmp_path / "out", dropping)["rows"] == 2
    assert read_all(tmp_path / "out")["vocabulary/city.txt"] == b"Bonn\n"
    assert [reason.first.split(": ")[1] for reason in dropping.reasons()] == [
        "row 1, column 'city'",
        "row 2, column 'tags'",
    ]


def test_a_value_that_is_no_utf8_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.parquet"
    columns = {
        name: [row[i] for row in TABLE[:3]]
        for i, name in enumerate(("city", "user", "tags", "hour"))
    }
    columns |= {"city": [b"K\xf6ln"] * 3, "tags": [["x"]] * 3, "click": [0] * 3, "buy": [0] * 3}
    pq.write_table(pa.table(columns), path)
    message = r"train.parquet: row 1, column 'city': must be UTF-8 text .*: b'K\\xf6ln'$"
    with pytest.raises(BadRowError, match=message):
        vocabulary.build([str(path)], SCHEMA, tmp_path / "out", BadRows())


def test_the_shares_are_those_of_the_graphs_ids(tmp_path: pathlib.Path) -> None:
    """Training counts raw values, and whoever evaluates counts ids."""
    rng = np.random.default_rng(0)
    count = 3000
    columns: dict[str, list[Any]] = {
        "city": [f"c{i}" if i % 7 else "" for i in rng.zipf(1.5, count)],
        "user": rng.integers(-1, 900, count).tolist(),
        "tags": [[f"t{i}" for i in rng.integers(0, 40, n)] for n in rng.integers(0, 4, count)],
        "words": [["" if i < 3 else f"w{i}" for i in rng.integers(0, 9, 3)] for _ in range(count)],
        "hour": rng.integers(-3, 30, count).tolist(),
        "price": [None if value < 0.3 else value for value in rng.random(count)],
        "click": [0] * count,
        "buy": [0] * count,
    }
    more = (
        Feature(name="words", kind="hash", buckets=9, max_length=2),
        Feature(name="price", kind="log_round"),
    )
    features = (
        Feature(name="city", kind="vocabulary", min_count=30),
        Feature(name="user", kind="vocabulary", dtype="int64", min_count=4),
        Feature(name="tags", kind="vocabulary", max_length=2, min_count=110),
        Feature(name="hour", kind="integer", size=24),
        *more,
    )
    schema = Schema(name="t", features=features, tasks=SCHEMA.tasks)
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(columns), path)
    statistics = vocabulary.build([str(path)], schema, tmp_path / "out", BadRows())
    graph = Features(schema, tmp_path / "out")
    counts = FieldCounts([feature.name for feature in features])
    for block in read_blocks([str(path)], schema, bad_rows=BadRows(), block_rows=999):
        ids = graph(block.columns)["ids"]
        counts.add_ids(ids.numpy(), graph.slots)
    assert counts.shares("unseen") == statistics["unseen"]
    assert counts.shares("missing") == statistics["missing"]
    for name in ("city", "user", "tags", "hour"):
        assert 0.01 < statistics["unseen"][name] < 0.99
    for name in ("city", "tags", "words", "hour", "price"):
        assert 0.01 < statistics["missing"][name] < 0.99
