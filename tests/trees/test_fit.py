"""Trees of whole runs, against LightGBM called by hand on a table that pandas makes."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import tafe_tf
from tafe_tf.data.atomic import read_json
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.write import write
from tafe_tf.schema import Amount
from tafe_tf.training import run_dir
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.trees.config import TreesConfig

try:
    import lightgbm

    from tafe_tf.trees import fit
    from tafe_tf.trees.funnel_trees import Grower
except (ImportError, OSError) as missing:  # the extra gbdt, or the system's OpenMP
    pytest.skip(f"needs LightGBM: {missing}", allow_module_level=True)

SCHEMA = """
name = "shop"
time = "at"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
[[features]]
name = "item"
kind = "vocabulary"
[[features]]
name = "hour"
kind = "integer"
size = 6
[[features]]
name = "price"
kind = "log_round"
"""
SMALL: dict[str, Any] = {
    "num_iterations": 60,
    "early_stopping_round": 10,
    "num_leaves": 8,
    "shrinkage_rate": 0.2,
    "feature_fraction": 1.0,
    "bagging_fraction": 1.0,
}
TEXTS = [f"item {i}" for i in range(12)]
LATEST = TrainingConfig(valid_split="time", valid_fraction=0.25, save_predictions=True)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads wait for each other longer than such small work takes."""
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")


def draw(rows: int, seed: int) -> pd.DataFrame:
    """Rows of a funnel whose probabilities are known: columns `p_click` and `p_buy`."""
    rng = np.random.default_rng(seed)
    item = np.minimum(rng.geometric(0.2, rows) - 1, len(TEXTS) - 1)
    hour = rng.integers(0, 6, rows)
    price = np.exp(rng.normal(1.0, 1.0, rows)).astype(np.float32)
    likes = np.random.default_rng(9).normal(0.0, 1.0, len(TEXTS))
    p_click = 1 / (1 + np.exp(-(likes[item] + 0.8 * np.sin(hour) - 0.3)))
    given = 1 / (1 + np.exp(-(1.5 * (price > 3) - 0.7 * likes[item])))
    click = rng.random(rows) < p_click
    buy = click & (rng.random(rows) < given)
    is_missing = rng.random(rows) < 0.05
    return pd.DataFrame(
        {
            "item": [TEXTS[i] for i in item],
            "hour": hour,
            "price": np.where(is_missing, np.nan, price),
            "at": rng.permutation(rows),
            "click": click.astype(int),
            "buy": buy.astype(int),
            "p_click": p_click,
            "p_buy": p_click * given,
        }
    )


def write_shop(folder: pathlib.Path, schema: str = SCHEMA, **frames: pd.DataFrame) -> DataConfig:
    """Files of each split, with their schema."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, frame in frames.items():
        write(folder / f"{split}.parquet", frame.to_dict("list"))
    (folder / "schema.toml").write_text(schema)
    return DataConfig.in_directory(folder)


def logits_of(run: pathlib.Path) -> np.ndarray:
    with np.load(run / "predictions.npz") as arrays:
        return np.asarray(arrays["logits"])


def by_hand(train: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that the trees read, by pandas: categories by their rank in the training file."""
    ranked = train["item"].value_counts().index
    codes = {text: rank + 2 for rank, text in enumerate(ranked)}
    item = frame["item"].map(codes).fillna(0)
    price = frame["price"].astype(np.float32).astype(float)
    return pd.DataFrame({"item": item, "hour": frame["hour"] + 2.0, "price": price})


def hand_trees(
    table: pd.DataFrame,
    labels: pd.Series,
    held_out: pd.DataFrame,
    metric: Any,
) -> Any:
    """LightGBM's scikit-learn estimator, stopped by a metric of the held-out rows."""
    model = lightgbm.LGBMClassifier(
        n_estimators=60,
        num_leaves=8,
        learning_rate=0.2,
        n_jobs=1,
        metric="None",  # beside the one that is given
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )
    stop = lightgbm.early_stopping(10, verbose=False)
    labels_of_held_out = held_out.pop("label")
    return model.fit(
        table,
        labels,
        eval_X=(held_out,),
        eval_y=(labels_of_held_out,),
        eval_metric=metric,
        categorical_feature=["item", "hour"],
        callbacks=[stop],
    )


