"""Clusters of Dask and Spark on this machine: schedulers and workers in their own processes."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

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


class Processes:
    """Processes that end with a block.

    Args:
        directory: Where their logs go.
        environment: More variables of their environment. Default: none.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.environment = {**ENVIRONMENT, **(environment or {})}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Starts a process, whose log is called by a name."""
        with open(self.log(name), "wb") as file:
            process = subprocess.Popen(
                command,
                env=self.environment,
                stdout=file,
                stderr=file,
            )
        self._processes.append(process)
        return process

    def pids(self) -> list[int]:
        """The numbers of the processes that were started."""
        return [process.pid for process in self._processes]

    def log(self, name: str) -> pathlib.Path:
        """The log of a process."""
        return self.directory / f"{name}.log"

    def found(self, name: str, pattern: str) -> str:
        """What a pattern finds in a log, once it is there."""
        match = wait_for(lambda: re.search(pattern, self.log(name).read_text()))
        return str(match[1])

    def __enter__(self) -> Self:
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


class DaskCluster(Processes):
    """A scheduler and two workers of one thread, all in processes of their own.

    Args:
        directory: Where logs and the workers' files go.
        environment: More variables of the workers' environment. Default: none.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, environment)
        self.start("scheduler", *_SCHEDULER)
        self.address = self.found("scheduler", r"Scheduler at:\s+(tcp://\S+)")
        self.workers: list[subprocess.Popen[bytes]] = []
        for number in range(2):
            self.workers.append(self._start_worker(number))

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        return self.start(
            f"worker-{number}",
            *(sys.executable, "-m", "distributed.cli.dask_worker", self.address),
            *("--host", "127.0.0.1", "--no-nanny", "--no-dashboard"),
            *("--nthreads", "1", "--memory-limit", "3GiB"),
            *("--local-directory", str(self.directory)),
        )


class SparkCluster(Processes):
    """A standalone master of Spark and two workers of one core, all in processes of their own.

    Args:
        directory: Where logs and the workers' files go.
        environment: More variables of the workers' environment, which their executors have too.
            Default: none.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, {"PYSPARK_PYTHON": sys.executable, **(environment or {})})
        ports = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        self.start("master", *_spark_class("master.Master"), *ports)
        self.address = self.found("master", r"Starting Spark master at (spark://\S+)")
        for number in range(2):
            folder = ("-d", str(directory / f"worker-{number}"))
            resources = ("--cores", "1", "--memory", "1g")
            command = (*_spark_class("worker.Worker"), *ports, *resources, *folder, self.address)
            self.start(f"worker-{number}", *command)
        for number in range(2):
            self.found(f"worker-{number}", "(Successfully registered with master)")

    def submit(self, *command: str, executors: int = 2) -> subprocess.Popen[bytes]:
        """Submits a `tafe` command; its log is called "submitted".

        Args:
            command: The command and its flags, such as "score" and "--runner=spark".
            executors: How many executors it gets, of one core each. Default: 2, all.
        """
        submitted = self.directory / "tafe.py"
        submitted.write_text("from tafe_tf.__main__ import main; main()")  # as docs/batch.md says
        program = pathlib.Path(sys.executable).with_name("spark-submit")
        settings = (
            *("--master", self.address, "--total-executor-cores", str(executors)),
            *("--conf", "spark.task.maxFailures=2"),
        )
        return self.start("submitted", str(program), *settings, str(submitted), *command)

    def connect(self) -> str:
        """Starts a server of Spark Connect, whose log is called "connect".

        Returns:
            Its address, as SPARK_REMOTE takes it.
        """
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        program = pathlib.Path(sys.executable).with_name("spark-submit")
        self.start(
            "connect",
            *(str(program), "--master", self.address),
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            *("--conf", f"spark.connect.grpc.binding.port={port}"),
            *("--conf", "spark.connect.grpc.binding.address=127.0.0.1", "spark-internal"),
        )
        self.found("connect", "(Spark Connect server started)")
        return f"sc://127.0.0.1:{port}"


_SCHEDULER = (
    *(sys.executable, "-m", "distributed.cli.dask_scheduler"),
    *("--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
)


def _spark_class(name: str) -> tuple[str, str]:
    program = pathlib.Path(sys.executable).with_name("spark-class")
    return str(program), f"org.apache.spark.deploy.{name}"


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
