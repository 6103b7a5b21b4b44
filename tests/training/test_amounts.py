"""Amounts of a known law, learned from the conversions that brought them."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from typing import Any

import amount_rows
import keras
import numpy as np
import pytest

from tafe_tf.data.formats.write import write
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import Amount, Schema
from tafe_tf.terminal.tables import print_unknown
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.fit import fit
from tafe_tf.training.intercepts import amount_scale, intercept_shifts
from tafe_tf.training.predictions import amounts_given
from tafe_tf.training.run import Run

MODEL = ModelConfig(name="shared_bottom", arguments={"bottom_units": [32], "tower_units": [16]})
SETTINGS = TrainingConfig(epochs=2, batch_size=256, learning_rate=0.01)
TEST = amount_rows.drawn(1, 20_000)


def as_lists(rows: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in rows.items()}


def train(
    directory: pathlib.Path,
    rows: dict[str, Any],
    schema: Schema,
    *,
    callbacks: Any = (),
    model: ModelConfig = MODEL,
    **settings: Any,
) -> Run:
    directory.mkdir(exist_ok=True)
    path = directory / "train.parquet"
    if not path.exists():
        write(path, rows)
    data = DataConfig(train=(str(path),), schema=schema)
    training = dataclasses.replace(SETTINGS, **settings)
    return fit(
        data,
        directory / "run",
        model=model,
        training=training,
        callbacks=callbacks,
        verbose=False,
    )


def served(run: Run, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return run.predict({name: rows[name] for name in amount_rows.INPUTS})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("amounts") / "job"
    rows = amount_rows.drawn(0, 20_000)
    return train(directory, as_lists(rows), amount_rows.schema())


def test_sums_of_training_rows_are_the_observed_ones(run: Run) -> None:
    rows = amount_rows.drawn(0, 20_000)
    found = served(run, rows)
    assert found["expected_amount"].sum() == pytest.approx(rows["spend"].sum(), rel=1e-5)
    np.testing.assert_allclose(
        found["expected_amount"],
        found["ctcvr"] * found["amount_given_conversion"],
        rtol=1e-5,
    )


def test_the_run_counts_amounts_and_starts_at_them(run: Run) -> None:
    rows = amount_rows.drawn(0, 20_000)
    logs = np.log(rows["spend"][rows["conversion"] == 1])
    counted = run.directory.statistics()["amount"]
    assert counted["rows"] == len(logs)
    assert counted["mean_log"] == pytest.approx(logs.mean(), abs=1e-6)
    assert counted["deviation_log"] == pytest.approx(logs.std(), abs=1e-5)


def test_evaluation_measures_amounts_and_stops_by_steps(run: Run) -> None:
    metrics = run.evaluate(as_lists(TEST))
    bought = TEST["conversion"] == 1
    found = served(run, TEST)
    ratio = found["amount_given_conversion"][bought].sum() / TEST["spend"][bought].sum()
    assert metrics["pcoc/amount_given_conversion"] == pytest.approx(ratio, rel=1e-5)
    assert metrics["rows/amount_given_conversion"] == bought.sum()
    assert 0.3 < float(metrics["gini/amount_given_conversion"] or 0) < 1
    assert "gini/expected_amount" in run.history[-1]
    with pytest.raises(ValueError, match="monitor must be"):
        train(run.path.parent, {}, run.schema, monitor="auc/expected_amount")


def test_a_killed_run_goes_on_to_the_same_bits(run: Run, tmp_path: pathlib.Path) -> None:
    class Killed(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if int(self.model.optimizer.iterations) >= 90:
                raise Killed

    directory = tmp_path / "job"
    directory.mkdir()
    shutil.copy(run.path.parent / "train.parquet", directory)
    settings: dict[str, Any] = {"checkpoint_steps": 20, "steps_per_call": 10}
    with pytest.raises(Killed):
        train(directory, {}, amount_rows.schema(), callbacks=[Kill()], **settings)
    again = train(directory, {}, amount_rows.schema(), **settings)
    for one, other in zip(run.model.variables, again.model.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_unknown_amounts_change_neither_steps_nor_the_mean(tmp_path: pathlib.Path) -> None:
    rows = amount_rows.drawn(0, 20_000)
    columns = as_lists(rows)
    is_lost = np.random.default_rng(5).random(20_000) < 0.5
    columns["spend"] = [
        None if lost else amount for lost, amount in zip(is_lost, columns["spend"], strict=True)
    ]
    schema = amount_rows.schema(amount=Amount(name="spend", may_be_unknown=True))
    found = served(train(tmp_path / "job", columns, schema), TEST)
    ratio = found["expected_amount"].sum() / (TEST["true_conversion"] * TEST["true_spend"]).sum()
    # 6,000 known amounts with a deviation of about .8 of their mean: standard error 1 %.
    assert ratio == pytest.approx(1.0, abs=0.04)


def test_amounts_beyond_float32_are_its_largest_number() -> None:
    largest = float(np.finfo(np.float32).max)
    outputs = np.array([[0.0, 200.0, 0.0], [0.0, 0.0, 1000.0], [0.0, 2.0, -50.0]], np.float32)
    found = amounts_given(outputs)
    assert found[:2].tolist() == [largest, largest]
    assert found[2] == pytest.approx(np.exp(2.0 + 0.05**2 / 2))
    schema = amount_rows.schema()
    logits = np.zeros((3, len(schema.tasks) - 1), np.float32)
    served = probabilities(keras.ops.convert_to_tensor(np.hstack([logits, outputs])), schema)
    given, expected = (np.array(served[name]) for name in schema.amount_names)
    np.testing.assert_allclose(given, found, rtol=1e-5)
    np.testing.assert_allclose(expected, found / 2, rtol=1e-5)


def test_rows_without_any_amount_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    warning = "warning: no training row knows an amount"
    print_unknown({"rows": 3, "amount": {"rows": 1}})
    print_unknown({"rows": 3})
    assert warning not in capsys.readouterr().out
    print_unknown({"rows": 3, "amount": {"rows": 0}})
    assert warning in capsys.readouterr().out


def test_a_warm_start_goes_on_with_the_amount(run: Run, tmp_path: pathlib.Path) -> None:
    rows = amount_rows.drawn(2, 3000)
    before = run.model.heads.amount_bias.numpy()
    warm = train(
        tmp_path / "job",
        as_lists(rows),
        amount_rows.schema(),
        warm_start=str(run.path),
        epochs=1,
        learning_rate=0.0,
        intercept_rows=0,
    )
    np.testing.assert_array_equal(warm.model.heads.amount_bias.numpy(), before)
    with pytest.raises(RunError, match="needs the same schema, but amount is"):
        train(
            tmp_path / "other",
            as_lists(rows),
            amount_rows.schema(amount=None),
            warm_start=str(run.path),
        )


@pytest.mark.parametrize("products", [False, True])
def test_the_scale_makes_sums_equal(products: bool) -> None:
    rng = np.random.default_rng(0)
    logits = np.sort(rng.normal(size=(500, 3)), axis=1)[:, ::-1].astype(np.float32)
    depth = rng.integers(0, 4, 500)
    labels = np.arange(3) < depth[:, None]
    weights = np.repeat(rng.uniform(0.5, 2, (500, 1)), 3, axis=1)
    given = rng.uniform(1, 9, 500)
    rows: dict[str, np.ndarray] = {
        "logits": logits,
        "depth": depth,
        "amount": np.where(depth == 3, rng.lognormal(size=500), 0.0),
        "amount_given": given,
    }
    shifts = intercept_shifts(logits, labels, weights, products)
    factor = np.exp(amount_scale(rows, weights, shifts, products))
    f = 1 / (1 + np.exp(-logits.astype(np.float64)))
    if products:
        steps = np.concatenate([f[:, :1], np.minimum(f[:, 1:] / f[:, :-1], 1 - 1e-7)], axis=1)
        odds = steps / (1 - steps) * np.exp(shifts)
        p = np.prod(odds / (1 + odds), axis=1)
    else:
        p = 1 / (1 + np.exp(-(logits + shifts).min(axis=1)))
    expected = (weights[:, 2] * factor * p * given).sum()
    assert expected == pytest.approx((weights[:, 2] * rows["amount"]).sum(), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch_size", "rate"), [("shared_bottom", 512, 0.01), ("tafe", 1024, 0.005)]
)
def test_means_of_a_known_law_within_2_per_cent_a_decile(
    name: str, batch_size: int, rate: float, tmp_path: pathlib.Path
) -> None:
    """Against the truth, which no observed amount tells exactly."""
    rows = amount_rows.drawn(0, 300_000)
    test = amount_rows.drawn(1, 100_000)
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "epochs": 4,
        "learning_rate": rate,
        "learning_rate_decay": "linear",
        "valid_fraction": 0.0,  # the steps' best epoch may be an early one
        "model": MODEL if name == "shared_bottom" else ModelConfig(name=name),
    }
    run = train(tmp_path / "job", as_lists(rows), amount_rows.schema(), **settings)
    found = served(run, test)
    truths = {
        "amount_given_conversion": test["true_spend"],
        "expected_amount": test["true_conversion"] * test["true_spend"],
    }
    for output, truth in truths.items():
        deciles = np.array_split(np.argsort(found[output]), 10)
        ratios = [found[output][decile].mean() / truth[decile].mean() for decile in deciles]
        np.testing.assert_allclose(ratios, 1.0, rtol=0, atol=0.02)
