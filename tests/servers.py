"""`serving.server` in a process of its own, for all tests that talk to a server."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType

import numpy as np
import small_models

from tafe_tf.export.session_model import SessionModel

FUNNELS = sorted(small_models.SCHEMAS)
SECONDS = 90.0  # for a process to start, on two busy cores


START = """
import runpy
runpy.run_module("tafe_tf.serving.server", run_name="__main__", alter_sys=True)
"""


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalServer:
    """Starts the server and waits until it listens.

    Args:
        log: the file that its log goes to.
        flags: the server's flags, without the ports. By default the server does without the native
            kernel, for which it prepares twice as many functions.
        before: Python code to run in the process first.
    """

    def __init__(self, log: pathlib.Path, *flags: str, before: str = "") -> None:
        self.log = log
        grpc_port = free_port()
        rest_port = free_port()
        self.grpc = f"localhost:{grpc_port}"
        self.rest = f"localhost:{rest_port}"
        ports = (f"--port={grpc_port}", f"--rest_api_port={rest_port}")
        if not any(flag.startswith("--native") for flag in flags):
            flags += ("--native=off",)
        command = [sys.executable, "-c", f"{before}\n{START}", *ports, *flags]
        with open(log, "wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while "Exporting HTTP/REST API" not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                said = self.log.read_text(errors="replace")
                raise RuntimeError(f"the server did not start: {said}")
            time.sleep(0.1)

    def stop(self) -> int:
        """Ends the server as an operator does, and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()


def wait_until(ok: Callable[[], bool], what: str) -> None:
    """Waits until `ok()` is true, and fails after a while."""
    deadline = time.monotonic() + SECONDS
    while not ok():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.05)


def model_config(name: str, base_path: pathlib.Path, extra: str = "") -> str:
    """One model of a `ModelServerConfig` in text form; `extra` holds further fields."""
    fields = f'name: "{name}" base_path: "{base_path}" model_platform: "tensorflow"'
    return f"config {{ {fields} {extra} }}"


def publish(source: pathlib.Path, base_path: pathlib.Path, version: int) -> None:
    """Copies an exported version to a directory of versions, where it appears by a rename."""
    beside = base_path / f".{version}.tmp"
    shutil.copytree(source, beside)
    os.rename(beside, base_path / str(version))


def answers(path: pathlib.Path, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What an exported version answers, asked in this process."""
    model = SessionModel(path)
    outputs = model(rows)
    model.close()
    return outputs
