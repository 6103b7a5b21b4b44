"""Rows that start from vectors, rows that are not trained, and rows as files."""

from __future__ import annotations

import json
import pathlib
import tomllib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver
from marks import all_slow_but

import tafe_tf
from tafe_tf import embeddings, prepare, schema_toml
from tafe_tf.comparison.folder import RunsFolder
from tafe_tf.comparison.runs import Shared
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.splits import Sources
from tafe_tf.data.formats.write import write
from tafe_tf.features import pretrained, vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.features.table_size import RowSize, check_table
from tafe_tf.first_look.look import look
from tafe_tf.layers import PartitionedEmbedding
from tafe_tf.models import BY_NAME
from tafe_tf.optimizers import LazyAdam
from tafe_tf.schema import FIRST, MISSING, UNSEEN, Feature, SchemaError
from tafe_tf.training.errors import RunError
from tafe_tf.training.run import Run
from tafe_tf.training.schema_copy import text_of_copy

FLAGS = absl_flags.FLAGS
D, ITEMS = 4, 30
SETTINGS: dict[str, Any] = {
    "embedding_dim": D,
    "epochs": 2,
    "batch_size": 50,
    "learning_rate": 0.02,
    "intercept_rows": 0,
    "model": "shared_bottom",
    "bottom_units": [8],
    "tower_units": [4],
    "verbose": False,
}


def schema_with(**keys: Any) -> dict[str, Any]:
    """A shop of items, whose feature has these keys too, and of a list of items."""
    item = {"name": "item", "kind": "vocabulary", "column": "Item no", "dtype": "int64", **keys}
    return {
        "name": "shop",
        "tasks": [{"name": "click"}, {"name": "buy"}],
        "features": [
            {"name": "history", "shares": "item", "max_length": 3},
            {"name": "hour", "kind": "integer", "size": 24},
            item,
            {"name": "price", "kind": "log_round", "max_abs": 100.0, "scale": 2.0},
            {"name": "shop", "kind": "hash", "buckets": 5},
        ],
    }


def log(count: int = 300, seed: int = 0, first: int = 0) -> dict[str, list[Any]]:
    rng = np.random.default_rng(seed)
    item = rng.integers(first, first + ITEMS, count)
    click = rng.random(count) < 0.2 + 0.6 * (item % 3 == 0)
    histories = [rng.integers(first, first + ITEMS, n).tolist() for n in rng.integers(0, 4, count)]
    return {
        "Item no": item.tolist(),
        "history": histories,
        "hour": rng.integers(0, 24, count).tolist(),
        "price": rng.lognormal(1, 1, count).tolist(),
        "shop": [f"s{i}" for i in rng.integers(0, 9, count)],
        "click": click.astype(int).tolist(),
        "buy": (click & (rng.random(count) < 0.5)).astype(int).tolist(),
    }


def vectors(count: int = 40, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)


def save(path: pathlib.Path, ids: Any, lists: Any, **more: Any) -> str:
    columns = {"id": pa.array(ids), "vector": lists}
    if not isinstance(lists, pa.Array):
        columns["vector"] = pa.array([list(map(float, row)) for row in lists])
    pq.write_table(pa.table({**columns, **more}), path)
    return str(path)


@pytest.fixture
def items(tmp_path: pathlib.Path) -> str:
    """Vectors of the even items, and of ten that no row has."""
    return save(tmp_path / "items.parquet", np.arange(0, 80, 2), vectors())


def rows_of(run: Run, field: int = 2) -> np.ndarray:
    layer, start = run.model.embedding.rows_of(field)
    end = start + run.features.rows[field]
    return np.array(keras.ops.convert_to_numpy(layer.table), np.float32)[start:end]


def values_of(run: Run) -> list[int]:
    return [int(text) for text in vocabulary.read(run.path, run.schema.features[2])]


