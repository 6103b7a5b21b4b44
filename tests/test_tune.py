"""`tafe_tf.tune` as a whole: a search that is resumed, also from a store, and a grid."""

from __future__ import annotations

import json
import pathlib

import pytest
from compare_jobs import run, write_shop


@pytest.mark.slow
def test_tune(tmp_path: pathlib.Path) -> None:
    shop = write_shop(tmp_path / "shop")
    job = tmp_path / "job"
    common = [f"--run_dir={job}", "--epochs=1", "--models=shared_bottom"]
    space = "--search=learning_rate=1e-3:5e-2:log,tower_units=4|8"
    first = run("tafe_tf.tune", shop, *common, "--trials=1", space)
    assert first.returncode == 0, first.stderr
    told = json.loads((job / "tune.json").read_text())["shared_bottom"]
    as_given, searched = told["trials"]
    assert as_given["params"] == {} and set(searched["params"]) == {"learning_rate", "tower_units"}
    assert "shared_bottom, settings as given: validation" in first.stdout

    in_a_store = [f"--run_dir=file://{job}", *common[1:]]
    second = run("tafe_tf.tune", shop, *in_a_store, "--trials=2", space)
    assert second.returncode == 0, second.stderr
    more = json.loads((job / "tune.json").read_text())["shared_bottom"]
    assert more["trials"][:2] == told["trials"] and len(more["trials"]) == 3
    best = max(more["trials"], key=lambda trial: trial["score"])["params"]
    assert more["best"] == best
    lines = [f"--{flag}={value}" for flag, value in best.items()]
    assert (job / "shared_bottom.flags").read_text().splitlines() == lines
    at_once = tmp_path / "at_once"
    third = run("tafe_tf.tune", shop, f"--run_dir={at_once}", *common[1:], "--trials=2", space)
    assert third.returncode == 0, third.stderr
    assert json.loads((at_once / "tune.json").read_text())["shared_bottom"] == more
    assert more["trials"][1]["params"] != more["trials"][2]["params"]
    assert all(1e-3 <= trial["params"]["learning_rate"] <= 5e-2 for trial in more["trials"][1:])

    (shop / "test.parquet").unlink()  # a search needs no test rows
    grid = [f"--run_dir={tmp_path / 'grid'}", "--search=tower_units=4|8", "--trials=9"]
    assert run("tafe_tf.tune", shop, *common, *grid).returncode == 0
    tried = json.loads((tmp_path / "grid" / "tune.json").read_text())["shared_bottom"]["trials"]
    assert tried[0]["params"] == {}
    assert sorted(trial["params"]["tower_units"] for trial in tried[1:]) == ["4", "8"]


@pytest.mark.slow
def test_the_settings_as_given_stay_if_no_trial_is_better(tmp_path: pathlib.Path) -> None:
    shop = write_shop(tmp_path / "shop")
    job = tmp_path / "job"
    common = [f"--run_dir={job}", "--epochs=1", "--models=shared_bottom"]
    nothing_learned = "--search=learning_rate=1e-9:2e-9,tower_units=4:8"
    searched = run("tafe_tf.tune", shop, *common, "--trials=1", nothing_learned)
    assert searched.returncode == 0, searched.stderr
    told = json.loads((job / "tune.json").read_text())["shared_bottom"]
    as_given, trial = told["trials"]
    assert trial["params"]["tower_units"] in range(4, 9)
    assert told["best"] == {} and told["score"] == as_given["score"] > trial["score"]
    assert (job / "shared_bottom.flags").read_text() == ""

    compared = tmp_path / "compared"
    tuned = [f"--tuned={job}", f"--run_dir={compared}", *common[1:]]
    compare = run("tafe_tf.compare", shop, *tuned, "--seeds=1", "--replicates=20")
    assert compare.returncode == 0, compare.stderr
    of_search = (compared / "compare.md").read_text().split("**settings that a search chose**")[1]
    assert "| shared_bottom | as given |" in of_search

    (job / "shared_bottom.flags").write_text("--dropout=0.2\n")
    changed = run("tafe_tf.compare", shop, *tuned, "--seeds=1", "--replicates=20")
    assert changed.returncode == 1
    assert "the runs of shared_bottom have other tuned settings; give another" in changed.stderr
    assert "Differing lines: ['--dropout=0.2']" in changed.stderr
