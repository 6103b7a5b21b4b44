"""`tafe_tf.tune` as a whole: a search that is resumed, also from a store, and a grid."""

from __future__ import annotations

import json
import pathlib

import pytest
from compare_jobs import run, write_shop


@pytest.mark.slow
def test_tune(tmp_path: pathlib.Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    write_shop(shop)
    job = tmp_path / "job"
    common = [f"--run_dir={job}", "--epochs=1", "--models=shared_bottom"]
    space = "--search=learning_rate=1e-3:5e-2:log,tower_units=4|8"
    first = run("tafe_tf.tune", shop, *common, "--trials=1", space)
    assert first.returncode == 0, first.stderr
    told = json.loads((job / "tune.json").read_text())["shared_bottom"]
    assert len(told["trials"]) == 1

    in_a_store = [f"--run_dir=file://{job}", *common[1:]]
    second = run("tafe_tf.tune", shop, *in_a_store, "--trials=2", space)
    assert second.returncode == 0, second.stderr
    more = json.loads((job / "tune.json").read_text())["shared_bottom"]
    assert more["trials"][0] == told["trials"][0] and len(more["trials"]) == 2
    best = max(more["trials"], key=lambda trial: trial["score"])["params"]
    lines = [f"--learning_rate={best['learning_rate']}", f"--tower_units={best['tower_units']}"]
    assert (job / "shared_bottom.flags").read_text().splitlines() == lines
    assert 1e-3 <= best["learning_rate"] <= 5e-2

    grid = [f"--run_dir={tmp_path / 'grid'}", "--search=tower_units=4|8", "--trials=9"]
    assert run("tafe_tf.tune", shop, *common, *grid).returncode == 0
    tried = json.loads((tmp_path / "grid" / "tune.json").read_text())["shared_bottom"]["trials"]
    assert sorted(trial["params"]["tower_units"] for trial in tried) == ["4", "8"]