def trained(run_dir: pathlib.Path, keys: dict[str, Any], **settings: Any) -> Run:
    rows = settings.pop("train", log())
    return tafe_tf.fit(schema_with(**keys), train=rows, run_dir=run_dir, **SETTINGS | settings)


STILL = {"epochs": 1, "learning_rate": 1e-30}  # nothing moves: what is there is the start


def test_known_values_start_from_their_vectors_and_others_as_usual(
    tmp_path: pathlib.Path, items: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = trained(tmp_path / "usual", {}, **STILL)
    run = trained(tmp_path / "run", {"pretrained": items}, verbose=True, **STILL)
    known = dict(zip(range(0, 80, 2), vectors(), strict=True))
    before, after = rows_of(usual), rows_of(run)
    covered = 0
    for row, value in enumerate(values_of(run), FIRST):
        covered += value in known
        np.testing.assert_array_equal(after[row], known.get(value, before[row]))
    np.testing.assert_array_equal(after[:FIRST], before[:FIRST])
    np.testing.assert_array_equal(rows_of(run, 1), rows_of(usual, 1))  # another field's
    assert covered == 15
    noted = json.loads((run.path / "statistics.json").read_text())
    assert noted["pretrained"] == {"item": {"vectors": 40, "covered": 15, "values": ITEMS}}
    line = f"item: 15 of 30 values have a vector in {items}, which has 40"
    assert line in capsys.readouterr().out


def test_integers_start_from_vectors_of_any_spelling(tmp_path: pathlib.Path) -> None:
    """A column of the feature's name, a fixed size, float64, an id that is no value."""
    flat = pa.array(vectors(3).astype(np.float64).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, D)
    path = tmp_path / "hours.parquet"
    ids = pa.array([23, 0, 24], pa.int16())
    pq.write_table(pa.table({"hour": ids, "id": ["a", "b", "c"], "vector": lists}), path)
    feature = Feature(name="hour", kind="integer", size=24, pretrained=str(path))
    start = pretrained.read(str(path), 0, feature, pa.array(np.arange(24)), D)
    assert start.rows.tolist() == [FIRST + 23, FIRST] and start.covered == 2 and start.count == 3
    np.testing.assert_array_equal(start.vectors, vectors(3)[:2])


def test_texts_find_their_rows(tmp_path: pathlib.Path) -> None:
    ids = pa.array(["Köln", "b", "a"]).dictionary_encode()
    path = save(tmp_path / "cities.parquet", [0, 0, 0], vectors(3))
    table = pq.read_table(path).set_column(0, "id", ids)
    pq.write_table(table, path)
    feature = Feature(name="city", kind="vocabulary", pretrained=path)
    start = pretrained.read(path, 0, feature, pa.array(["a", "Köln"], pa.large_string()), D)
    assert start.rows.tolist() == [FIRST + 1, FIRST]
    np.testing.assert_array_equal(start.vectors, vectors(3)[[0, 2]])


NAN = [[1.0, 2.0, 3.0, 4.0], [1.0, float("nan"), 3.0, 4.0]]


@pytest.mark.parametrize(
    ("ids", "lists", "message"),
    [
        ([1, 2, 1], vectors(3), r"f: row 3, column 'id' stands in row 1 already.* Received: 1"),
        ([99, 98, 98], vectors(3), r"f: row 3, column 'id' stands in row 2 already.*: 98"),
        ([1, None], vectors(2), r"f: row 2, column 'id' must be a value, and is missing.*: None"),
        ([1, -1], vectors(2), r"f: row 2, column 'id' must be a value, and is missing.*: -1"),
        ([1, 2], NAN, r"f: row 2, column 'vector' must hold finite .* Received: \[1.0, nan"),
        ([1], [[1e300] * 4], r"f: row 1, column 'vector' must hold finite float32 numbers"),
        (
            [1, 2],
            [[1.0] * 4, [1.0] * 5],
            r"f: row 2, column 'vector' has 5 numbers, and --embedding_dim=4: .* Received: \[1.0",
        ),
        ([1], pa.array([None], pa.list_(pa.float32())), r"row 1, column 'vector' is missing, and"),
        ([1], pa.array([3.0]), r"f: column 'vector' must hold lists, not double"),
        ([1], pa.array([["a"] * 4]), r"f: column 'vector' must hold lists of numbers, not of stri"),
        (["a"], vectors(1), r"f: the ids of feature 'item' must be integers, not string"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: pathlib.Path, ids: Any, lists: Any, message: str) -> None:
    path = save(tmp_path / "f", ids, lists)
    feature = Feature(name="item", kind="vocabulary", dtype="int64", pretrained=path)
    with pytest.raises(DataError, match=message):
        pretrained.read(path, 0, feature, pa.array([1, 2, 3]), D)


def test_a_wrong_length_is_found_before_rows_are_read(tmp_path: pathlib.Path, items: str) -> None:
    with pytest.raises(
        DataError, match=r"items.parquet: row 1, .* has 4 numbers, and --embedd.*=8"
    ):
        trained(tmp_path / "run", {"pretrained": items}, embedding_dim=8)
    assert not (tmp_path / "run").exists()
    run = trained(tmp_path / "run", {"pretrained": items}, **STILL)
    assert values_of(run)


def test_other_files_are_named(tmp_path: pathlib.Path) -> None:
    feature = Feature(name="item", kind="vocabulary", dtype="int64", pretrained="x")

    def refused(message: str, table: pa.Table | None = None) -> None:
        path = tmp_path / "f"
        if table is not None:
            pq.write_table(table, path)
        with pytest.raises(DataError, match=message):
            pretrained.read(str(path), 0, feature, pa.array([1]), D)

    (tmp_path / "f").write_text("no Parquet")
    refused(r"f: cannot be read: ")
    refused(
        r"f: must have a column of ids, 'item' or 'id', .*\['vector'\]",
        pa.table({"vector": [[1.0]]}),
    )
    refused(r"f: column 'vector' is missing", pa.table({"id": [1]}))
    wrong = pa.table({"id": [1], "vector": [[1.0] * D], "row_of": ["rare"]})
    refused(r"f: row 1, column 'row_of' must be one of .* Received: 'rare'", wrong)
    twice = {"id": [None, None], "vector": [[1.0] * D] * 2, "row_of": ["unseen"] * 2}
    refused(r"f: column 'row_of' must hold 'unseen' once", pa.table(twice))
    others = pa.table({"id": [7, 8, 9, 10], "vector": [[1.0] * D] * 4})
    said = r"f: none of its 4 ids is a value of feature 'item' .* Ids: 7, 8, 9, \.\.\.\. Values: 1$"
    refused(said, others)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"kind": "hash", "buckets": 5}, r"'x': pretrained needs kind 'vocabulary' or 'integer'"),
        ({"kind": "log_round"}, r"'x': pretrained needs kind 'vocabulary' or 'integer'"),
        ({"shares": "item"}, r"'x': pretrained is for 'item' to say, whose rows it shares"),
        ({"shares": "item", "pretrained": "", "trainable": False}, r"trainable is for 'item' to s"),
        ({"kind": "vocabulary", "trainable": 0}, r"trainable must be true or false\. Received: 0"),
    ],
)
def test_features_that_cannot_have_it(feature: dict[str, Any], message: str) -> None:
    schema = schema_with()
    schema["features"].append({"name": "x", "pretrained": "a.parquet", **feature})
    with pytest.raises(SchemaError, match=message):
        schema_toml.parse(schema)


