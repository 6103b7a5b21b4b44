"""What finished runs say: the model to test against, and the paired difference to it."""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np
import pytest
import small_models
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from tafe_tf import schema_toml
from tafe_tf.comparison.page import write_page
from tafe_tf.comparison.runs import ChildRun, Variant
from tafe_tf.comparison.statistics import Comparison

# By model and seed, how well the logits see the labels; TAFE's third seed went wrong.
SEPARATIONS = {"mmoe": (0.1, 0.2, 0.1), "ple": (0.8, 0.9, 0.7), "tafe": (2.0, 2.0, -2.0)}


def auc(labels: np.ndarray, logits: np.ndarray) -> float | None:
    return roc_auc_score(labels, logits) if labels.any() else None


def finished(
    path: pathlib.Path, name: str, seed: int, labels: np.ndarray, separation: float
) -> ChildRun:
    """A run as training leaves it; its logits [n, 2] see the labels [n, 2] so well."""
    run = ChildRun(Variant(name, name, {}), seed, path / name / f"seed-{seed}")
    run.path.mkdir(parents=True)
    noise = np.random.default_rng(seed).normal(size=labels.shape)
    logits = noise + separation * labels
    quotient = np.minimum(expit(logits[:, 1]) / expit(logits[:, 0]), 1.0)
    clicked = labels[:, 0] == 1
    metrics = {
        "auc/cvr": auc(labels[clicked, 1], quotient[clicked]),
        "auc/ctr": auc(labels[:, 0], logits[:, 0]),
        "auc/ctcvr": auc(labels[:, 1], logits[:, 1]),
        "parameters": 9,
        "rows": len(labels),
        "seconds": 1.0,
    }
    (run.path / "metrics.json").write_text(json.dumps(metrics))
    epochs = [
        {"epoch": 1, "train_rows": 9, "train_seconds": 9.0, "seconds": 1.0},
        {"epoch": 2, "train_rows": 9, "train_seconds": 3.0 + seed, "seconds": 0.5},
    ]
    (run.path / "history.json").write_text(json.dumps(epochs))
    np.savez(
        run.path / "predictions.npz",
        logits=logits.astype(np.float32),
        depth=labels.sum(axis=1),
        weight=np.ones(len(labels)),
    )
    return run


def test_the_page_shows_the_same_figures(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = results(tmp_path, 0.3)
    found["failed"] = {"aitm, seed 1": "it <broke>"}
    schema = schema_toml.load(tmp_path / "schema.toml")
    path = tmp_path / "compare.html"
    assert write_page(path, found, schema)
    text = path.read_text()
    best, *_ = [model["difference"] for model in found["models"].values() if model["difference"]]
    low, high = best["interval"]
    assert f"{best['mean']:+.4f} [{low:+.4f}, {high:+.4f}]" in text
    assert "it &lt;broke&gt;" in text
    assert f"Difference to {found['against']}" in text

    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert not write_page(path, found, schema)
    assert not path.exists()
    assert "pip install 'tafe_tf[report]'" in capsys.readouterr().out


def results(path: pathlib.Path, conversion_rate: float) -> dict[str, Any]:
    """The comparison of three models with three seeds each on 400 rows."""
    (path / "schema.toml").write_text(small_models.SHOP)
    reached = np.random.default_rng(0).random((400, 2)) < [0.4, conversion_rate]
    labels = np.cumprod(reached, axis=1)
    runs = []
    for name, separations in SEPARATIONS.items():
        for seed, separation in enumerate(separations):
            runs.append(finished(path, name, seed, labels, separation))
    comparison = Comparison(schema=schema_toml.load(path / "schema.toml"), replicates=40)
    return comparison.results(runs, {})


def test_the_difference_to_the_best_baseline(tmp_path: pathlib.Path) -> None:
    told = results(tmp_path, conversion_rate=0.5)
    assert told["against"] == "ple"
    means = {}
    for name, model in told["models"].items():
        aucs = [model["metrics"][f"auc/{step}"]["mean"] for step in ("ctr", "ctcvr")]
        means[name] = np.mean(aucs)
    difference = told["models"]["tafe"]["difference"]
    assert difference["mean"] == pytest.approx(means["tafe"] - means["ple"])
    assert difference["seeds"] == [0, 1, 2]
    assert told["models"]["ple"]["difference"] is None


def test_the_difference_of_the_conditionals(tmp_path: pathlib.Path) -> None:
    """In a funnel of two steps there is one conditional, whose AUC is that of the clicked rows."""
    told = results(tmp_path, conversion_rate=0.5)
    aucs = {name: by_hand(tmp_path, name) for name in SEPARATIONS}
    base = max((name for name in aucs if name != "tafe"), key=lambda name: np.mean(aucs[name]))
    assert told["conditionals_against"] == base
    for name, model in told["models"].items():
        difference = model["conditional_difference"]
        if name == base:
            assert difference is None
            continue
        assert difference["mean"] == pytest.approx(np.mean(aucs[name]) - np.mean(aucs[base]))
        low, high = difference["interval"]
        assert low < difference["mean"] < high


def by_hand(path: pathlib.Path, name: str) -> list[float]:
    """The AUC of f_2 / f_1 over the clicked rows, for each seed."""
    aucs = []
    for seed in range(3):
        with np.load(path / name / f"seed-{seed}" / "predictions.npz") as rows:
            f = 1 / (1 + np.exp(-rows["logits"].astype(np.float64)))
            clicked = rows["depth"] >= 1
            quotient = np.minimum(f[:, 1] / f[:, 0], 1.0)
            aucs.append(roc_auc_score(rows["depth"][clicked] > 1, quotient[clicked]))
    return aucs


def test_what_a_training_costs(tmp_path: pathlib.Path) -> None:
    """Seeds 0, 1 and 2: seconds 13.5, 14.5, 15.5, and 9 rows in 3, 4 and 5 s once compiled."""
    model = results(tmp_path, conversion_rate=0.5)["models"]["tafe"]
    assert model["epochs"] == 2
    assert model["training_minutes"] == pytest.approx(14.5 / 60)
    assert model["train_rows_per_second"] == pytest.approx(9 / 4)
    assert model["test_rows_per_second"] == pytest.approx(400)


def test_a_step_without_positives_leaves_the_difference_undefined(tmp_path: pathlib.Path) -> None:
    told = results(tmp_path, conversion_rate=0.0)
    assert told["against"] == "ple"  # by the step that has an AUC
    assert told["models"]["tafe"]["difference"] == {}


def test_runs_must_have_the_same_test_rows(tmp_path: pathlib.Path) -> None:
    (tmp_path / "schema.toml").write_text(small_models.SHOP)
    labels = np.cumprod(np.random.default_rng(0).random((400, 2)) < 0.5, axis=1)
    runs = [
        finished(tmp_path, "mmoe", 0, labels, 1.0),
        finished(tmp_path, "ple", 0, labels[::-1], 1.0),
    ]
    comparison = Comparison(schema=schema_toml.load(tmp_path / "schema.toml"), replicates=20)
    with pytest.raises(ValueError, match="was tested on other rows than the first run"):
        comparison.results(runs, {})
    with pytest.raises(ValueError, match="no run has finished"):
        comparison.results([], {})
