"""What a step of a job takes: its time, the memory of its processes, and the bytes it moves."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time
from collections.abc import Collection, Iterator

_PAUSE = 0.2  # seconds between two looks
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Usage:
    """What was seen of a step; its figures are there once the step has ended.

    Attributes:
        seconds: How long it took.
        peak_mib: The largest resident memory of its processes together; pages that they share count
            for each of them.
        moved_mib: What went over the loopback interface.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_mib = 0.0
        self.moved_mib = 0.0


@contextlib.contextmanager
def watched(apart: Collection[int]) -> Iterator[Usage]:
    """Watches the processes that descend from this one while the block runs.

    Args:
        apart: Processes that do not count, such as servers; their own descendants do.
    """
    usage = Usage()
    ends = threading.Event()

    def look() -> None:
        while not ends.wait(_PAUSE):
            usage.peak_mib = max(usage.peak_mib, _resident_mib({os.getpid(), *apart}))

    watcher = threading.Thread(target=look)
    sent_before = loopback_bytes()
    began = time.perf_counter()
    watcher.start()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - began
        usage.moved_mib = (loopback_bytes() - sent_before) / (1 << 20)
        ends.set()
        watcher.join()


def loopback_bytes() -> int:
    """How many bytes the loopback interface has sent since the system started.

    Raises:
        RuntimeError: If there is no such interface.
    """
    for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[8])
    raise RuntimeError("this machine has no loopback interface")


def _resident_mib(apart: Collection[int]) -> float:
    """The memory of this process's descendants but for some."""
    parents = {}
    resident = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            pid = int(folder.name)
            parents[pid] = int(state[1])
            resident[pid] = int(state[21]) * _PAGE_MIB
    total = 0.0
    for pid, mib in resident.items():
        if pid not in apart and _descends(pid, parents):
            total += mib
    return total


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False