def test_keys_read_back_as_they_were() -> None:
    schema = schema_toml.parse(schema_with(pretrained="a/b.parquet", trainable=False))
    text = schema_toml.dump(schema)
    assert 'pretrained = "a/b.parquet"\ntrainable = false' in text
    assert schema_toml.parse(tomllib.loads(text)) == schema
    assert schema.frozen == (2,)


def test_a_path_is_relative_to_the_schema_and_shards_find_it_too(
    tmp_path: pathlib.Path, items: str
) -> None:
    data = tmp_path / "data"
    (data / "vectors").mkdir(parents=True)
    pathlib.Path(items).rename(data / "vectors" / "items.parquet")
    text = schema_toml.dump(schema_toml.parse(schema_with(pretrained="vectors/items.parquet")))
    (data / "schema.toml").write_text(text)
    write(data / "train.parquet", log())
    settings = {**SETTINGS, **STILL, "train": data / "train.parquet"}
    run = tafe_tf.fit(data / "schema.toml", run_dir=tmp_path / "a", **settings)
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(data_dir=str(data), output_dir=str(tmp_path / "shards")):
        prepare.main(["prepare"])
    shards = {**settings, "train": sorted((tmp_path / "shards").glob("train*"))}
    again = tafe_tf.fit(tmp_path / "shards" / "schema.toml", run_dir=tmp_path / "b", **shards)
    assert rows_of(again).tolist() == rows_of(run).tolist()
    made = json.loads((tmp_path / "shards" / "statistics.json").read_text())["made_from"]
    assert again.directory.statistics()["made_from"] == made  # they were not built again


