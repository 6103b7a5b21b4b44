"""`tafe look` tells all problems at once, in files and schema, without TensorFlow."""

from __future__ import annotations

import json
import math
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tafe_tf import memory
from tafe_tf.first_look.look import look
from tafe_tf.first_look.tables import lines

SCHEMA = """
name = "shop"
group = "user"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
[[features]]
name = "user"
kind = "vocabulary"
[[features]]
name = "hour"
kind = "integer"
size = 20
[[features]]
name = "amount"
kind = "log_round"
"""


def frame(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    click = (random.random(rows) < 0.3).astype(int)
    buy = click * (random.random(rows) < 0.3)
    return pd.DataFrame(
        {
            "user": [f"u{number}" for number in random.integers(0, 50 + 30 * seed, rows)],
            "hour": random.integers(0, 24, rows),
            "amount": np.where(buy == 1, 9.5, np.nan),
            "click": click,
            "buy": buy,
        }
    )


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    frame(3000, 0).to_csv(tmp_path / "train.csv", index=False)
    frame(1000, 1).to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "schema.toml").write_text(SCHEMA)
    return tmp_path


def test_what_is_said_of_good_files(shop: pathlib.Path) -> None:
    train, test = pd.read_csv(shop / "train.csv"), pd.read_csv(shop / "test.csv")
    found = look(shop)
    assert found.problems == () and not any(found.bad.values()) and not found.stops("raise")
    assert found.rows == {"train": 3000, "test": 1000} and found.is_cut == ()
    by_name = {column.name: column for column in found.columns}
    unseen = (~test["user"].isin(train["user"])).mean()
    assert by_name["user"].unseen == {"test": pytest.approx(unseen)}
    assert by_name["hour"].outside == pytest.approx((train["hour"] >= 20).mean())
    assert by_name["amount"].missing == pytest.approx(train["amount"].isna().mean())
    click, buy = found.steps
    assert click.rate == pytest.approx(train["click"].mean())
    assert buy.rate == pytest.approx(train["buy"].mean()) and buy.without_earlier == 0
    (leak,) = found.leaks
    assert leak.column == "amount" and leak.label in ("click", "buy")
    shared = test["user"].isin(train["user"]).mean()
    assert any(f"{shared:.1%} of the test rows have a 'user'" in text for text in found.warnings)


def test_rows_of_other_users_should_be_held_out_where_the_test_rows_are_such(
    shop: pathlib.Path,
) -> None:
    def is_told(max_rows: int = 10_000) -> bool:
        found = look(shop, max_rows=max_rows)
        return any("--valid_split=group" in text for text in found.warnings)

    assert not is_told()  # most of the test users are known
    frame(1000, 1).assign(user="new").to_csv(shop / "test.csv", index=False)
    assert is_told()
    without = frame(1000, 1).assign(user="new")
    without.loc[:500, "user"] = None
    without.to_csv(shop / "test.csv", index=False)
    assert not is_told()  # half of the rows are of nobody
    frame(1000, 1).assign(user="new").to_csv(shop / "test.csv", index=False)
    assert not is_told(max_rows=2999)  # the row that was left out may be of such a user
    shutil.copy(shop / "test.csv", shop / "valid.csv")
    assert not is_told()  # nothing is held out of the training rows
    (shop / "valid.csv").unlink()
    few = pd.read_csv(shop / "train.csv").assign(user=lambda rows: rows.index % 49)
    few.to_csv(shop / "train.csv", index=False)
    assert not is_told()  # a tenth of 49 users may be none


def test_rows_without_a_user_are_of_no_user_that_training_knows(shop: pathlib.Path) -> None:
    test = pd.read_csv(shop / "test.csv")
    train = pd.read_csv(shop / "train.csv")
    test.loc[::4, "user"] = None
    test.to_csv(shop / "test.csv", index=False)
    shared = test["user"].isin(train["user"]).mean()
    assert any(f"{shared:.1%} of the test rows have a" in each for each in look(shop).warnings)
    test.assign(user=None).to_csv(shop / "test.csv", index=False)
    assert any("0.0% of the test rows have a 'user'" in each for each in look(shop).warnings)


def test_unknown_and_late_labels_are_no_problem(shop: pathlib.Path) -> None:
    columns = pd.read_csv(shop / "train.csv")
    columns["buy"] = columns["buy"].astype("Int64").mask(columns.index % 4 == 0)
    columns["at"] = "2026-11-20T00:00:00"
    columns["how_much"] = 1.5
    columns.to_csv(shop / "train.csv", index=False)
    (shop / "test.csv").unlink()
    keys = 'name = "buy"\nmay_be_unknown = true\nmatures_after = "3d"\nweight_column = "how_much"'
    schema = SCHEMA.replace('name = "buy"', keys).replace('group = "user"', 'time = "at"')
    (shop / "schema.toml").write_text(schema)
    found = look(shop)
    assert found.problems == () and not any(found.bad.values())
    _, buy = found.steps
    clicked = columns["click"] == 1
    assert buy.unknown == pytest.approx(clicked.mean())  # all rows are as young as the newest
    old = columns.assign(at=["2026-11-01"] * (len(columns) - 1) + ["2026-11-20"])
    old.to_csv(shop / "train.csv", index=False)
    lost = clicked & (columns["buy"].isna() | (old["at"] == "2026-11-20"))
    assert look(shop).steps[1].unknown == pytest.approx(lost.mean())
    columns.drop(columns=["at", "how_much"]).to_csv(shop / "train.csv", index=False)
    problems = " ".join(look(shop).problems)
    assert "column 'at' is missing" in problems and "column 'how_much' is missing" in problems