def test_an_amount_changes_nothing_of_the_trees(tmp_path: pathlib.Path) -> None:
    """They predict none: its metrics are left out."""
    spend = '[[tasks]]\nname = "spend"\nkind = "amount"\n'
    first = '[[features]]\nname = "item"'
    found = []
    for name, schema in (("with", SCHEMA.replace(first, spend + first)), ("without", SCHEMA)):
        frames = {split: draw(600, seed) for split, seed in (("train", 0), ("test", 1))}
        frames = {split: frame.assign(spend=9.5 * frame["buy"]) for split, frame in frames.items()}
        data = write_shop(tmp_path / name, schema, **frames)
        fit.fit_trees(data, tmp_path / name / "run", trees=TreesConfig(**SMALL), training=LATEST)
        found.append(logits_of(tmp_path / name / "run"))
        metrics = read_json(tmp_path / name / "run" / "metrics.json")
        assert "auc/ctcvr" in metrics and not any("amount" in key for key in metrics)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("heads", ["separate", "conditional"])
def test_predictions_are_those_of_lightgbm_called_by_hand(
    tmp_path: pathlib.Path, heads: Any
) -> None:
    train, test = draw(3000, 0), draw(800, 1)
    data = write_shop(tmp_path / "data", train=train, test=test)
    run = tmp_path / "run"
    fit.fit_trees(data, run, trees=TreesConfig(heads=heads, **SMALL), training=LATEST)
    logits = logits_of(run)

    is_latest = train["at"] >= np.sort(train["at"])[round(0.75 * 2999)]
    late, early = train[is_latest], train[~is_latest]
    table, held_out = by_hand(train, early), by_hand(train, late)
    rows = by_hand(train, test)

    def auc(label: Any, p: Any) -> tuple[str, float, bool]:
        return "auc", roc_auc_score(label, p), True

    click = hand_trees(table, early["click"], held_out.assign(label=late["click"]), auc)
    p_click = click.predict_proba(rows)[:, 1]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 0].astype(float))), p_click, rtol=1e-5)

    if heads == "separate":
        buy = hand_trees(table, early["buy"], held_out.assign(label=late["buy"]), auc)
        p_buy = buy.predict_proba(rows)[:, 1]
    else:
        before = click.predict_proba(held_out)[:, 1]

        def auc_of_product(label: Any, p: Any) -> tuple[str, float, bool]:
            return "auc", roc_auc_score(label, before * p), True

        reached = early["click"] == 1
        labelled = held_out.assign(label=late["buy"])
        buy = hand_trees(table[reached], early["buy"][reached], labelled, auc_of_product)
        p_buy = p_click * buy.predict_proba(rows)[:, 1]
        assert (logits[:, 1] <= logits[:, 0]).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits[:, 1].astype(float))), p_buy, rtol=1e-5)

    grown = read_json(run / "trees" / "buy.json")
    assert grown["kept"] == buy.best_iteration_ and grown["trees"] == grown["kept"] + 10
    metrics = read_json(run / "metrics.json")
    assert metrics["auc/ctr"] == pytest.approx(roc_auc_score(test["click"], p_click), abs=1e-6)
    assert metrics["auc/ctcvr"] == pytest.approx(roc_auc_score(test["buy"], p_buy), abs=1e-6)
    (epoch,) = read_json(run / "history.json")
    expected = roc_auc_score(late["click"], click.predict_proba(held_out)[:, 1])
    assert epoch["rows"] == len(late) and epoch["auc/ctr"] == pytest.approx(expected, abs=1e-6)


def test_the_ranking_is_near_that_of_the_truth(tmp_path: pathlib.Path) -> None:
    train, test = draw(8000, 2), draw(6000, 3)
    data = write_shop(tmp_path / "data", train=train, test=test)
    trees = TreesConfig(heads="conditional", num_leaves=8, shrinkage_rate=0.1)
    training = dataclasses.replace(LATEST, monitor="log_loss")
    fit.fit_trees(data, tmp_path / "run", trees=trees, training=training)
    metrics = read_json(tmp_path / "run" / "metrics.json")
    for name, task in (("ctr", "click"), ("ctcvr", "buy")):
        best = roc_auc_score(test[task], test[f"p_{task}"])
        assert best - 0.012 < metrics[f"auc/{name}"] < best + 0.005
        assert metrics[f"pcoc/{name}"] == pytest.approx(1.0, abs=0.05)
    clicked = test[test["click"] == 1]
    best = roc_auc_score(clicked["buy"], clicked["p_buy"] / clicked["p_click"])
    assert best - 0.02 < metrics["auc/cvr"] < best + 0.005


