"""Processes by their numbers."""

from __future__ import annotations

import pathlib
import time


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody waited for, does not."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_gone(*pids: int) -> None:
    """Waits until none of the processes runs; an AssertionError after ten seconds."""
    for _ in range(200):
        if not any(is_running(pid) for pid in pids):
            return
        time.sleep(0.05)
    raise AssertionError(f"still running: {[pid for pid in pids if is_running(pid)]}")
