"""Comparing models: the bootstrap against closed forms and scikit-learn, and the whole job on a small shop."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import small_models
from absl import flags as absl_flags
from absl.testing import flagsaver
from sklearn.metrics import roc_auc_score

from tafe_tf import compare, schema_toml
from tafe_tf.comparison.bootstrap import RankedRows, interval, over_seeds, p_value, resamples
from tafe_tf.comparison.runs import Cell, Spec
from tafe_tf.comparison.statistics import Comparison
from tafe_tf.data.formats.write import write

RNG = np.random.default_rng(0)


def rows(n: int, separation: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and labels."""
    labels = np.random.default_rng(n).random(n) < 0.3
    return np.round(np.random.default_rng(n + 1).normal(size=n) + separation * labels, 1), labels


def test_each_sample_has_scikit_learns_auc() -> None:
    scores, labels = rows(300)
    weight, which = RNG.uniform(0.5, 2.0, 300), RNG.random(300) < 0.8
    counts = np.concatenate(list(resamples(300, None, 7)))
    aucs = RankedRows(scores, labels, weight, which).aucs(counts)
    expected = [
        roc_auc_score(labels[which], scores[which], sample_weight=(weight * c)[which])
        for c in counts
    ]
    np.testing.assert_allclose(aucs, expected, rtol=1e-6)
    assert np.isnan(RankedRows(scores, np.zeros(300), weight).aucs(counts)).all()


