"""How a job on one machine ends, with processes that need no TensorFlow."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

# Notes its number; on SIGTERM the chief "saves", and all others are told by a file.
TASK = """
import json, os, pathlib, signal, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
name = f"{task['type']}-{task['index']}"
def save(number, frame):
    pathlib.Path("saved").touch()
    sys.exit(143)
if sys.argv[1] == "saves":
    signal.signal(signal.SIGTERM, save)
pathlib.Path(name).write_text(str(os.getpid()))
while True:
    time.sleep(0.02)
    if name == "worker-1" and pathlib.Path("saved").exists() and sys.argv[2] == "follows":
        sys.exit(143)
"""
JOB = """
import sys
from tafe_tf.distributed import local_job
local_job._SECONDS_TO_FOLLOW = 1
in_step = [("worker", 0), ("worker", 1)]
with_servers = [("chief", 0), ("worker", 0), ("ps", 0)]
tasks = with_servers if "servers" in sys.argv else in_step
job = local_job.LocalJob(tasks, ["task", *sys.argv[1:]])
try:
    sys.exit(job.run(0))
finally:
    job.stop()
"""


def start(directory: pathlib.Path, *arguments: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A launcher, and the numbers of its processes once all of them have begun."""
    (directory / "task.py").write_text(TASK)
    job = subprocess.Popen(
        [sys.executable, "-c", JOB, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    names = ("chief-0", "worker-0", "ps-0") if "servers" in arguments else ("worker-0", "worker-1")
    files = [directory / name for name in names]
    for _ in range(400):
        if all(file.exists() and file.read_text() for file in files):
            return job, [int(file.read_text()) for file in files]
        time.sleep(0.05)
    raise AssertionError("not all processes of the job have begun")


def assert_gone(processes: list[int]) -> None:
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "arguments", [("saves", "follows"), ("saves", "hangs"), ("saves", "hangs", "servers")]
)
def test_a_job_that_is_asked_to_end_saves_and_leaves_nothing(
    tmp_path: pathlib.Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    job, processes = start(tmp_path, *arguments)
    job.send_signal(number)
    assert job.wait(timeout=20) == 143
    assert (tmp_path / "saved").exists()
    assert_gone(processes)


def test_a_chief_that_dies_of_the_signal_counts_as_ended_by_it(tmp_path: pathlib.Path) -> None:
    job, processes = start(tmp_path, "dies", "hangs")
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=20) == 143  # as a shell names -15
    assert not (tmp_path / "saved").exists()
    assert_gone(processes)


def test_a_second_signal_ends_the_job_at_once(tmp_path: pathlib.Path) -> None:
    job, processes = start(tmp_path, "saves", "hangs")
    os.kill(processes[0], signal.SIGSTOP)  # a chief that does not come to its end
    job.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(timeout=0.5)
    job.send_signal(signal.SIGINT)
    assert job.wait(timeout=10) != 0
    assert_gone(processes)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    code = (
        "import signal; from tafe_tf.distributed.end_request import EndRequest\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with EndRequest() as request:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    assert not request.asked\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    assert request.asked\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
