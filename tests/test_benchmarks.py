"""Benchmarks as commands: beside a peer whose figures are known, and the series of the server."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from clusters import need

ROOT = pathlib.Path(__file__).parents[1]
PEER = """
print("warming up")
print('{"peer": "known", "train_sps": {"median": 500.0, "min": 1.0}}')
"""


@pytest.mark.slow
def test_train_speed_prints_ours_theirs_and_their_ratio(tmp_path: pathlib.Path) -> None:
    peer = tmp_path / "peer.py"
    peer.write_text(PEER)
    command = [
        *(sys.executable, "-m", "benchmarks.train_speed"),
        "--models=shared_bottom",
        "--batch_size=64",
        "--rounds=2",
        "--seconds=0.1",
        f"--against={sys.executable} {peer}",
    ]
    ended = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    objects = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    spreads, last = objects
    ours = spreads["shared_bottom"]["train_sps"]
    assert 0 < ours["least"] <= ours["median"] <= ours["most"]
    assert last["train_sps"]["ours"] == ours
    assert last["train_sps"]["theirs"] == {"median": 500.0, "least": 500.0, "most": 500.0}
    ratio = last["train_sps"]["ratio"]["median"]
    assert ratio == pytest.approx(ours["median"] / 500.0, abs=1e-3)


def last_line(*arguments: str) -> dict[str, Any]:
    """The line of JSON that a command prints last."""
    command = [sys.executable, "-m", *arguments]
    ended = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return dict(json.loads(ended.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_the_server_ends_under_load() -> None:
    found = last_line("benchmarks.serving_end", "--tries=2")
    assert found["faults"] == {}
    assert found["seen"]["ok"] > 0 and found["seen"]["refused after the signal"] > 0
    assert 1.0 < found["longest_s"] < 12.0


@pytest.mark.slow
def test_a_short_soak() -> None:
    found = last_line("benchmarks.serving_soak", "--minutes=0.2", "--publish_every=3")
    assert found["faults"] == {}
    assert found["answers"] > 50 and found["loaded"] > 1
    assert found["published"] >= found["loaded"]


@pytest.mark.engines
@pytest.mark.slow
def test_a_whole_job_on_a_store_and_on_spark() -> None:
    need("pyspark")
    found = last_line(
        "benchmarks.million_rows",
        *("--rows=2000", "--days=4", "--model=shared_bottom", "--executors=1"),
    )
    assert found["scores_are_the_same_bytes"] is True
    steps = {step["step"]: step for step in found["steps"]}
    assert len(steps) == 9
    sent = steps["send 4 days to the store"]
    assert sent["moved_mib"] > 0.1 and sent["rows_per_second"] > 0
    assert steps["score in one process"]["peak_mib"] > 100
    assert steps["score on Spark, executors: 1"]["peak_mib"] > 500