def test_rates_are_those_of_rows_that_had_their_time(shop: pathlib.Path) -> None:
    columns = pd.read_csv(shop / "train.csv")
    is_young = columns.index >= len(columns) // 2
    columns["buy"] = columns["buy"].mask(is_young, 0)
    columns["at"] = np.where(is_young, "2026-11-19T00:00:00", "2026-11-16T00:00:00")
    columns.to_csv(shop / "train.csv", index=False)
    test = pd.read_csv(shop / "test.csv")
    test["at"] = "2026-11-20T00:00:00"
    test.to_csv(shop / "test.csv", index=False)
    keys = 'name = "buy"\nmatures_after = "3d"'
    schema = SCHEMA.replace('name = "buy"', keys).replace('group = "user"', 'time = "at"')
    (shop / "schema.toml").write_text(schema)
    click, buy = look(shop).steps
    assert click.unknown == 0
    known = ~is_young | (columns["click"] == 0)
    assert buy.unknown == pytest.approx(1 - known.mean())
    assert buy.rate == pytest.approx(columns["buy"][known].mean())


def test_all_problems_are_told_at_once(shop: pathlib.Path) -> None:
    rows = frame(300, 2)
    rows.loc[4, "buy"], rows.loc[4, "click"] = 1, 0
    rows["hour"] = rows["hour"].astype(object)
    rows.loc[[7, 9], "hour"] = "noon"
    text = rows.to_csv(index=False)
    (shop / "train.csv").write_text(f"{text}u1,2\n")
    test = frame(50, 1).drop(columns="user")
    test.to_csv(shop / "test.csv", index=False)
    found = look(shop)
    assert len(found.problems) == 1 and "test.csv: column 'user' is missing" in found.problems[0]
    reasons = {(reason.column, reason.rows) for reason in found.bad_rows["train"]}
    assert reasons == {("buy", 1), ("hour", 2), ("*", 1)}
    assert found.bad["train"] == 4 and found.stops("drop")
    told = "\n".join(lines(found, "raise"))
    for part in ("row 5, column 'buy'", "row 8, column 'hour'", "Received: 'noon'", "row 301"):
        assert part in told
    assert told.endswith("training would stop: problems 1, bad rows 4")


def test_a_damaged_file_is_one_problem_among_others(shop: pathlib.Path) -> None:
    (shop / "train.csv").unlink()
    for number in range(3):
        frame(400, number).to_parquet(shop / f"train-{number}.parquet")
    whole = (shop / "train-1.parquet").read_bytes()
    (shop / "train-1.parquet").write_bytes(whole[:-50])
    wrong = SCHEMA.replace("size = 20", "size = 0")
    found = look(shop)
    assert len(found.problems) == 1 and "train-1.parquet" in found.problems[0]
    (shop / "schema.toml").write_text(wrong)
    found = look(shop)
    assert len(found.problems) == 2 and found.rows["train"] == 800


def test_few_rows_are_read_if_asked(shop: pathlib.Path) -> None:
    found = look(shop, max_rows=100)
    assert found.rows == {"train": 100, "test": 100} and found.is_cut == ("train", "test")
    assert any("only the first 100 train rows" in text for text in lines(found, "raise"))


def test_one_file_and_files_of_any_name_are_training_rows(tmp_path: pathlib.Path) -> None:
    frame(200, 0).to_csv(tmp_path / "march.csv", index=False)
    frame(100, 1).to_csv(tmp_path / "april.csv", index=False)
    assert look(tmp_path / "march.csv").rows == {"train": 200}
    assert look(tmp_path).rows == {"train": 300}
    assert "tafe draft" in lines(look(tmp_path), "raise")[-1]
    frame(100, 1).to_parquet(tmp_path / "may.parquet")
    (problem,) = look(tmp_path).problems
    assert "must be of one format" in problem
    assert "there is no such file" in look(tmp_path / "none").problems[0]


def test_the_command_needs_no_tensorflow(shop: pathlib.Path) -> None:
    code = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('tafe_tf.look', run_name='__main__')\n"
        "finally:\n"
        "    heavy = {'tensorflow', 'keras', 'scipy'} & sys.modules.keys()\n"
        "    print(heavy, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, str(shop), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == "set()\n" and done.returncode == 0
    assert json.loads(done.stdout)["rows"] == {"train": 3000, "test": 1000}


