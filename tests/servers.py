"""`serving.server` in a process of its own, for all tests that talk to a server."""

from __future__ import annotations

import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType

SECONDS = 90.0  # for a process to start, on two busy cores


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalServer:
    """Starts the server and waits until it listens; its log goes to a file.

    Args:
        log: the file.
        flags: of the server, ports aside.
        before: Python code to run in the process first.
    """

    def __init__(self, log: pathlib.Path, *flags: str, before: str = "") -> None:
        self.log = log
        self.grpc, self.rest = f"localhost:{free_port()}", f"localhost:{free_port()}"
        start = "import runpy, sys; runpy.run_module('tafe_tf.serving.server', run_name='__main__', alter_sys=True)"
        code = f"{before}\n{start}"
        ports = [f"--port={self.grpc.split(':')[1]}", f"--rest_api_port={self.rest.split(':')[1]}"]
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *ports, *flags], stdout=file, stderr=file
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS
        while "Exporting HTTP/REST API" not in self.log.read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise RuntimeError(
                    f"the server did not start: {self.log.read_text(errors='replace')}"
                )
            time.sleep(0.1)

    def stop(self) -> int:
        """Ends it as an operator does; the exit code."""
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
    """Waits until `ok()` is true, with an end."""
    deadline = time.monotonic() + SECONDS
    while not ok():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.05)
