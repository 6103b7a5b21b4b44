"""The local server in a process of its own, for the commands that try what it withstands."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

_START_SECONDS = 180.0


class LocalServer(NamedTuple):
    """A server that listens.

    Attributes:
        process: Its process number.
        grpc: Its gRPC address, HOST:PORT.
        rest: Its REST address, HOST:PORT.
        log: The file of its log.
    """

    process: int
    grpc: str
    rest: str
    log: pathlib.Path


def flags(base_path: pathlib.Path, model: str) -> tuple[list[str], str, str]:
    """The server's flags for a model on two free ports, and its gRPC and REST addresses."""
    grpc_port = _free_port()
    rest_port = _free_port()
    found = [
        f"--port={grpc_port}",
        f"--rest_api_port={rest_port}",
        f"--model_name={model}",
        f"--model_base_path={base_path}",
    ]
    return found, f"localhost:{grpc_port}", f"localhost:{rest_port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(log: pathlib.Path) -> None:
    """Waits until a server's log says that it answers.

    Raises:
        RuntimeError: If it does not in three minutes.
    """
    deadline = time.monotonic() + _START_SECONDS
    while "Exporting HTTP/REST API" not in log.read_text(errors="replace"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')}")
        time.sleep(0.05)


@contextlib.contextmanager
def served(base_path: pathlib.Path, model: str, log: pathlib.Path) -> Iterator[LocalServer]:
    """Starts the server on a directory of versions, and ends it after the block."""
    arguments, grpc, rest = flags(base_path, model)
    command = [sys.executable, "-m", "tafe_tf.serving.server", *arguments]
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        wait_until_open(log)
        yield LocalServer(process.pid, grpc, rest, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def publish(version: pathlib.Path, base_path: pathlib.Path, number: int) -> None:
    """Copies a version to a directory of versions, where it appears whole, by a rename."""
    beside = base_path / f".{number}.tmp"
    shutil.copytree(version, beside)
    beside.rename(base_path / str(number))
