"""`tafe_tf.compare` as a whole: its figures against scikit-learn's, resumed, and in a store."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver
from compare_jobs import run, write_shop
from sklearn.metrics import roc_auc_score

from tafe_tf import compare


@pytest.mark.slow
def test_compare(tmp_path: pathlib.Path) -> None:
    shop = write_shop(tmp_path / "shop")
    published = tmp_path / "published.toml"
    published.write_text('source = "a paper"\n[tafe]\n"auc/ctr" = 0.6198\n')
    job = tmp_path / "job"
    common = [
        f"--run_dir={job}",
        "--epochs=2",
        f"--published={published}",
        "--replicates=50",
        "--seeds=2",
    ]
    models = "--models=single_task,mmoe/gate=dselect_k/num_experts=3,tafe"
    ended = run("tafe_tf.compare", shop, *common, models)
    assert ended.returncode == 1
    assert "2 runs failed; run the same command to try them again" in ended.stderr
    assert "must be a power of two" in ended.stdout

    told = json.loads((job / "compare.json").read_text())
    assert list(told["models"]) == ["single_task", "tafe"] and len(told["failed"]) == 2
    assert told["against"] == "single_task"
    assert told["test_rows"] == 500 and told["groups"] == 30
    tafe = told["models"]["tafe"]
    single = told["models"]["single_task"]
    assert tafe["seeds"] == [0, 1]

    runs = job / "cells" / "tafe"
    metrics = [json.loads((runs / f"seed-{seed}" / "metrics.json").read_text()) for seed in (0, 1)]
    by_seed = [each["auc/ctr"] for each in metrics]
    ctr = tafe["metrics"]["auc/ctr"]
    assert ctr["mean"] == pytest.approx(np.mean(by_seed))
    assert ctr["sd"] == pytest.approx(np.std(by_seed, ddof=1))
    low, high = tafe["interval"]["auc/ctr"]
    assert low < ctr["mean"] < high
    gain = ctr["mean"] / single["metrics"]["auc/ctr"]["mean"] - 1
    assert tafe["gain"]["auc/ctr"] == pytest.approx(gain)
    assert single["difference"] is None and 0 < tafe["difference"]["p"] <= 1
    differences = []
    for name in ("auc/ctr", "auc/ctcvr"):
        differences.append(tafe["metrics"][name]["mean"] - single["metrics"][name]["mean"])
    assert tafe["difference"]["mean"] == pytest.approx(np.mean(differences))
    with np.load(runs / "seed-0" / "predictions.npz") as rows:
        p = 1 / (1 + np.exp(-rows["logits"][:, 0].astype(float)))
        assert roc_auc_score(rows["depth"] > 0, p) == pytest.approx(by_seed[0], rel=1e-6)
    assert "failed" in (job / "compare.html").read_text()
    text = (job / "compare.md").read_text()
    assert "| tafe, a paper |  | .6198 | - |" in text and "- failed: mmoe" in text

    (runs / "seed-1" / "predictions.npz").unlink()  # as if killed before the end
    again = run("tafe_tf.compare", shop, *common, "--models=single_task,tafe")
    assert again.returncode == 0, again.stderr
    assert "tafe, seed 1" in again.stdout and "seed 0" not in again.stdout
    resumed = json.loads((job / "compare.json").read_text())
    assert resumed["models"]["tafe"]["metrics"]["auc/ctr"] == ctr

    if not absl_flags.FLAGS.is_parsed():
        absl_flags.FLAGS(["test"])
    other = flagsaver.flagsaver(data_dir=str(shop), run_dir=str(job), learning_rate=0.5)
    with (
        other,
        pytest.raises(SystemExit, match=r"error: .* is of another job.*--learning_rate=0.5"),
    ):
        compare.main(["compare"])


@pytest.mark.slow
def test_trees_beside_a_network(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("lightgbm", reason="needs LightGBM, which the extra gbdt installs")
    shop = write_shop(tmp_path / "shop")
    job = tmp_path / "job"
    trees = ["--num_iterations=20", "--min_data_in_leaf=5"]
    models = "--models=single_task,gbdt/heads=conditional"
    common = [f"--run_dir=file://{job}", "--epochs=1", "--replicates=20", "--seeds=1", *trees]
    ended = run("tafe_tf.compare", shop, *common, models)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    told = json.loads((job / "compare.json").read_text())
    assert list(told["models"]) == ["single_task", "gbdt/heads=conditional"]
    conditional = told["models"]["gbdt/heads=conditional"]
    assert conditional["metrics"]["violation_rate"]["mean"] == 0.0
    assert conditional["parameters"] > 20 and conditional["train_rows_per_second"] > 0
    held_out = set()
    for folder in ("single_task", "gbdt+heads=conditional"):
        noted = json.loads((job / "cells" / folder / "seed-0" / "history.json").read_text())
        held_out.add(noted[0]["rows"])
    assert len(held_out) == 1
    cell = job / "cells" / "gbdt+heads=conditional" / "seed-0"
    with np.load(cell / "predictions.npz") as rows:
        assert len(np.unique(rows["group"])) == told["groups"] == 30
        auc = roc_auc_score(rows["depth"] > 1, rows["logits"][:, 1])
    assert conditional["metrics"]["auc/ctcvr"]["mean"] == pytest.approx(auc, rel=1e-6)

    assert f"file://{job}/compare.json" in ended.stdout
    (cell / "predictions.npz").unlink()  # as if killed while the run was sent
    (cell / "flags.txt").write_text("half")
    again = run("tafe_tf.compare", shop, *common, models)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2/2: gbdt" in again.stdout and "1/2" not in again.stdout
    resumed = json.loads((job / "compare.json").read_text())["models"]["gbdt/heads=conditional"]
    assert resumed["metrics"]["auc/ctcvr"] == conditional["metrics"]["auc/ctcvr"]