def test_labels_that_half_of_the_buyers_lost(tmp_path: pathlib.Path) -> None:
    """The rows that know it stand for the others, in what is learned and in what is measured."""
    train, test = draw(12_000, 2), draw(6000, 3)
    is_lost = np.random.default_rng(4).random(12_000) < 0.5
    lost = train.assign(buy=train["buy"].astype("Int64").mask(is_lost & (train["click"] == 1)))
    columns = lost.assign(buy=[None if value is pd.NA else int(value) for value in lost["buy"]])
    unknown = SCHEMA.replace('name = "buy"', 'name = "buy"\nmay_be_unknown = true')
    assert unknown != SCHEMA
    data = write_shop(tmp_path / "data", unknown, train=columns.astype({"buy": object}), test=test)
    for heads in ("conditional", "separate"):
        trees = TreesConfig(heads=heads, num_leaves=8, shrinkage_rate=0.1)
        training = dataclasses.replace(LATEST, monitor="log_loss")
        fit.fit_trees(data, tmp_path / heads, trees=trees, training=training)
        metrics = read_json(tmp_path / heads / "metrics.json")
        assert metrics["rows/ctcvr"] == len(test)
        assert metrics["pcoc/ctcvr"] == pytest.approx(1.0, abs=0.08)


NUMBERS = """
name = "shop"
sample_weight = "weight"
time = "at"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
[[features]]
name = "hour"
kind = "log_round"
[[features]]
name = "price"
kind = "log_round"
"""