def test_samples_are_the_same_each_time_and_draw_whole_groups() -> None:
    group = np.repeat([3, 9, 5, 7], [1, 4, 2, 3])
    first, second = (np.concatenate(list(resamples(10, group, 50))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    for g in np.unique(group):
        assert (np.ptp(first[:, group == g], axis=1) == 0).all()
    counts = np.stack([first[:, np.flatnonzero(group == g)[0]] for g in np.unique(group)], axis=1)
    assert (counts.sum(axis=1) == 4).all()
    assert counts.mean() == pytest.approx(1.0) and counts.var() == pytest.approx(
        0.75, rel=0.2
    )  # binomial(4, 1/4)


def delong_sd(scores: np.ndarray, labels: np.ndarray) -> float:
    """The standard error of an AUC (DeLong, DeLong, Clarke-Pearson 1988), from all pairs."""
    wins = (scores[labels][:, None] > scores[~labels]) + 0.5 * (
        scores[labels][:, None] == scores[~labels]
    )
    return float(
        np.sqrt(
            wins.mean(axis=1).var(ddof=1) / labels.sum()
            + wins.mean(axis=0).var(ddof=1) / (~labels).sum()
        )
    )


def test_the_spread_is_delongs() -> None:
    scores, labels = rows(600)
    counts = np.concatenate(list(resamples(600, None, 2000)))
    single = RankedRows(scores, labels, np.ones(600)).aucs(counts)
    assert single.std() == pytest.approx(delong_sd(scores, labels), rel=0.1)
    # four copies of each row tell no more than one, which only whole groups know
    copies = np.concatenate(list(resamples(2400, np.repeat(np.arange(600), 4), 2000)))
    grouped = RankedRows(np.repeat(scores, 4), np.repeat(labels, 4), np.ones(2400)).aucs(copies)
    assert grouped.std() == pytest.approx(delong_sd(scores, labels), rel=0.1)
    low, high = interval(single) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 * delong_sd(scores, labels), rel=0.1)


def test_seeds_add_their_spread() -> None:
    aucs = np.repeat(np.array([[0.6], [0.7], [0.8], [0.9]]), 4000, axis=1)  # no noise of rows
    drawn = over_seeds(aucs)
    assert drawn.mean() == pytest.approx(0.75, abs=0.002)
    assert drawn.std() == pytest.approx(np.std([0.6, 0.7, 0.8, 0.9]) / 2, rel=0.05)
    np.testing.assert_array_equal(over_seeds(aucs[:1]), aucs[0])


def test_p_values() -> None:
    noise = np.random.default_rng(1).normal(size=100_000)
    assert p_value(noise + 1.96) == pytest.approx(0.05, rel=0.1)
    assert p_value(noise - 1.96) == pytest.approx(0.05, rel=0.1)
    assert p_value(np.zeros(99)) == 1.0
    assert p_value(np.full(99, 0.1)) == pytest.approx(2 / 100)
    assert interval(np.full(5, np.nan)) is None


def test_specs() -> None:
    spec = Spec.parse("tafe/use_tsa=false/dropout=0.2", ["tafe"], ["use_tsa", "dropout"])
    assert spec.folder == "tafe+use_tsa=false+dropout=0.2"
    assert spec.arguments == ["--model=tafe", "--use_tsa=false", "--dropout=0.2"]
    with pytest.raises(ValueError, match=r"must be some of tafe. Received: 'tafy'"):
        Spec.parse("tafy", ["tafe"], [])
    for wrong in ("tafe/no_flag=1", "tafe/dropout"):
        with pytest.raises(ValueError, match=r"must be MODEL/FLAG=VALUE with a flag of training"):
            Spec.parse(wrong, ["tafe"], ["dropout"])


def finished(
    path: pathlib.Path, name: str, seed: int, labels: np.ndarray, separation: float
) -> Cell:
    """A cell as training leaves it, of logits [n, 2] that see the labels [n, 2] so well."""
    cell = Cell(Spec.parse(name, [name], []), seed, path / name / f"seed-{seed}")
    cell.path.mkdir(parents=True)
    logits = np.random.default_rng(seed).normal(size=labels.shape) + separation * labels
    aucs = [
        roc_auc_score(y, x) if y.any() else None for y, x in zip(labels.T, logits.T, strict=True)
    ]
    metrics = {
        "auc/ctr": aucs[0],
        "auc/ctcvr": aucs[1],
        "parameters": 9,
        "rows": len(labels),
        "seconds": 1.0,
    }
    (cell.path / "metrics.json").write_text(json.dumps(metrics))
    (cell.path / "history.json").write_text(json.dumps([{"train_rows": 9, "train_seconds": 1.0}]))
    depth = labels.sum(axis=1)
    np.savez(
        cell.path / "predictions.npz",
        logits=logits.astype(np.float32),
        depth=depth,
        weight=np.ones(len(depth)),
    )
    return cell


@pytest.mark.parametrize("conversions", [True, False])
def test_the_best_baseline_and_the_difference_to_it(
    conversions: bool, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "schema.toml").write_text(small_models.SHOP)
    labels = np.cumprod(
        np.random.default_rng(0).random((400, 2)) < [0.4, 0.5 * conversions], axis=1
    )
    seen = {
        "mmoe": (0.1, 0.2, 0.1),
        "ple": (0.8, 0.9, 0.7),
        "tafe": (2.0, 2.0, -2.0),
    }  # by seed; one far off
    cells = [
        finished(tmp_path, name, i, labels, by)
        for name, each in seen.items()
        for i, by in enumerate(each)
    ]
    told = Comparison(schema=schema_toml.load(tmp_path / "schema.toml"), replicates=40).results(
        cells, {}
    )
    assert told["against"] == "ple"  # by the steps that have an AUC
    if not conversions:
        assert told["models"]["tafe"]["difference"] == {}
        return
    means = [
        np.mean([told["models"][n]["metrics"][f"auc/{s}"]["mean"] for s in ("ctr", "ctcvr")])
        for n in seen
    ]
    assert told["models"]["tafe"]["difference"]["mean"] == pytest.approx(means[2] - means[1])


def run(module: str, shop: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    sizes = [
        "--embedding_dim=4",
        "--num_inducing=4",
        "--num_layers=1",
        "--tower_units=8",
        "--bottom_units=8",
    ]
    command = [
        sys.executable,
        "-m",
        module,
        f"--data_dir={shop}",
        *sizes,
        "--batch_size=64",
        *arguments,
    ]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("shop")
    write(directory / "train.parquet", small_models.rows("shop", 1500))
    write(directory / "test.parquet", small_models.rows("shop", 500, seed=1))
    (directory / "schema.toml").write_text(small_models.SHOP)
    return directory


def test_compare(shop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    published = tmp_path / "published.toml"
    published.write_text('source = "a paper"\n[tafe]\n"auc/ctr" = 0.6198\n')
    common = [
        f"--run_dir={tmp_path / 'job'}",
        "--epochs=2",
        f"--published={published}",
        "--replicates=50",
    ]
    models = "--models=single_task,mmoe/gate=dselect_k/num_experts=3,tafe"
    ended = run("tafe_tf.compare", shop, *common, models, "--seeds=2")
    assert (
        ended.returncode == 1
        and "2 cells failed; the same command tries them again" in ended.stderr
    )
    assert "must be a power of two" in ended.stdout
    told = json.loads((tmp_path / "job" / "compare.json").read_text())
    assert list(told["models"]) == ["single_task", "tafe"] and len(told["failed"]) == 2
    assert told["against"] == "single_task" and told["test_rows"] == 500 and told["groups"] == 30
    tafe, single = told["models"]["tafe"], told["models"]["single_task"]
    assert tafe["seeds"] == [0, 1]
    cells = tmp_path / "job" / "cells"
    own = [
        json.loads((cells / "tafe" / f"seed-{seed}" / "metrics.json").read_text())
        for seed in (0, 1)
    ]
    ctr = tafe["metrics"]["auc/ctr"]
    assert ctr["mean"] == pytest.approx(np.mean([m["auc/ctr"] for m in own]))
    assert ctr["sd"] == pytest.approx(np.std([m["auc/ctr"] for m in own], ddof=1))
    low, high = tafe["interval"]["auc/ctr"]
    assert low < ctr["mean"] < high
    assert tafe["gain"]["auc/ctr"] == pytest.approx(
        ctr["mean"] / single["metrics"]["auc/ctr"]["mean"] - 1
    )
    assert single["difference"] is None and 0 < tafe["difference"]["p"] <= 1
    over_tasks = [
        np.mean([m["metrics"][f"auc/{n}"]["mean"] for n in ("ctr", "ctcvr")])
        for m in (tafe, single)
    ]
    assert tafe["difference"]["mean"] == pytest.approx(over_tasks[0] - over_tasks[1])
    with np.load(cells / "tafe" / "seed-0" / "predictions.npz") as rows:
        p = 1 / (1 + np.exp(-rows["logits"][:, 0].astype(float)))
        assert roc_auc_score(rows["depth"] > 0, p) == pytest.approx(own[0]["auc/ctr"], rel=1e-6)
    text = (tmp_path / "job" / "compare.md").read_text()
    assert "| tafe, a paper |  | .6198 | - |" in text and "- failed: mmoe" in text
    (cells / "tafe" / "seed-1" / "predictions.npz").unlink()  # as if killed before the end
    again = run("tafe_tf.compare", shop, *common, "--models=single_task,tafe", "--seeds=2")
    assert again.returncode == 0, again.stderr
    assert "tafe, seed 1" in again.stdout and "seed 0" not in again.stdout
    assert (
        json.loads((tmp_path / "job" / "compare.json").read_text())["models"]["tafe"]["metrics"][
            "auc/ctr"
        ]
        == ctr
    )
    if not absl_flags.FLAGS.is_parsed():
        absl_flags.FLAGS(["test"])
    other = flagsaver.flagsaver(
        data_dir=str(shop), run_dir=str(tmp_path / "job"), learning_rate=0.5
    )
    with (
        other,
        pytest.raises(SystemExit, match=r"error: .* is of another job.*--learning_rate=0.5"),
    ):
        compare.main(["compare"])


@pytest.mark.slow
def test_tune(shop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    common = [f"--run_dir={tmp_path / 'job'}", "--epochs=1", "--models=shared_bottom"]
    first = run(
        "tafe_tf.tune",
        shop,
        *common,
        "--trials=1",
        "--search=learning_rate=1e-3:5e-2:log,tower_units=4|8",
    )
    assert first.returncode == 0, first.stderr
    told = json.loads((tmp_path / "job" / "tune.json").read_text())["shared_bottom"]
    assert len(told["trials"]) == 1
    second = run(
        "tafe_tf.tune",
        shop,
        *common,
        "--trials=2",
        "--search=learning_rate=1e-3:5e-2:log,tower_units=4|8",
    )
    assert second.returncode == 0, second.stderr
    more = json.loads((tmp_path / "job" / "tune.json").read_text())["shared_bottom"]
    assert more["trials"][0] == told["trials"][0] and len(more["trials"]) == 2
    best = max(more["trials"], key=lambda trial: trial["score"])["params"]
    flags = (tmp_path / "job" / "shared_bottom.flags").read_text()
    assert (
        flags == f"--learning_rate={best['learning_rate']}\n--tower_units={best['tower_units']}\n"
    )
    assert 1e-3 <= best["learning_rate"] <= 5e-2
    grid = [*common, f"--run_dir={tmp_path / 'grid'}", "--search=tower_units=4|8", "--trials=9"]
    assert run("tafe_tf.tune", shop, *grid).returncode == 0
    tried = json.loads((tmp_path / "grid" / "tune.json").read_text())["shared_bottom"]["trials"]
    assert sorted(trial["params"]["tower_units"] for trial in tried) == ["4", "8"]
    wrong = run("tafe_tf.tune", shop, *common, "--search=learning_rate=1e-3:x")
    assert wrong.returncode == 1 and "--search must be FLAG=LOW:HIGH" in wrong.stderr
