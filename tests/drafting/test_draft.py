"""Drafts: which columns are labels, which are fields, and why the others are none."""

from __future__ import annotations

import pathlib
import tomllib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tafe_tf import schema_toml
from tafe_tf.data.errors import DataError
from tafe_tf.drafting.draft import draft
from tafe_tf.drafting.labels import NoLabelError
from tafe_tf.drafting.names import stage
from tafe_tf.schema import MISSING_TEXTS, Feature, Schema

ROWS = 4000


def written(tmp_path: pathlib.Path, columns: dict[str, Any]) -> pathlib.Path:
    path = tmp_path / "shop.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def drafted(path: pathlib.Path, **settings: Any) -> tuple[Schema, str]:
    text = draft(path, **settings)
    return schema_toml.parse(tomllib.loads(text)), text


def features(schema: Schema) -> dict[str, Feature]:
    return {feature.column: feature for feature in schema.features}


@pytest.fixture
def columns() -> dict[str, Any]:
    random = np.random.default_rng(5)
    click = (random.random(ROWS) < 0.3).astype(int)
    buy = click * (random.random(ROWS) < 0.3)
    item = random.integers(0, 300, ROWS)
    return {
        "request_id": [f"r{number}" for number in range(ROWS)],
        "user_id": random.integers(0, 500, ROWS),
        "item": [f"i{number}" for number in item],
        "item_name": [f"name of {number}" for number in item],
        "hour": random.integers(0, 24, ROWS),
        "price": random.lognormal(3, 1, ROWS).round(2),
        "ctr_30d": random.random(ROWS).round(4),
        "country": ["NL"] * ROWS,
        "nothing": [None] * ROWS,
        "click": click,
        "buy": buy,
        "refund": np.where((buy == 1) & (item % 2 == 0), 1.5, np.nan),
        "basket": np.where(buy == 1, 20.0 + item, 0.0),
    }


def test_each_column_has_its_part(tmp_path: pathlib.Path, columns: dict[str, Any]) -> None:
    schema, text = drafted(written(tmp_path, columns))
    assert schema.labels == ("click", "buy") and schema.name == "shop"
    assert schema.group == "user_id" and schema.order == ""
    kinds = {name: feature.kind for name, feature in features(schema).items()}
    assert kinds == {
        "user_id": "vocabulary",
        "item": "vocabulary",
        "hour": "integer",
        "price": "quantile",
        "ctr_30d": "quantile",
    }
    assert features(schema)["hour"].size == 24 and features(schema)["user_id"].side == "user"
    assert features(schema)["ctr_30d"].buckets == 64
    for column, reason in {
        "request_id": "names the row",
        "item_name": "says the same as 'item'",
        "country": "is 'NL' in all rows",
        "nothing": "has no value",
        "refund": "only where",
        "basket": "if it is what 'buy' brings, it is the amount of a task, kind = \"amount\"",
    }.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"# Left out: {column!r}")]
        assert reason in line


def test_every_key_has_a_reason(tmp_path: pathlib.Path, columns: dict[str, Any]) -> None:
    text = draft(written(tmp_path, columns))
    before = ""
    for line in text.splitlines():
        is_key = " = " in line and not line.startswith("#")
        if is_key and not line.startswith('name = "shop"'):
            assert "  # " in line or before.startswith("# "), line
        before = line


def test_many_values_are_hashed(tmp_path: pathlib.Path, columns: dict[str, Any]) -> None:
    rows = 30 * ROWS
    random = np.random.default_rng(6)
    path = written(
        tmp_path,
        {"page_id": random.integers(0, 80_000, rows), "click": random.integers(0, 2, rows)},
    )
    page = features(drafted(path)[0])["page_id"]
    assert page.kind == "hash" and page.dtype == "int64"
    assert 2 * 60_000 < page.buckets <= 4 * 80_000


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        (["yes", "no"], {"positive": ("yes",), "negative": ("no",)}),
        (["Y", "N"], {"positive": ("Y",), "negative": ("N",)}),
        (["True", "False"], {}),
        (["1.0", "0.0"], {}),
        (["1", "-1"], {"negative": ("-1",)}),
        (["2026-01-05", ""], {"when": "present"}),
    ],
)
def test_values_of_labels(
    tmp_path: pathlib.Path, columns: dict[str, Any], values: list[str], keys: dict[str, Any]
) -> None:
    columns["clicked"] = [values[1 - number] for number in columns.pop("click")]
    columns = {name: columns[name] for name in ("user_id", "item", "clicked")}
    (task,) = drafted(written(tmp_path, columns))[0].tasks
    found = {key: getattr(task, key) for key in ("positive", "negative", "when")}
    assert found == {"positive": (), "negative": (), "when": "", **keys}