def test_a_comparison_finds_it_and_notices_a_change(tmp_path: pathlib.Path, items: str) -> None:
    text = schema_toml.dump(schema_toml.parse(schema_with(pretrained="items.parquet")))
    (tmp_path / "schema.toml").write_text(text)
    for name in ("train", "test"):
        write(tmp_path / f"{name}.parquet", log())
    shared = Shared(
        folder=RunsFolder(str(tmp_path / "job")),
        settings="--epochs=1\n",
        sources=Sources(data_dir=str(tmp_path)),
        schema_file=str(tmp_path / "schema.toml"),
        bad_rows=BadRows(),
    )
    with shared.prepared(needs_test=True):
        copied = schema_toml.load(tmp_path / "job" / "prepared" / "schema.toml")
    assert copied.features[2].pretrained == items
    save(pathlib.Path(items), [1], vectors(1))
    rule = r"made with other files: items.parquet holds other bytes"
    with pytest.raises(RunError, match=rule), shared.prepared(needs_test=True):
        pass
    text = schema_toml.dump(schema_toml.parse(schema_with()))
    (tmp_path / "plain.toml").write_text(f"# kept\n{text}")
    plain = schema_toml.load(tmp_path / "plain.toml")
    assert text_of_copy(plain, str(tmp_path / "plain.toml")).startswith("# kept")


@pytest.mark.slow
def test_a_changed_file_is_noticed_and_a_missing_one_named(
    tmp_path: pathlib.Path, items: str
) -> None:
    first = trained(tmp_path / "run", {"pretrained": items})
    again = trained(tmp_path / "run", {"pretrained": items})
    np.testing.assert_array_equal(rows_of(again), rows_of(first))
    save(pathlib.Path(items), np.arange(0, 80, 2), vectors(seed=8))
    with pytest.raises(RunError, match=r"was trained with other files: items.parquet holds other"):
        trained(tmp_path / "run", {"pretrained": items})
    first.export(tmp_path / "models")
    pathlib.Path(items).unlink()
    assert len(first.predict(log())["ctr"]) == 300  # the finished run never needs it
    first.export(tmp_path / "models2")
    with pytest.raises(FileNotFoundError, match=r"items.parquet: there is no such file"):
        trained(tmp_path / "other", {"pretrained": items})


