"""Negatives kept at a rate, with a weight of one over it: probabilities against the known truth."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from tafe_tf.data.formats.write import write
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.metrics import FunnelMetrics
from tafe_tf.schema import Schema
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

RATE = 0.2  # of the rows without a click that are kept
FUNNEL = SyntheticFunnel(rates=(0.15, 0.05), fields=3, values=5, interaction=0.0)
ROWS = 60_000
TEST = FUNNEL.chunk(stream=1, number=0, rows=20_000)


def downsampled(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All clicks, and some of the other rows with a weight that stands for those left out."""
    is_click = rows["click"] == 1
    is_drawn = np.random.default_rng(5).random(len(is_click)) < RATE
    is_kept = is_click | is_drawn
    weight = np.where(is_click, 1.0, 1.0 / RATE)
    with_weight = {**rows, "weight": weight}
    return {name: values[is_kept] for name, values in with_weight.items()}


def trained(directory: pathlib.Path, schema: Schema) -> Run:
    directory.mkdir()
    rows = downsampled(FUNNEL.chunk(stream=0, number=0, rows=ROWS))
    path = directory / "train.parquet"
    write(path, {name: values.tolist() for name, values in rows.items()})
    files = (str(path),)
    data = DataConfig(train=files, schema=schema)
    model = ModelConfig(name="shared_bottom", arguments={"bottom_units": [16], "tower_units": [8]})
    training = TrainingConfig(epochs=3, batch_size=256, learning_rate=0.01)
    return fit(data, directory / "run", model=model, training=training, verbose=False)


def ratio(p: np.ndarray, name: str) -> float:
    """The sum of predictions over that of the true probabilities, on all rows of the test."""
    return float(p.sum() / TEST[f"true_{name}"].sum())


def inputs() -> dict[str, Any]:
    return {f"field_{i}": TEST[f"field_{i}"] for i in range(FUNNEL.fields)}


# 9,000 clicks and 3,000 conversions are drawn, and 10,000 rows of weight 5: the relative standard
# errors of both sums are 1.1 % and 1.8 %; each interval is four of them and 2 % for what the model
# does not fit.
CTR = pytest.approx(1.0, abs=0.065)
CTCVR = pytest.approx(1.0, abs=0.095)


def test_with_weights_the_probabilities_are_those_of_all_rows(tmp_path: pathlib.Path) -> None:
    schema = dataclasses.replace(FUNNEL.schema(), sample_weight="weight")
    run = trained(tmp_path / "weighted", schema)
    served = run.predict(inputs())
    assert ratio(served["ctr"], "click") == CTR
    assert ratio(served["ctcvr"], "conversion") == CTCVR
    # Weighted metrics of a downsampled test are those of the whole one.
    logits = np.log(np.stack([served["ctr"], served["ctcvr"]], axis=1))
    logits -= np.log1p(-np.exp(logits))
    labels = np.stack([TEST["click"], TEST["conversion"]], axis=1)
    whole = FunnelMetrics(["ctr", "ctcvr"], ["cvr"])
    whole.update(logits, labels)
    expected = whole.result()
    found = run.evaluate(downsampled(TEST))
    for name in ("auc/ctr", "auc/ctcvr", "auc/cvr"):
        assert found[name] == pytest.approx(expected[name], abs=0.01)
    for name in ("log_loss/ctr", "pcoc/ctr", "log_loss/cvr"):
        assert found[name] == pytest.approx(expected[name], rel=0.05)
    assert found["rows"] == len(downsampled(TEST)["click"])


def test_without_weights_they_are_those_of_the_kept_rows(tmp_path: pathlib.Path) -> None:
    run = trained(tmp_path / "unweighted", FUNNEL.schema())
    served = run.predict(inputs())
    truth = TEST["true_click"]
    of_kept_rows = truth / (truth + RATE * (1.0 - truth))  # Bayes: a negative is kept at the rate
    assert ratio(served["ctr"], "click") > 2.0
    assert served["ctr"].mean() == pytest.approx(of_kept_rows.mean(), rel=0.05)
    q = served["ctr"].astype(np.float64)
    corrected = q / (q + (1.0 - q) / RATE)  # as docs/data.md says
    assert ratio(corrected, "click") == CTR
    # All clicks are kept, so nothing is wrong with what follows one.
    share = (served["cvr"] * truth).sum() / TEST["true_conversion"].sum()
    assert share == CTCVR


@pytest.mark.slow
def test_with_fewer_negatives_the_probabilities_are_those_of_all_rows(
    tmp_path: pathlib.Path,
) -> None:
    rows = FUNNEL.chunk(stream=0, number=0, rows=ROWS)
    path = tmp_path / "train.parquet"
    write(path, {name: values.tolist() for name, values in rows.items()})
    data = DataConfig(train=(str(path),), schema=FUNNEL.schema())
    model = ModelConfig(name="shared_bottom", arguments={"bottom_units": [16], "tower_units": [8]})
    training = TrainingConfig(
        epochs=3, batch_size=256, learning_rate=0.01, keep_negatives=RATE, intercept_rows=0
    )
    run = fit(data, tmp_path / "run", model=model, training=training, verbose=False)
    served = run.predict(inputs())
    assert ratio(served["ctr"], "click") == CTR
    assert ratio(served["ctcvr"], "conversion") == CTCVR
    trained = run.history[0]["train_rows"]
    assert trained == pytest.approx(0.9 * ROWS * (0.15 + 0.85 * RATE), rel=0.05)