def test_a_step_without_the_earlier_one_is_repaired(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    columns["click"][np.flatnonzero(columns["buy"])[:7]] = 0
    schema, text = drafted(written(tmp_path, columns))
    assert schema.order == "repair" and "7 rows have a later step" in text


def test_labels_may_be_named(tmp_path: pathlib.Path, columns: dict[str, Any]) -> None:
    renamed = {"click": "a1", "buy": "b1"}
    path = written(tmp_path, {renamed.get(name, name): value for name, value in columns.items()})
    with pytest.raises(NoLabelError, match=r"a1 \(3.\..*%\), b1 \(.*--task=click --task=buy"):
        draft(path)
    schema, _ = drafted(path, tasks=["a1", "b1"], name="mine")
    assert schema.labels == ("a1", "b1") and schema.name == "mine"
    with pytest.raises(NoLabelError, match="such column; give --task once for each step; the col"):
        draft(written(tmp_path, columns), tasks=["click,buy"])
    with pytest.raises(NoLabelError, match="there is no such column; the columns are request_id"):
        draft(path, tasks=["c1"])
    with pytest.raises(NoLabelError, match=r"a label has two values.* Received: i"):
        draft(path, tasks=["item"])


@pytest.mark.parametrize(
    "name", ["clicks_7d", "last_purchase", "order_count", "ctr", "avg_order_value", "price", "user"]
)
def test_names_of_no_step(name: str) -> None:
    assert stage(name) == 0


def test_a_value_that_is_there_or_not_is_a_step_only_if_its_name_says_so(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    random = np.random.default_rng(9)
    click = columns["click"] == 1
    installed = click & (random.random(ROWS) < 0.6)
    commented = random.random(ROWS) < 0.1
    columns["order_comment"] = ["nice" if is_there else None for is_there in commented]
    columns["click_time"] = ["2026-02-03" if is_there else None for is_there in click]
    columns["install_date"] = ["2026-02-04" if is_there else None for is_there in installed]
    del columns["buy"]
    schema, text = drafted(written(tmp_path, columns))
    assert schema.labels == ("click", "install_date") and schema.tasks[1].when == "present"
    assert "# Left out: 'click_time' has a value only where 'click' is 1" in text


def test_lists_in_texts(tmp_path: pathlib.Path, columns: dict[str, Any]) -> None:
    items = np.random.default_rng(8).integers(0, 40, (ROWS, 3))
    columns["seen"] = [f"a{row[0]};a{row[1]};a{row[2]}" for row in items]
    schema, _ = drafted(written(tmp_path, columns))
    seen = features(schema)["seen"]
    assert (seen.max_length, seen.separator, seen.kind) == (3, ";", "vocabulary")


def test_lists_of_one_length_of_numbers_are_vectors(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    rng = np.random.default_rng(8)
    vectors = rng.normal(size=(ROWS, 5)).astype(np.float32)
    columns["embedding"] = [None if i % 9 == 0 else row.tolist() for i, row in enumerate(vectors)]
    columns["ratings"] = [rng.random(1 + i % 6).tolist() for i in range(ROWS)]
    path = tmp_path / "shop.parquet"
    pd.DataFrame(columns).to_parquet(path)
    schema, text = drafted(path)
    embedding = features(schema)["embedding"]
    assert (embedding.kind, embedding.length, embedding.max_length) == ("vector", 5, 0)
    assert features(schema)["ratings"].kind == "quantile"
    assert features(schema)["ratings"].max_length > 0 and "# all lists have as many" in text


def test_numbers_of_few_rows_have_fewer_buckets(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    few = {name: values[:1000] for name, values in columns.items()}
    price = features(drafted(written(tmp_path, few))[0])["price"]
    assert price.kind == "quantile" and price.buckets == 20


@pytest.mark.parametrize("text", ["", "click,item\n"])
def test_a_file_without_rows_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "shop.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"shop\.csv: holds no rows"):
        draft(path)


def test_doubled_columns_are_left_out(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_text("click,item,x,x\n" + "1,a,2,3\n0,b,2,4\n0,a,1,1\n" * 50)
    schema, text = drafted(path)
    assert features(schema).keys() == {"item"}
    assert "# Left out: 'x' stands more than once" in text


def test_the_time_is_a_moment_or_grows_all_along(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    assert drafted(written(tmp_path, columns))[0].time == ""
    moments = pd.date_range("2026-01-01", periods=ROWS, freq="min")
    for times in (moments.astype(str), moments.as_unit("s").astype(int), range(0, 7 * ROWS, 7)):
        schema, _ = drafted(written(tmp_path, {**columns, "event_time": list(times)}))
        assert schema.time == "event_time" and "event_time" not in features(schema)


def test_the_finest_time_is_the_moment_of_the_row(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    moments = pd.date_range("2026-01-01", periods=ROWS, freq="h")
    dated = {"day": list(moments.strftime("%Y-%m-%d")), "time": list(moments.astype(str))}
    schema, _ = drafted(written(tmp_path, {**dated, **columns}))
    assert schema.time == "time"
    assert not {"day", "time"} & features(schema).keys()


def test_histories_are_read_by_the_column_of_the_same_things(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    random = np.random.default_rng(6)
    lists = [random.integers(0, 310, size) for size in random.integers(0, 9, ROWS)]
    columns["viewed_items"] = ["|".join(f"i{item}" for item in items) for items in lists]
    columns["tags"] = ["|".join(f"t{item % 9}" for item in items[1:]) for items in lists]
    schema, text = drafted(written(tmp_path, columns))
    (sequence,) = schema.sequences
    assert (sequence.features, sequence.query) == (("viewed_items",), ("item",))
    history = features(schema)["viewed_items"]
    assert (history.shares, history.side, history.max_length) == ("item", "user", 8)
    assert "tags" in schema.fields and "viewed_items" not in schema.fields
    assert '"first" if the newest entry stands first' in text
    columns["item"] = [int(item[1:]) + 10_000 for item in columns["item"]]
    columns["history"] = ["|".join(f"{item + 10_000}" for item in items) for items in lists]
    schema, _ = drafted(written(tmp_path, columns))
    assert features(schema)["history"].shares == "item"  # ids, though a history may be an amount
    assert "history" not in schema.fields
    del columns["history"]
    columns["viewed_items"] = ["|".join(f"x{item}" for item in items) for items in lists]
    schema, _ = drafted(written(tmp_path, columns))
    assert not schema.sequences  # of other things than items


def test_lists_of_the_same_entries_are_read_with_the_history(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    random = np.random.default_rng(6)
    lists = [random.integers(0, 310, size) for size in random.integers(0, 9, ROWS)]
    columns["viewed_items"] = ["|".join(f"i{item}" for item in items) for items in lists]
    ages = [random.exponential(9.0, len(items)) for items in lists]
    columns["viewed_age"] = ["|".join(f"{age:.1f}" for age in of_row) for of_row in ages]
    schema, text = drafted(written(tmp_path, columns))
    (sequence,) = schema.sequences
    assert (sequence.features, sequence.query) == (("viewed_items", "viewed_age"), ("item",))
    age = features(schema)["viewed_age"]
    assert (age.kind, age.side, age.max_length) == ("quantile", "user", 8)
    assert "in every row these lists have one length" in text
    ages[0] = np.append(ages[0], 1.0)
    columns["viewed_age"] = ["|".join(f"{age:.1f}" for age in of_row) for of_row in ages]
    schema, _ = drafted(written(tmp_path, columns))
    assert schema.sequences[0].features == ("viewed_items",)
    assert "viewed_age" in schema.fields


def test_a_later_step_of_an_unknown_name_is_no_field(
    tmp_path: pathlib.Path, columns: dict[str, Any]
) -> None:
    random = np.random.default_rng(6)
    played = (random.random(ROWS) < 0.6).astype(int)
    long = played * (random.random(ROWS) < 0.5)
    given = {"user": columns["user_id"], "item": columns["item"], "played": played}
    path = written(tmp_path, {**given, "two_hours": long})
    schema, text = drafted(path)
    assert schema.labels == ("played",) and list(features(schema)) == ["user", "item"]
    flags = "--task=played --task=two_hours"
    assert f"if it is a step after 'played', draft with {flags}." in text
    schema, _ = drafted(path, tasks=("played", "two_hours"))
    assert schema.labels == ("played", "two_hours")


def test_a_text_for_what_is_missing_is_found(
    tmp_path: pathlib.Path,
    columns: dict[str, Any],
) -> None:
    few, many = np.arange(ROWS) % 50 == 0, np.arange(ROWS) % 2 == 0
    columns["item"] = np.where(few, "?", columns["item"])
    columns["slot"] = np.where(many, "?", columns["hour"].astype(str))
    columns["price"] = np.where(few, "on request", columns["price"].astype(str))
    schema, text = drafted(written(tmp_path, columns))
    assert {*schema.missing} == {*MISSING_TEXTS, "?", "on request"}
    assert "'?' stands in 50.00% of column 'slot' and in 1 more" in text
    found = features(schema)
    assert found["price"].kind == "quantile" and found["item"].kind == "vocabulary"
    assert found["slot"].kind == "integer"
    assert 'name = "slot"  # missing in 50.0% of the rows' in text


def test_texts_that_mean_something_are_not_missing(
    tmp_path: pathlib.Path,
    columns: dict[str, Any],
) -> None:
    columns["size"] = np.resize(["S", "M", "38", "40", "42"], ROWS)  # two that are no number
    columns["floor"] = np.resize(["G", "1"], ROWS)  # too few numbers
    columns["grade"] = np.resize(["A", "A-", "B?"], ROWS)
    schema, text = drafted(written(tmp_path, columns))
    assert schema.missing == MISSING_TEXTS and "missing = " not in text


def test_an_order_that_is_hardly_meant_is_told(
    tmp_path: pathlib.Path,
    columns: dict[str, Any],
) -> None:
    _, text = drafted(written(tmp_path, columns), tasks=["buy", "click"])
    assert "Is the order right? 'click' happens more often than 'buy' before it" in text
    _, text = drafted(written(tmp_path, columns), tasks=["click", "buy"])
    assert "Is the order right" not in text