def test_a_warm_start_wins_for_what_it_knows(
    tmp_path: pathlib.Path, items: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trained(tmp_path / "a", {})
    after = trained(
        tmp_path / "b",
        {"pretrained": items},
        train=log(seed=1, first=15),
        warm_start=str(tmp_path / "a"),
        verbose=True,
        **STILL,
    )
    known = dict(zip(range(0, 80, 2), vectors(), strict=True))
    earlier = dict(zip(values_of(before), rows_of(before)[FIRST:], strict=True))
    later = dict(zip(values_of(after), rows_of(after)[FIRST:], strict=True))
    new = set(later) - set(earlier)
    assert new == set(range(30, 45))
    for value, row in later.items():
        if value in earlier:
            np.testing.assert_array_equal(row, earlier[value])
        elif value in known:
            np.testing.assert_array_equal(row, known[value])
    assert "; only new ones start from it" in capsys.readouterr().out


FROZEN = {"trainable": False}


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "parts": {"embedding_parts": 2},
    "half tables": {"embedding_dtype": "bfloat16"},
    "half precision": {"dtype_policy": "mixed_bfloat16"},
    "unseen ids": {"unseen_share": 0.2},
    "gradnorm": {"loss_balancing": "gradnorm"},
    "single_task": {"model": "single_task", "bottom_units": None},
    "tafe": {"model": "tafe", "bottom_units": None, "tower_units": None, "num_layers": 1},
}


@pytest.mark.parametrize("way", all_slow_but({"plain"}, WAYS))
def test_rows_that_are_not_trained_are_equal_to_the_bit(
    tmp_path: pathlib.Path, items: str, way: str
) -> None:
    asked = SETTINGS | WAYS[way]
    given = {name: value for name, value in asked.items() if value is not None}
    given |= {"run_dir": tmp_path / "run", "train": log()}
    run = tafe_tf.fit(schema_with(pretrained=items, **FROZEN), **given)
    known = dict(zip(range(0, 80, 2), vectors(), strict=True))
    embeddings_of_model = list(run.model.embeddings_of_model())
    for embedding in embeddings_of_model:
        layer, start = embedding.rows_of(2)
        assert embedding.rows_of(0) == (layer, start) and not layer.table.trainable
        table = np.array(keras.ops.convert_to_numpy(layer.table))
        for row, value in enumerate(values_of(run), FIRST):
            if value in known:
                want = known[value].astype(table.dtype)
                np.testing.assert_array_equal(table[start + row], want)
        trained_layer, _ = embedding.rows_of(1)
        assert trained_layer is not layer and trained_layer.table.trainable
    start = tafe_tf.fit(
        schema_with(pretrained=items, **FROZEN), **given | STILL | {"run_dir": tmp_path / "start"}
    )
    for embedding, begun in zip(
        embeddings_of_model, start.model.embeddings_of_model(), strict=True
    ):
        frozen, _ = embedding.rows_of(2)
        at_start, _ = begun.rows_of(2)
        np.testing.assert_array_equal(frozen.table, at_start.table)  # unseen and missing ones too
        moved, _ = embedding.rows_of(1)
        before, _ = begun.rows_of(1)
        assert (np.array(moved.table) != np.array(before.table)).any()


@pytest.mark.parametrize("make", [LazyAdam, keras.optimizers.Adam])
@pytest.mark.parametrize("parts", [1, 2])
def test_no_optimizer_moves_them(
    make: Callable[[float], keras.optimizers.Optimizer], parts: int
) -> None:
    rows, shares, frozen = [6, 9, 6, 4], [0, 1, 0, 3], [0]
    model = BY_NAME["shared_bottom"](
        rows, 2, 4, shares=shares, frozen=frozen, embedding_parts=parts
    )
    layer, _ = model.embedding.rows_of(2)
    before = layer.table.numpy()
    others = [part.table.numpy() for part in model.tables() if part is not layer]
    rng = np.random.default_rng(0)
    ids = np.stack([rng.integers(0, count, 64) for count in rows], axis=1)
    labels = np.stack([rng.integers(0, 2, 64), np.zeros(64)], axis=1).astype(np.float32)
    model.compile(optimizer=make(0.1), loss=model.paper_loss())
    model.fit(ids, labels, epochs=3, verbose=0)
    np.testing.assert_array_equal(layer.table.numpy(), before)
    after = [part.table.numpy() for part in model.tables() if part is not layer]
    assert all((one != other).any() for one, other in zip(others, after, strict=True))
    again = type(model).from_config(model.get_config())
    assert again.get_config()["frozen"] == [0]
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(ids), model(ids))


