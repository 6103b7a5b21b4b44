"""Jobs over S3 that `kill -9` ends at random moments: the same bytes, and nothing is left over."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.engines, pytest.mark.slow]

ROOT = pathlib.Path(__file__).parents[2]


def test_jobs_over_s3_that_are_killed_leave_the_same_bytes(shop: str) -> None:
    """Two of the four jobs; all of them take the benchmark five minutes."""
    options = ["--kills=6", "--seed=1", "--jobs=prepare,score", f"--store={shop}/kills"]
    command = [sys.executable, "-m", "benchmarks.random_kills", *options]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["kills"] >= 6
    assert (figures["differ"], figures["left_over"]) == (0, 0)