def test_types_without_a_meaning_are_told_for_all_columns(shop: pathlib.Path) -> None:
    for name in ("train.csv", "test.csv"):
        (shop / name).unlink()
    rows = frame(200, 0)
    rows["user"] = np.arange(200) + 0.5
    rows["hour"] = [[1, 2]] * 200
    rows["buy"] = pd.date_range("2026-01-01", periods=200)
    rows.to_parquet(shop / "train.parquet")
    found = look(shop)
    assert len(found.problems) == 3
    for problem, name in zip(found.problems, ("buy", "hour", "user"), strict=True):
        assert problem.startswith(f"{shop}/train.parquet: column {name!r}")
    assert 'when = "present"' in found.problems[0]


def test_a_table_beyond_the_memory_is_told(
    shop: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of users and hours what is missing or unseen, 20 hours, and the buckets of the amounts.
    rows = 2 + 2 + 20 + 2 + 2 * round(4 * math.log1p(1e9)) + 1
    needed = rows * 18 * 3 * 4
    monkeypatch.setattr(memory, "available", lambda: needed)
    assert not any("embedding table" in text for text in look(shop).warnings)
    monkeypatch.setattr(memory, "available", lambda: needed - 1)
    start = "with 18 numbers for each row, the default: feature 'amount': has 169 of the 193 rows"
    assert any(text.startswith(start) for text in look(shop).warnings)


def test_a_value_that_no_vocabulary_holds_is_told(shop: pathlib.Path) -> None:
    rows = frame(500, 0)
    rows.loc[[6, 8], "user"] = "two\nlines"
    rows.to_csv(shop / "train.csv", index=False)
    (reason,) = look(shop).bad_rows["train"]
    assert "train.csv: row 7, column 'user'" in reason.first and "'two\\nlines'" in reason.first
    assert reason.rows == 2 and look(shop).stops("raise") and not look(shop).stops("drop")


def test_more_bad_rows_than_may_be_dropped(shop: pathlib.Path) -> None:
    rows = frame(500, 0)
    rows["click"] = rows["click"].astype(object)
    rows.loc[:149, "click"] = "maybe"
    rows.to_csv(shop / "train.csv", index=False)
    found = look(shop)
    assert found.bad["train"] == 150 and found.stops("drop") and not found.stops("drop", "150")
    end = "training would stop: 150 of 500 train rows are bad, which is more than --max_bad_rows="
    assert lines(found, "drop")[-1] == f"{end}1% allows"
    assert lines(found, "drop", "30%")[-1] == "training would start, and drop 150 bad rows"


def test_steps_that_the_schema_repairs_stop_nothing(shop: pathlib.Path) -> None:
    rows = frame(500, 0)
    rows.loc[[3, 4], "click"], rows.loc[[3, 4], "buy"] = 0, 1
    rows.to_csv(shop / "train.csv", index=False)
    assert look(shop).stops("raise") and look(shop).bad["train"] == 2
    for order, what in (("repair", "repaired"), ("drop", "dropped by the schema's `order`")):
        schema = SCHEMA.replace('name = "shop"', f'name = "shop"\norder = "{order}"')
        (shop / "schema.toml").write_text(schema)
        found = look(shop)
        assert not found.stops("raise") and found.bad["train"] == 0
        assert f"2 train rows are {what}, the first: " in "\n".join(lines(found, "raise"))
        assert found.steps[1].without_earlier == pytest.approx(2 / rows["buy"].sum())


def test_texts_that_stand_for_no_value_are_told_unless_the_schema_names_them(
    shop: pathlib.Path,
) -> None:
    rows = frame(3000, 0)
    few, many = np.arange(3000) % 30 == 0, np.arange(3000) % 2 == 0
    rows["user"] = np.where(few, "?", rows["user"])
    rows["hour"] = np.where(many, "?", rows["hour"].astype(str))
    rows.to_csv(shop / "train.csv", index=False)
    said = [each for each in look(shop).warnings if "?" in each]
    way_out = "if it means that there is no value, name it in the schema's `missing`"
    assert said == [f"'?' stands in 50.00% of column 'hour' and in 1 more: {way_out}"]

    (shop / "schema.toml").write_text(SCHEMA.replace("group", 'missing = ["?"]\ngroup', 1))
    found = look(shop)
    assert not any("?" in each for each in found.warnings) and found.problems == ()
    by_name = {column.name: column for column in found.columns}
    assert by_name["hour"].missing == 0.5


def test_a_step_that_happens_more_often_than_the_one_before_it_is_told(shop: pathlib.Path) -> None:
    assert not any("order" in each for each in look(shop).warnings)
    reversed_steps = SCHEMA.replace("click", "last").replace("buy", "click").replace("last", "buy")
    (shop / "schema.toml").write_text(f'order = "repair"\n{reversed_steps}')
    train = pd.read_csv(shop / "train.csv")
    rates = f"{train['click'].mean():.2%} of the rows, more than the step before it"
    (said,) = (each for each in look(shop).warnings if "order" in each)
    assert said.startswith(f"label 'click' is 1 in {rates}, 'buy' (")
    assert said.endswith("is their order right?")
