"""Clusters of Dask and Spark on this machine: schedulers and workers in their own processes."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

# For the processes of a cluster: the code under test, and the modules that tests share.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    "SPARK_LOCAL_IP": "127.0.0.1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
SECONDS = 600.0  # for what takes seconds on a quiet machine


def need(package: str) -> Any:
    """Imports a package; a test is skipped without it, but fails where engines must be tested."""
    if os.environ.get("TAFE_ENGINES"):
        return __import__(package)
    return pytest.importorskip(package)


def wait_for(what: Callable[[], Any]) -> Any:
    """Waits until something is there, and returns it; an AssertionError if it takes too long."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {SECONDS:.0f} s in vain")


class DaskCluster:
    """A scheduler and two workers of one thread, all in processes of their own.

    Args:
        directory: Where logs and the workers' files go.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        log = directory / "scheduler.log"
        local = ("--host", "127.0.0.1", "--no-dashboard")
        self._start(log, "distributed.cli.dask_scheduler", *local, "--port", "0")
        self.address = wait_for(lambda: _address(log))
        self.workers: list[subprocess.Popen[bytes]] = []
        for number in range(2):
            self.workers.append(self._start_worker(number))

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        return self._start(
            self._directory / f"worker-{number}.log",
            *("distributed.cli.dask_worker", self.address, "--host", "127.0.0.1"),
            *("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "3GiB"),
            *("--local-directory", str(self._directory)),
        )

    def _start(self, log: pathlib.Path, module: str, *options: str) -> subprocess.Popen[bytes]:
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *options],
                env=ENVIRONMENT,
                stdout=file,
                stderr=file,
            )
        self._processes.append(process)
        return process

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()


def _address(log: pathlib.Path) -> str:
    found = re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text())
    return found[1] if found else ""


def executors() -> list[int]:
    """The process numbers of the executors that descend from this process."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            is_ours = _descends(int(folder.name), os.getpid())
        except OSError:  # it has ended
            continue
        if is_ours and b"org.apache.spark.executor.CoarseGrainedExecutorBackend" in words:
            found.append(int(folder.name))
    return found


def _descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
    return False


def kill(pid: int) -> None:
    """Kills a process without a warning."""
    os.kill(pid, signal.SIGKILL)
