"""Starts the local server again and again without importing TensorFlow again: a fork each.

A program of its own. Each line of its input is a JSON list: the file of the log, then the server's
flags. For each it prints the new process's number at once, and its exit code once it has ended.
"""

from __future__ import annotations

import json
import os
import sys

from tafe_tf.serving.server.__main__ import main
from tafe_tf.terminal import command


def start(log: str, arguments: list[str]) -> int:
    """Forks a server that logs into a file; returns its process number."""
    process = os.fork()
    if process:
        return process
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["server", *arguments]
    command.run(main)
    os._exit(1)  # not reached: the server ends its process


def serve_lines() -> None:
    """Answers each line of the input."""
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        process = start(log, arguments)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve_lines()
