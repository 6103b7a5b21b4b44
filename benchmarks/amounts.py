"""Measures expected amounts beside two stages of boosted trees, on the same test rows.

    python -m benchmarks.amounts --data_dir=DIR [--models=tafe,shared_bottom] [--seeds=5]

The directory holds train.csv, test.csv and a schema.toml with an amount, whose features read one
value a row. The first stage gives P(last step), the second the amount of the rows in which it
happened: "log" by a regression of log amounts, whose mean is exp(mean + variance of the residuals
/ 2), "mean" by one of the amounts. Both are LightGBM's trees, as many as a cross-validation of the
training rows takes; "rate" is the first stage alone. For each way the normalised Gini of the order
and the relative error of the sum, both with intervals of 95 % by a bootstrap of the test rows, and
the difference of the Gini to that of "log".
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable

import lightgbm
import numpy as np
import pandas as pd
from absl import flags

import tafe_tf
from tafe_tf import schema_toml
from tafe_tf.metrics import normalised_gini
from tafe_tf.schema import Schema
from tafe_tf.terminal import command

_DATA_DIR = flags.DEFINE_string("data_dir", "", "Directory of the rows and their schema.")
_MODELS = flags.DEFINE_list("models", ["tafe", "shared_bottom"], "Models to train.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of seeds of each model.", 1)
_REPLICATES = flags.DEFINE_integer("replicates", 2000, "Bootstrap samples of the test rows.", 1)
_TREES = {
    "learning_rate": 0.03,
    "num_leaves": 7,
    "min_data_in_leaf": 20,
    "num_threads": 1,
    "verbosity": -1,
}
_MOST_TREES = 300


def main(argv: list[str]) -> None:
    """Measures all ways and prints a table."""
    command.only_flags(argv)
    command.required(data_dir=_DATA_DIR.value)
    folder = pathlib.Path(_DATA_DIR.value)
    schema = schema_toml.load(folder / "schema.toml")
    train = pd.read_csv(folder / "train.csv")
    test = pd.read_csv(folder / "test.csv")
    expected = {name: [values] for name, values in _two_stages(train, test, schema).items()}
    for model in _MODELS.value:
        expected[model] = _of_seeds(model, train, test, schema)
    _show(expected, _observed(test, schema))


def _observed(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """What each row brought, 0 without the last step."""
    assert schema.amount is not None
    happened = rows[schema.labels[-1]].to_numpy() == 1
    return np.where(happened, rows[schema.amount.column].to_numpy(), 0.0)


def _of_seeds(
    model: str,
    train: pd.DataFrame,
    test: pd.DataFrame,
    schema: Schema,
) -> list[np.ndarray]:
    """The expected amounts of the test rows, one array a seed."""
    found = []
    for seed in range(_SEEDS.value):
        with tempfile.TemporaryDirectory() as folder:
            run = tafe_tf.fit(
                schema, train=train, run_dir=f"{folder}/run", model=model, seed=seed, verbose=False
            )
            found.append(run.predict(test)["expected_amount"].astype(np.float64))
        print(f"{model}, seed {seed}: trained", flush=True)
    return found


def _two_stages(
    train: pd.DataFrame,
    test: pd.DataFrame,
    schema: Schema,
) -> dict[str, np.ndarray]:
    """The expected amounts of the test rows by the two-stage ways."""
    known, asked = _tables(train, test, schema)
    amounts = _observed(train, schema)
    happened = amounts > 0
    rate = _grown("binary", known, happened.astype(float))(asked)
    bought = known[happened]
    logs = np.log(amounts[happened])
    of_logs = _grown("regression", bought, logs)
    variance = np.var(logs - of_logs(bought))
    of_amounts = _grown("regression", bought, amounts[happened])
    return {
        "log": rate * np.exp(of_logs(asked) + variance / 2),
        "mean": rate * of_amounts(asked),
        "rate": rate * amounts[happened].mean(),
    }


def _tables(
    train: pd.DataFrame,
    test: pd.DataFrame,
    schema: Schema,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The features of both splits, texts as categories."""
    names = [feature.column for feature in schema.features]
    both = pd.concat([train[names], test[names]], ignore_index=True)
    for feature in schema.features:
        if feature.kind == "vocabulary":
            both[feature.column] = both[feature.column].astype("category")
    return both.iloc[: len(train)], both.iloc[len(train) :]


def _grown(
    objective: str,
    rows: pd.DataFrame,
    labels: np.ndarray,
) -> Callable[[pd.DataFrame], np.ndarray]:
    """Grows as many trees as are best in five folds, and gives what predicts by them."""
    settings = {**_TREES, "objective": objective, "seed": 0, "deterministic": True}
    folds = lightgbm.cv(
        settings,
        lightgbm.Dataset(rows, labels),
        num_boost_round=_MOST_TREES,
        nfold=5,
        stratified=objective == "binary",
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
        seed=0,
    )
    (curve,) = [values for name, values in folds.items() if name.endswith("-mean")]
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, labels), num_boost_round=len(curve))
    print(f"{objective} of {len(labels):,} rows: {len(curve)} trees", flush=True)
    return lambda asked: np.asarray(booster.predict(asked))


def _show(expected: dict[str, list[np.ndarray]], observed: np.ndarray) -> None:
    """Prints a line for each way; of several seeds the mean."""
    rng = np.random.default_rng(0)
    count = len(observed)
    samples = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in _replicates()]
    weights = [np.ones(count), *samples]
    ginis = {}
    errors = {}
    for name, of_seeds in expected.items():
        ginis[name] = np.array([_gini(of_seeds, observed, weight) for weight in weights])
        errors[name] = np.array([_error(of_seeds, observed, weight) for weight in weights])
    print(f"{count:,} test rows, {int((observed > 0).sum())} with an amount")
    print("| way | normalised Gini | less that of log | error of the sum |")
    print("|---|---|---|---|")
    for name in expected:
        difference = ginis[name] - ginis["log"]
        cells = [_cell(ginis[name]), _cell(difference), _cell(errors[name])]
        print(f"| {name} | {' | '.join(cells)} |")


def _replicates() -> range:
    return range(_REPLICATES.value)


def _gini(of_seeds: list[np.ndarray], observed: np.ndarray, weight: np.ndarray) -> float:
    found = [normalised_gini(values, observed, weight.astype(float)) for values in of_seeds]
    return float(np.mean([value for value in found if value is not None]))


def _error(of_seeds: list[np.ndarray], observed: np.ndarray, weight: np.ndarray) -> float:
    total = (weight * observed).sum()
    return float(np.mean([(weight * values).sum() / total - 1.0 for values in of_seeds]))


def _cell(values: np.ndarray) -> str:
    """The figure of all rows, and the interval of the bootstrap."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return f"{values[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    command.run(main)
