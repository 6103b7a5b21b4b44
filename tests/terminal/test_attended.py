"""A process whose parent is gone ends, and so do those that it started."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from processes import is_running, wait_until_gone

CHILD = """
import pathlib, subprocess, sys, time
grandchild = subprocess.Popen(["sleep", "60"])
pathlib.Path(sys.argv[1]).write_text(f"{grandchild.pid} {sys.argv[2]}")
time.sleep(60)
"""
PARENT = """
import signal, sys
from tafe_tf.terminal import attended
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, which ignores it
child = attended.start("stays", ["grandchild.txt", "--flag=1"])
print(child.pid, flush=True)
{then}
"""


def family(directory: pathlib.Path, then: str) -> tuple[subprocess.Popen[str], int, int]:
    """A parent, which does something in the end, and the numbers of its child and grandchild."""
    (directory / "stays.py").write_text(CHILD)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(then=then)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    file = directory / "grandchild.txt"
    for _ in range(200):
        if file.exists() and "--flag=1" in file.read_text():
            break
        time.sleep(0.05)
    grandchild, argument = file.read_text().split()
    assert argument == "--flag=1"
    assert is_running(child) and is_running(int(grandchild))
    return parent, child, int(grandchild)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_outlives_a_parent_that_is_killed(
    tmp_path: pathlib.Path, number: signal.Signals
) -> None:
    parent, child, grandchild = family(tmp_path, "import time; time.sleep(60)")
    parent.send_signal(number)
    assert parent.wait(timeout=10) == -number
    wait_until_gone(child, grandchild)


def test_a_child_is_killed_with_what_it_started(tmp_path: pathlib.Path) -> None:
    parent, child, grandchild = family(
        tmp_path, "sys.stdin.readline(); attended.kill(child); print(child.returncode)"
    )
    printed, _ = parent.communicate("now\n", timeout=10)
    assert printed == f"{-signal.SIGKILL}\n"
    wait_until_gone(child, grandchild)


def test_the_terminal_does_not_interrupt_a_child(tmp_path: pathlib.Path) -> None:
    """Ctrl-C goes to the foreground's process group, in which the child is not."""
    parent, child, grandchild = family(tmp_path, "import time; time.sleep(60)")
    assert os.getpgid(child) == os.getpgid(grandchild) == child
    parent.kill()
    parent.wait()
    wait_until_gone(child, grandchild)