def test_wrong_places_are_named() -> None:
    for frozen in ([1], [0, 0], [7]):
        with pytest.raises(ValueError, match=r"`frozen` must hold the places of different fields"):
            PartitionedEmbedding([3, 3], 4, 1, shares=[0, 0], frozen=frozen)


def test_rows_that_are_not_trained_have_no_moments_in_memory() -> None:
    schema = schema_toml.parse(schema_with(**FROZEN))
    rows = [1000, 26, 1000, 22, 7]
    needed = 1000 * 16 + (26 + 22 + 7) * 48
    check_table(schema, rows, RowSize(dim=4, dtype="float32"), needed)
    with pytest.raises(SchemaError, match=r"feature 'item'"):
        check_table(schema, rows, RowSize(dim=4, dtype="float32"), needed - 1)


def test_a_warm_start_keeps_what_is_not_trained(tmp_path: pathlib.Path, items: str) -> None:
    keys = {"pretrained": items, **FROZEN}
    before = trained(tmp_path / "a", keys)
    settings = {"train": log(seed=1, first=15), "warm_start": str(tmp_path / "a")}
    after = trained(tmp_path / "b", keys, **settings)
    earlier = dict(zip(values_of(before), rows_of(before)[FIRST:], strict=True))
    for value, row in zip(values_of(after), rows_of(after)[FIRST:], strict=True):
        if value in earlier:
            np.testing.assert_array_equal(row, earlier[value])
    with pytest.raises(RunError, match=r"needs the same schema, but trainable of feature 'item'"):
        trained(tmp_path / "c", {"pretrained": items}, **settings)


@pytest.mark.parametrize("dtype", all_slow_but({"bfloat16"}, ["float32", "float16", "bfloat16"]))
def test_rows_go_to_a_file_and_back_to_the_bit(
    tmp_path: pathlib.Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path / "run", {}, embedding_dtype=dtype)
    path = tmp_path / "new folder" / "items.parquet"
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(field="item", out=str(path)):
        embeddings.main(["embeddings", str(tmp_path / "run")])
    assert "32 rows of field 'item', 4 numbers each" in capsys.readouterr().out
    written = pq.read_table(path)
    assert written.equals(run.embeddings("item")) and written.equals(run.embeddings("history"))
    assert written["id"].to_pylist() == [None, None, *values_of(run)]
    assert written["row_of"].to_pylist() == ["unseen", "missing", *["value"] * ITEMS]
    np.testing.assert_array_equal(written["vector"].to_pylist(), rows_of(run))
    again = trained(
        tmp_path / "again",
        {"pretrained": str(path), **FROZEN},
        embedding_dtype=dtype,
        train=log(seed=5),
    )
    found = {**dict(zip(values_of(again), rows_of(again)[FIRST:], strict=True))}
    for value, row in zip(values_of(run), rows_of(run)[FIRST:], strict=True):
        np.testing.assert_array_equal(found[value], row)
    np.testing.assert_array_equal(rows_of(again)[[UNSEEN, MISSING]], rows_of(run)[:FIRST])


def test_runs_and_files_may_lie_in_a_store(tmp_path: pathlib.Path) -> None:
    store = f"file://{tmp_path}"
    run = tafe_tf.fit(schema_with(), train=log(), run_dir=f"{store}/run", **SETTINGS)
    said = embeddings.write(f"{store}/run", "item", f"{store}/items.parquet")
    assert said == f"{store}/items.parquet: 32 rows of field 'item', 4 numbers each"
    again = trained(tmp_path / "again", {"pretrained": f"{store}/items.parquet"}, **STILL)
    np.testing.assert_array_equal(rows_of(again), rows_of(run))


