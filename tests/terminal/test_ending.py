"""A process that is told to end does so in one line, and leaves nothing; nor do killed ones."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
START = """
import gc, os, pathlib, sys, tempfile, time
from tafe_tf.terminal import ending
ending.end_on_sigterm()
ending.use_own_temporary_folder()
tempfile.NamedTemporaryFile(delete=False).close()  # as TensorFlow does
"""
WAIT = """
try:
    print(os.getpid(), flush=True)
    while True:
        time.sleep(0.01)
finally:
    time.sleep(0.5)  # longer than it takes until the next alarm
    print("cleaned", flush=True)
"""
COLLECT = """
def tell(phase, info):  # JAX has such a callback, in which Python passes over exceptions
    gc.callbacks.clear()  # once is enough
    print(os.getpid(), flush=True)
    time.sleep(60)
gc.callbacks.append(tell)
try:
    gc.collect()
    while True:
        time.sleep(0.01)
finally:
    print("cleaned", flush=True)
"""


def start(code: str, temporary: pathlib.Path) -> subprocess.Popen[str]:
    """A process whose temporary files lie in a folder of the test, once it runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", START + code],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline().strip() == str(process.pid)
    return process


@pytest.mark.parametrize(
    ("code", "asked"), [(WAIT, signal.SIGTERM), (COLLECT, signal.SIGTERM), (WAIT, signal.SIGINT)]
)
def test_an_end_that_is_asked_for_is_clean(
    tmp_path: pathlib.Path, code: str, asked: signal.Signals
) -> None:
    process = start(code, tmp_path)
    assert len(list(tmp_path.glob("tafe_tf-*/*"))) == 1
    process.send_signal(asked)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + asked, "cleaned\n")
    assert error == f"{asked.name}: stopped; the same command goes on, or starts again\n"
    assert not list(tmp_path.iterdir())


def test_a_second_sigterm_ends_at_once(tmp_path: pathlib.Path) -> None:
    process = start(WAIT.replace("0.5", "99"), tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None and process.stderr.readline().startswith("SIGTERM")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM
    process.communicate()


def test_temporary_files_of_killed_processes_go_with_the_next(tmp_path: pathlib.Path) -> None:
    killed = start(WAIT, tmp_path)
    alive = start(WAIT, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    killed.kill()
    killed.communicate()
    assert len(list(tmp_path.iterdir())) == 2
    other = start(WAIT, tmp_path)
    assert len(list(tmp_path.glob("tafe_tf-*/*"))) == 2  # not the living one's
    for process in (alive, other):
        process.terminate()
        process.communicate()
    assert not list(tmp_path.iterdir())


def test_an_end_at_once_waits_for_no_thread_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    thread = "import threading\nthreading.Thread(target=time.sleep, args=(99,)).start()\n"
    process = start(thread + "print(os.getpid(), flush=True)\nending.end_at_once()", tmp_path)
    assert process.wait(timeout=60) == 0
    assert not list(tmp_path.iterdir())
