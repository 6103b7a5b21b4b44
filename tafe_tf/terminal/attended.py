"""Processes that end with the process that started them, even if that is killed with kill -9.

A process that is killed cannot end its children. PR_SET_PDEATHSIG, with which Linux would do it,
neither exists elsewhere nor reaches the children's own children. So a child's standard input is a
pipe that nobody writes to and that its parent holds open. Once the parent is gone, however it
ended, the pipe is at its end, and the child kills its process group.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO

_STANDARD_INPUT = 0
_CHILD = "from tafe_tf.terminal import attended; attended.run()"


def start(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    output: IO[str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts `python -m module arguments` as the leader of a process group.

    A signal from the terminal, such as Ctrl-C, reaches this process alone.

    Args:
        module: The module to run.
        arguments: Its arguments.
        environment: The child's environment. The default, None, is that of this process.
        output: A file for what the child prints. With None, the default, it prints where this
            process does.

    Returns:
        The child. Keep it: it ends when it is no longer referenced.
    """
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, module, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=environment,
        process_group=0,
    )


def kill(child: subprocess.Popen[bytes]) -> None:
    """Kills a child that `start` made, with all processes that it started, and waits for it."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def run() -> None:
    """What the child does: it runs the module that its arguments name, and watches its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    os.read(_STANDARD_INPUT, 1)  # returns when nobody holds the other end any more
    os.killpg(0, signal.SIGKILL)