def test_a_row_of_weight_two_is_the_row_twice(tmp_path: pathlib.Path) -> None:
    """Of numbers: LightGBM counts the rows of a category, whatever their weights are."""
    train, valid, test = (draw(count, seed) for count, seed in ((900, 4), (300, 5), (300, 6)))
    for frame in (train, valid, test):
        frame["weight"] = 1.0
        frame["price"] = np.floor(frame["price"].fillna(0)).clip(0, 9)  # bins that rows agree on
    is_heavy = train.index % 3 == 0
    weighted = train.assign(weight=np.where(is_heavy, 2.0, 1.0))
    twice = pd.concat([train, train[is_heavy]])
    free = TreesConfig(min_data_in_leaf=1, **SMALL)  # the one bound that counts rows
    found = []
    for name, rows in (("weighted", weighted), ("twice", twice), ("plain", train)):
        frames = {"train": rows, "valid": valid, "test": test}
        folder = tmp_path / name
        data = write_shop(folder / "data", NUMBERS, **frames)
        fit.fit_trees(data, folder / "run", trees=free, training=LATEST)
        found.append(logits_of(folder / "run"))
    in_one, in_two, plain = found
    np.testing.assert_allclose(in_one, in_two, rtol=1e-4, atol=1e-5)
    assert np.abs(in_one - plain).max() > 0.1


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_killed_run_goes_on_with_the_next_step(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    data = write_shop(tmp_path / "data", train=draw(800, 7), test=draw(100, 8))
    trees = TreesConfig(**SMALL)
    fit.fit_trees(data, tmp_path / "whole", trees=trees, training=LATEST)

    grow = Grower.grow
    steps: list[int] = []

    def killed(self: Any, before: Any, *rows: Any) -> Any:
        steps.append(len(before.boosters))
        if steps == [0, 1]:
            raise KeyboardInterrupt
        return grow(self, before, *rows)

    monkeypatch.setattr(Grower, "grow", killed)
    run = tmp_path / "run"
    address = f"{scheme}{run}"
    with pytest.raises(KeyboardInterrupt):
        fit.fit_trees(data, address, trees=trees, training=LATEST)
    assert not (run / "metrics.json").exists()
    run_dir._mirror_of.cache_clear()  # as a process elsewhere, which has copied nothing
    fit.fit_trees(data, address, trees=trees, training=LATEST)
    assert steps == [0, 1, 1]
    np.testing.assert_array_equal(logits_of(run), logits_of(tmp_path / "whole"))

    other = TreesConfig(**{**SMALL, "num_leaves": 9})
    with pytest.raises(RunError, match=r"flags\.txt: this directory holds another run.*leaves=8"):
        fit.fit_trees(data, address, trees=other, training=LATEST)


def test_a_step_that_no_training_row_reached(tmp_path: pathlib.Path) -> None:
    rows = draw(300, 0).assign(click=0, buy=0)
    data = write_shop(tmp_path / "data", train=rows, test=rows)
    rule = r"task 'buy': no training row reached 'click'.*; take heads=separate"
    trees = TreesConfig(heads="conditional", **SMALL)
    with pytest.raises(DataError, match=rule):
        fit.fit_trees(data, tmp_path / "run", trees=trees, training=LATEST)


def test_a_single_training_row_is_learned_from(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No share of one row is a row, and one held-out row defines no AUC."""
    row = pd.DataFrame({"item": ["item 1"], "hour": 2, "price": 3.0, "click": 1, "buy": 1})
    data = write_shop(
        tmp_path / "data", train=row.assign(at=1), valid=row.assign(at=2), test=row.assign(at=3)
    )
    trees = TreesConfig(heads="conditional", **{**SMALL, "bagging_fraction": 0.8})
    training = TrainingConfig(save_predictions=True)
    fit.fit_trees(data, tmp_path / "run", trees=trees, training=training)
    assert (logits_of(tmp_path / "run") > 10.0).all()
    said = capsys.readouterr().out
    assert "warning: task 'buy': the held-out rows do not define auc" in said
    with pytest.raises(RunError, match="holds boosted trees, which only"):
        tafe_tf.load(tmp_path / "run")


def test_what_lightgbm_refuses_is_an_error_that_names_the_task(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_shop(tmp_path / "data", train=draw(50, 0), test=draw(50, 1))

    def refuses(*_: Any, **__: Any) -> None:
        raise lightgbm.basic.LightGBMError("Check failed")

    monkeypatch.setattr(lightgbm, "train", refuses)
    with pytest.raises(DataError, match=r"^task 'click': LightGBM cannot .*: Check failed$"):
        fit.fit_trees(data, tmp_path / "run", training=LATEST)


def test_a_task_may_have_the_name_of_a_file(tmp_path: pathlib.Path) -> None:
    """The same command again reads what the first one left."""
    names = {"click": "lists", "buy": "listed"}
    text = SCHEMA.replace('"click"', '"lists"').replace('"buy"', '"listed"')
    text = text.replace('"vocabulary"', '"vocabulary"\nmax_length = 1')
    rows = draw(200, 0).rename(columns=names)
    data = write_shop(tmp_path / "data", text, train=rows, test=rows)
    for _ in range(2):
        fit.fit_trees(data, tmp_path / "run", trees=TreesConfig(**SMALL), training=LATEST)
    assert logits_of(tmp_path / "run").shape == (200, 2)


def test_trees_do_not_go_on_from_another_run(tmp_path: pathlib.Path) -> None:
    data = write_shop(tmp_path / "data", train=draw(50, 0))
    with pytest.raises(RunError, match="--warm_start has no meaning for gbdt"):
        fit.fit_trees(data, tmp_path / "run", training=TrainingConfig(warm_start="runs/before"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "monitor", ["gini/expected_amount", "pcoc/amount_given_buy", "truth_auc/ctr"]
)
def test_a_metric_that_no_step_has_is_refused_before_anything_is_written(
    tmp_path: pathlib.Path, monitor: str
) -> None:
    data = write_shop(tmp_path / "data", train=draw(50, 0))
    schema = dataclasses.replace(data.schema, amount=Amount(name="spend"))
    data = dataclasses.replace(data, schema=schema)
    if monitor == "truth_auc/ctr":
        tasks = [dataclasses.replace(task, truth=f"{task.name}_p") for task in schema.tasks]
        data = dataclasses.replace(data, schema=dataclasses.replace(schema, tasks=tuple(tasks)))
    with pytest.raises(ValueError, match=f"monitor of gbdt must be one of .*: '{monitor}'"):
        fit.fit_trees(data, tmp_path / "run", training=TrainingConfig(monitor=monitor))
    assert not (tmp_path / "run").exists()


def test_trees_judged_as_of_another_time_are_another_run(tmp_path: pathlib.Path) -> None:
    schema = SCHEMA.replace('name = "buy"', 'name = "buy"\nmatures_after = "100s"')
    frames = {split: draw(600, seed) for split, seed in (("train", 0), ("test", 1))}
    data = write_shop(tmp_path / "data", schema, **frames)
    trees = TreesConfig(**SMALL)
    fit.fit_trees(data, tmp_path / "run", trees=trees)
    with pytest.raises(RunError, match=r"flags\.txt: .*another run"):
        fit.fit_trees(data, tmp_path / "run", trees=trees, training=TrainingConfig(now="300"))
    assert "--now" not in (tmp_path / "run" / "flags.txt").read_text()