def test_a_look_names_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    text = schema_toml.dump(schema_toml.parse(schema_with(pretrained="gone.parquet")))
    (tmp_path / "schema.toml").write_text(text)
    write(tmp_path / "train.parquet", log())
    wanted = f"{tmp_path}/gone.parquet: there is no such file (`pretrained` in the schema)"
    assert look(tmp_path).problems == (wanted,)
    save(tmp_path / "gone.parquet", [1], vectors(1))
    assert look(tmp_path).problems == ()


def test_fields_without_a_vocabulary_are_written_by_bucket(tmp_path: pathlib.Path) -> None:
    run = trained(tmp_path / "run", {})
    assert run.embeddings("hour")["id"].to_pylist()[2:] == list(range(24))
    assert run.embeddings("shop")["id"].to_pylist()[2:] == list(range(5))
    price = run.embeddings("price")
    assert price["id"].to_pylist()[2:] == list(range(-9, 10))  # 2 log(101) is 9.2
    ids = Features(run.schema, run.path)(
        {name: np.array(values) for name, values in served(price=np.float32(-100.0)).items()}
    )["ids"].numpy()
    slot = sum(run.features.slots[:3])
    assert price["id"].to_pylist()[ids[0, slot]] == -9
    with pytest.raises(
        RunError, match=r"there is no field with rows 'items'; there are history, hour, item, price"
    ):
        run.embeddings("items")
    with pytest.raises(RunError, match=r"table must be 0 to 0, the model's tables\. Received: 1"):
        run.embeddings("item", table=1)


def served(**columns: Any) -> dict[str, list[Any]]:
    row = {"Item no": 1, "history": [1], "hour": 0, "price": 0.0, "shop": "s"}
    return {name: [value] for name, value in (row | columns).items()}


def test_fields_without_ids_come_between(tmp_path: pathlib.Path, items: str) -> None:
    """The rows of H that no table has do not move the places of those that one has."""
    schema = schema_with(pretrained=items, **FROZEN)
    schema["features"].insert(0, {"name": "amount", "column": "price", "kind": "number"})
    price, *_ = [feature for feature in schema["features"] if feature["name"] == "price"]
    schema["features"].remove(price)
    schema["sequences"] = [{"name": "recent", "features": ["history"], "query": ["item"]}]
    rows = log()
    run = tafe_tf.fit(schema, train=rows, run_dir=tmp_path / "run", **SETTINGS)
    known = dict(zip(range(0, 80, 2), vectors(), strict=True))
    written = run.embeddings("item").to_pylist()[FIRST:]
    assert len(written) == ITEMS
    for row in written:
        if row["id"] in known:
            np.testing.assert_array_equal(row["vector"], known[row["id"]])
    settings = {**SETTINGS, **STILL, "warm_start": str(tmp_path / "run")}
    after = tafe_tf.fit(schema, train=log(seed=1, first=15), run_dir=tmp_path / "after", **settings)
    for name in ("item", "hour", "shop"):
        before = {row["id"]: row["vector"] for row in run.embeddings(name).to_pylist()[FIRST:]}
        for row in after.embeddings(name).to_pylist()[FIRST:]:
            if row["id"] in before:
                np.testing.assert_allclose(row["vector"], before[row["id"]], rtol=1e-6)
    for name in ("amount", "recent"):
        with pytest.raises(RunError, match=rf"there is no field with rows '{name}'; there are hi"):
            run.embeddings(name)


def test_every_table_of_a_single_task_model_can_be_asked_for(tmp_path: pathlib.Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "bottom_units"}
    settings["model"] = "single_task"
    run = tafe_tf.fit(schema_with(), train=log(), run_dir=tmp_path / "run", **settings)
    one, two = (run.embeddings("hour", table=i)["vector"].to_pylist() for i in range(2))
    assert one != two and len(one) == len(two) == 26
