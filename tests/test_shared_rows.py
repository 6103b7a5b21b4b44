"""Features that use another one's rows: schema, vocabulary, table, training and warm start."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import tomllib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver
from marks import all_slow_but

import tafe_tf
from tafe_tf import prepare, schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.unseen import untrained_fields
from tafe_tf.data.formats.write import write
from tafe_tf.engines.dealt import DealtEngine
from tafe_tf.engines.local import LocalDriver
from tafe_tf.engines.preparation import VocabularyJob, build_vocabularies
from tafe_tf.export.session_model import SessionModel
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.features.table_size import RowSize, check_table
from tafe_tf.features.value_counts import ValueCounts, keep_of_columns
from tafe_tf.layers import FusedEmbedding, PartitionedEmbedding
from tafe_tf.models import BY_NAME, TAFE
from tafe_tf.schema import FIRST, MISSING, OF_OWNER, UNSEEN, Feature, Schema, SchemaError, Task
from tafe_tf.training.run import Run
from tafe_tf.trees.table import TreeTable

FLAGS = absl_flags.FLAGS
TASKS = [{"name": "click"}, {"name": "buy"}]
HISTORY = {"name": "history", "shares": "item", "max_length": 3, "separator": ";"}
SHOP: dict[str, Any] = {
    "name": "shop",
    "tasks": TASKS,
    "features": [
        HISTORY,
        {"name": "hour", "kind": "integer", "size": 24},
        {"name": "item", "kind": "vocabulary", "dtype": "int64", "min_count": 3},
        {"name": "last_hour", "shares": "hour"},
    ],
}


def schema_with(*features: dict[str, Any]) -> Schema:
    return schema_toml.parse({**SHOP, "features": list(features)})


def log(count: int, seed: int, first: int = 0) -> dict[str, list[Any]]:
    """Rows of the shop; the items of a day are 20 from `first` on, and rare ones."""
    rng = np.random.default_rng(seed)

    def items(size: int) -> list[int]:
        drawn = first + rng.zipf(1.4, size) % 20
        rare = rng.integers(1000, 2000, size)
        found: list[int] = np.where(rng.random(size) < 0.05, rare, drawn).tolist()
        return found

    item = items(count)
    history = [items(length) for length in rng.integers(0, 5, count)]
    seen = np.array([one in some for one, some in zip(item, history, strict=True)])
    click = rng.random(count) < np.where(seen, 0.8, 0.2)
    return {
        "item": item,
        "history": history,
        "hour": rng.integers(0, 24, count).tolist(),
        "last_hour": rng.integers(0, 24, count).tolist(),
        "click": click.astype(int).tolist(),
        "buy": (click & (rng.random(count) < 0.5)).astype(int).tolist(),
    }


def counted(rows: dict[str, list[Any]]) -> list[collections.Counter[str]]:
    """The values of both columns: the items, and the first three of each list."""
    of_lists = [str(value) for values in rows["history"] for value in values[:3]]
    return [collections.Counter(map(str, rows["item"])), collections.Counter(of_lists)]


def test_a_feature_has_from_its_owner_how_values_find_rows() -> None:
    schema = schema_toml.parse(SHOP)
    history, hour, item, last_hour = schema.features
    for key in OF_OWNER:
        assert getattr(history, key) == getattr(item, key)
        assert getattr(last_hour, key) == getattr(hour, key)
    assert history.raw_dtype == "int64" and history.columns[0].max_length == 3
    assert schema.shares == (2, 1, 2, 1) and schema.users_of(item) == (history, item)
    again = schema_toml.parse(tomllib.loads(schema_toml.dump(schema)))
    assert again == schema == dataclasses.replace(schema)
    written = tomllib.loads(schema_toml.dump(schema))
    assert written["features"] == SHOP["features"]


ITEM = {"name": "item", "kind": "vocabulary"}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([ITEM, {"name": "a", "shares": "b"}], r"feature 'a': shares must be the name of another"),
        ([ITEM, {"name": "a", "shares": "a"}], r"shares must be the name of another .*'a'"),
        (
            [{"name": "a", "shares": "b"}, {"name": "b", "shares": "item"}, ITEM],
            r"'a': shares must be a feature with rows of its own, 'item'\. Received: 'b'",
        ),
        (
            [ITEM, {"name": "a", "shares": "item", "kind": "vocabulary"}],
            r"feature 'a': kind comes from 'item', whose rows it shares; leave it out",
        ),
        (
            [ITEM, {"name": "a", "shares": "item", "min_count": 1}],
            r"feature 'a': min_count comes from 'item'.* Received: 1",
        ),
        ([ITEM, {"name": "a"}], r"feature 'a': kind is required"),
        ([ITEM, {"kind": "hash"}], r"features\[1\]: name is required"),
        ([ITEM, {"name": "a", "shares": 3}], r"feature 'a': shares must be a string"),
        (
            [
                {"name": "hour", "kind": "integer", "size": 3},
                {"name": "a", "shares": "hour", "serve_as": 7},
            ],
            r"feature 'a': serve_as must be one of 0 to size - 1, 2\. Received: 7",
        ),
    ],
)
def test_what_cannot_be_shared_is_named(features: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        schema_with(*features)


def test_a_key_that_contradicts_the_owners_is_refused_in_python() -> None:
    item = Feature(name="item", kind="vocabulary")
    other = Feature(name="seen", shares="item", kind="hash", buckets=3)
    with pytest.raises(SchemaError, match=r"'seen': kind comes from 'item'.* Received: 'hash'"):
        Schema(name="shop", features=(item, other), tasks=(Task(name="click"),))


def test_rows_are_counted_once() -> None:
    half = 2**30
    big = {"name": "item", "kind": "hash", "buckets": half + 2}
    schema = schema_with(big, {"name": "seen", "shares": "item"})
    check_table(schema, [half, half], RowSize(dim=1, dtype="float32"), memory=12 * half)
    with pytest.raises(
        SchemaError, match=r"feature 'item': has 1,073,741,824 of the 1,073,741,824"
    ):
        check_table(schema, [half, half], RowSize(dim=1, dtype="float32"), memory=12 * half - 1)


@pytest.mark.parametrize("max_distinct", [3, 10**6])
@pytest.mark.parametrize("min_count", [1, 3])
def test_columns_are_counted_together(
    tmp_path: pathlib.Path, max_distinct: int, min_count: int
) -> None:
    of_columns = counted(log(300, seed=0))
    columns = []
    for counts in of_columns:
        column = ValueCounts(tmp_path, max_distinct)
        column.add(counts.elements())
        columns.append(column.sorted())
    kept = keep_of_columns(columns, min_count)
    total = of_columns[0] + of_columns[1]
    frequent = [(-count, value) for value, count in total.items() if count >= min_count]
    assert kept.values == [value for _, value in sorted(frequent)]
    assert kept.distinct == len(total)
    for counts, rare in zip(of_columns, kept.rare, strict=True):
        assert rare == sum(count for value, count in counts.items() if total[value] < min_count)


@pytest.fixture
def files(tmp_path: pathlib.Path) -> pathlib.Path:
    data = tmp_path / "data"
    data.mkdir()
    (data / "schema.toml").write_text(schema_toml.dump(schema_toml.parse(SHOP)))
    for part in range(2):
        write(data / f"train-{part}.parquet", log(300, seed=part))
    return data


def test_every_engine_builds_the_vocabulary_of_both_columns(
    tmp_path: pathlib.Path, files: pathlib.Path
) -> None:
    schema = schema_toml.parse(SHOP)
    train = sorted(map(str, files.glob("train-*")))
    statistics = vocabulary.build(train, schema, tmp_path / "here", BadRows())
    job = VocabularyJob(files=train, schema=schema, directory=str(tmp_path / "dealt"))
    build_vocabularies(job, DealtEngine(LocalDriver()))
    found = sorted(path.name for path in (tmp_path / "here" / "vocabulary").iterdir())
    assert found == ["item.txt"]
    for name in ("statistics.json", "vocabulary/item.txt"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "dealt" / name).read_bytes()
    parts = [counted(log(300, seed=part)) for part in range(2)]
    items, histories = parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    total = items + histories
    frequent = {value for value, count in total.items() if count >= 3}
    assert set((tmp_path / "here" / "vocabulary" / "item.txt").read_text().split()) == frequent
    rare = {value: count for value, count in items.items() if value not in frequent}
    assert statistics["unseen"]["item"] == sum(rare.values()) / 600
    empty = sum(not history for part in range(2) for history in log(300, seed=part)["history"])
    rare = {value: count for value, count in histories.items() if value not in frequent}
    values = sum(histories.values()) + empty
    assert statistics["unseen"]["history"] == sum(rare.values()) / values > 0
    assert statistics["vocabulary"] == {"item": len(frequent)}
    assert statistics["distinct"] == {"item": len(total)}


def test_the_graph_gives_both_columns_the_same_ids(
    tmp_path: pathlib.Path, files: pathlib.Path
) -> None:
    schema = schema_toml.parse(SHOP)
    vocabulary.build([str(files / "train-0.parquet")], schema, tmp_path, BadRows())
    features = Features(schema, tmp_path)
    known = (tmp_path / "vocabulary" / "item.txt").read_text().split()
    assert features.rows == (len(known) + 2, 26, len(known) + 2, 26)
    values = [int(known[0]), int(known[-1]), 10**9, -1]
    made = features(
        {
            "item": tf.constant(values, tf.int64),
            "history": tf.constant([[value, values[1]] for value in values], tf.int64),
            "hour": tf.constant([0, 23, 24, -1], tf.int64),
            "last_hour": tf.constant([23, 0, -1, 24], tf.int64),
        }
    )
    wanted = [FIRST, FIRST + len(known) - 1, UNSEEN, MISSING]
    ids = made["ids"].numpy()
    np.testing.assert_array_equal(ids[:, 4], wanted)
    np.testing.assert_array_equal(ids[:, 0], wanted)
    np.testing.assert_array_equal(ids[:, 1], wanted[1])
    np.testing.assert_array_equal(ids[:, [3, 5]], [[2, 25], [25, 2], [0, 1], [1, 0]])


def test_the_row_of_unseen_values_is_trained_by_either_column() -> None:
    schema = schema_toml.parse(SHOP)
    everything = ["history", "hour", "item", "last_hour"]
    assert untrained_fields(schema, {}) == everything
    assert untrained_fields(schema, {"history": 0.1}) == ["hour", "last_hour"]
    assert untrained_fields(schema, {"item": 0.1, "last_hour": 0.1}) == []


ROWS, SLOTS, SHARES = [5, 40, 3, 40, 7, 5], [1, 3, 1, 2, 1, 2], [0, 1, 2, 1, 4, 0]
SIZES = [rows for rows, slots in zip(ROWS, SLOTS, strict=True) for _ in range(slots)]


def drawn_inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "ids": rng.integers(0, SIZES, (6, len(SIZES))),
        "weights": rng.random((6, len(SIZES))).astype(np.float32),
    }


def test_a_table_holds_the_rows_of_owners_alone() -> None:
    layer = FusedEmbedding(ROWS, 4, SLOTS, shares=SHARES)
    layer.build()
    table = layer.table.numpy()
    assert table.shape == (5 + 40 + 3 + 7, 4)
    starts = [0, 5, 45, 5, 48, 0]
    assert [layer.rows_of(field) for field in range(6)] == [(layer, start) for start in starts]
    inputs = drawn_inputs()
    want = np.zeros((6, 6, 4))
    for b in range(6):
        slot = 0
        for field, count in enumerate(SLOTS):
            for _ in range(count):
                row = starts[field] + inputs["ids"][b, slot]
                want[b, field] += inputs["weights"][b, slot] * table[row]
                slot += 1
    np.testing.assert_allclose(layer(inputs), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 3, 9])
def test_an_owner_and_who_shares_lie_in_one_part(parts: int) -> None:
    whole = FusedEmbedding(ROWS, 4, SLOTS, shares=SHARES)
    split = PartitionedEmbedding(ROWS, 4, parts, SLOTS, shares=SHARES)
    whole.build()
    split.build()
    assert len(split.parts) == min(parts, 3)  # no cut makes the part of 40 rows smaller
    for field, owner in enumerate(SHARES):
        part, start = split.rows_of(field)
        _, first = whole.rows_of(field)
        assert (part, start) == split.rows_of(owner)
        value = part.table.numpy()
        value[start : start + ROWS[field]] = whole.table[first : first + ROWS[field]]
        part.table.assign(value)
    assert sum(part.rows for part in split.parts) == whole.rows
    inputs = drawn_inputs()
    np.testing.assert_array_equal(split(inputs), whole(inputs))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([0, 0, 2], r"must give for each field the place of one that owns its rows"),
        ([1, 2, 2, 3, 4, 5], r"must give for each field the place of one that owns its rows"),
        ([0, 1, 2, 3, 4, 6], r"must give for each field the place of one that owns its rows"),
        ([0, 0, 2, 3, 4, 5], r"field 2 must have as many rows as field 1, .*Received: 40 and 5"),
    ],
)
def test_shares_that_do_not_fit_are_named(shares: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FusedEmbedding(ROWS, 4, SLOTS, shares=shares)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_model_with_shared_rows_answers_after_its_configuration(parts: int) -> None:
    small: dict[str, Any] = {"embedding_dim": 4, "num_inducing": 4, "num_layers": 1}
    model = TAFE(ROWS, 2, slots=SLOTS, shares=SHARES, embedding_parts=parts, **small)
    assert model.get_config()["shares"] == SHARES
    assert "shares" not in TAFE(ROWS, 2, **small).get_config()
    again = TAFE.from_config(model.get_config())
    again.set_weights(model.get_weights())
    inputs = drawn_inputs()
    np.testing.assert_array_equal(again(inputs), model(inputs))
    (ids, *_) = model.rows_read(inputs)
    assert ids.shape[1] == (len(SIZES) if parts == 1 else ids.shape[1])
    with pytest.raises(ValueError, match=r"row 3: an id of field 4 of 6 must be from 0 to 39"):
        inputs["ids"][2, 4], inputs["ids"][2, 5] = 0, 40
        model(inputs)


SETTINGS: dict[str, Any] = {
    "embedding_dim": 4,
    "epochs": 2,
    "batch_size": 50,
    "learning_rate": 0.02,
    "intercept_rows": 0,
    "model": "shared_bottom",
    "bottom_units": [8],
    "tower_units": [4],
    "verbose": False,
}


def values_of(run: Run) -> dict[str, np.ndarray]:
    """The rows of the items by value."""
    layer, start = run.model.embedding.rows_of(2)
    values = vocabulary.read(run.directory.path, run.schema.features[2])
    rows = layer.table.numpy()[start + FIRST :]
    return dict(zip(values, rows, strict=False))


@pytest.mark.parametrize("dtype", all_slow_but({"float32"}, ["float32", "bfloat16"]))
def test_a_run_trains_exports_and_goes_on_by_value(tmp_path: pathlib.Path, dtype: str) -> None:
    """A value lives on for as long as either column has it."""
    first, second = log(400, seed=0), log(400, seed=1, first=10)
    settings = {**SETTINGS, "embedding_dtype": dtype}
    run = tafe_tf.fit(SHOP, train=first, test=first, run_dir=tmp_path / "a", **settings)
    items = len(vocabulary.read(tmp_path / "a", run.schema.features[2]))
    assert sum(layer.rows for layer in run.model.tables()) == items + 2 + 26
    started = BY_NAME["shared_bottom"].from_config(run.model.get_config())
    assert started.count_params() == run.model.count_params()

    run.export(tmp_path / "models")
    (version,) = (path for path in (tmp_path / "models").iterdir() if path.name.isdigit())
    lists = np.full((400, 4), -1)
    for row, values in enumerate(first["history"]):
        lists[row, : len(values)] = values
    raw = {name: np.array(first[name]) for name in ("item", "hour", "last_hour")}
    served = SessionModel(version)({**raw, "history": lists})
    np.testing.assert_allclose(served["ctr"], run.predict(first)["ctr"], atol=1e-6)

    only_in_lists = str(next(value for value in first["item"] if value < 10))
    second["history"][0] = [int(only_in_lists)]
    after = tafe_tf.fit(
        SHOP,
        train=second,
        run_dir=tmp_path / "b",
        warm_start=str(tmp_path / "a"),
        retire_after=1,
        **{**settings, "epochs": 1, "learning_rate": 1e-12},
    )
    before, now = values_of(run), values_of(after)
    columns = counted(second)
    occurring = set(columns[0] + columns[1])
    assert only_in_lists in now
    assert set(before) & set(now) == set(before) & occurring  # who is in neither column retires
    assert set(before) - set(now)
    for value in set(before) & set(now):
        np.testing.assert_allclose(now[value], before[value], atol=1e-6)


def test_the_size_report_counts_rows_once(
    files: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(data_dir=str(files), run_dir=str(tmp_path / "out")):
        prepare.main(["prepare"])
    cells = {}
    for line in capsys.readouterr().out.splitlines():
        name, *rest = [cell.strip() for cell in line.strip("│┃ ").replace("┃", "│").split("│")]
        cells[name] = rest
    items = len((tmp_path / "out" / "vocabulary" / "item.txt").read_text().split())
    assert cells["history"][:3] == ["shares item", "-", "-"]
    assert cells["item"][2] == str(items + 2)
    assert cells["in all"][2] == str(items + 2 + 26)


def test_trees_code_both_columns_alike(tmp_path: pathlib.Path) -> None:
    schema = schema_with(
        {"name": "seller", "kind": "vocabulary"}, {"name": "buyer", "shares": "seller"}
    )
    rows: dict[str, list[Any]] = {"seller": ["a", "b", "a"], "buyer": ["b", "c", "b"]}
    rows |= {"click": [1, 0, 1], "buy": [0, 0, 1]}
    write(tmp_path / "train.parquet", rows)
    vocabulary.build([str(tmp_path / "train.parquet")], schema, tmp_path, BadRows())
    table = TreeTable(Features(schema, tmp_path), {})
    inputs = {name: np.array(rows[name], object) for name in ("seller", "buyer")}
    np.testing.assert_array_equal(table(inputs), [[3, 2], [2, 4], [3, 2]])
