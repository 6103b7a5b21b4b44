"""Runs a job in several processes on this machine, and starts again what is lost.

    python -m tafe_tf.launch --workers=2 -- --flagfile=flagfiles/demo.flags
    python -m tafe_tf.launch --workers=2 --servers=2 -- --flagfile=flagfiles/demo.flags

What follows `--` goes to `tafe_tf.train` in every process, which finds its place in TF_CONFIG, as a cluster's manager
sets it. Without servers the workers train in step (MultiWorkerMirroredStrategy); if one is lost, all are started again
from the last checkpoint. With servers (ParameterServerStrategy) a coordinator comes on top; a lost worker alone is
started again, a lost server with all the others.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from absl import app
from absl import flags as absl_flags

_WORKERS = absl_flags.DEFINE_integer("workers", 2, "Processes that train.", lower_bound=1)
_SERVERS = absl_flags.DEFINE_integer("servers", 0, "Processes that hold the weights.", lower_bound=0)
_THREADS = absl_flags.DEFINE_integer("threads", 0, "TensorFlow's threads a process; 0 leaves it to it.", lower_bound=0)
_RESTARTS = absl_flags.DEFINE_integer("restarts", 3, "How often to start again what is lost.", lower_bound=0)

Task = tuple[str, int]  # kind and number


def main(argv: list[str]) -> None:
    """Ends as the chief does, or with exit code 1 after too many losses."""
    tasks = [("worker", i) for i in range(_WORKERS.value)] + [("ps", i) for i in range(_SERVERS.value)]
    job = Job([("chief", 0), *tasks] if _SERVERS.value else tasks, argv[1:], _THREADS.value)
    try:
        sys.exit(job.run(_RESTARTS.value))
    finally:
        job.stop()


class Job:
    """The processes of one job.

    Args:
        tasks: the chief first.
        arguments: of `tafe_tf.train`.
        threads: of each process, for TensorFlow; 0 leaves it to it.
    """

    def __init__(self, tasks: Sequence[Task], arguments: Sequence[str], threads: int = 0) -> None:
        self._tasks, self._arguments = list(tasks), list(arguments)
        self._threads = (
            {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": str(threads)} if threads else {}
        )
        self._cluster: dict[str, list[str]] = {}
        self.processes: dict[Task, subprocess.Popen[bytes]] = {}

    def run(self, restarts: int) -> int:
        """Starts all, and again what is lost, until the chief is done; its exit code, or 1 after too many losses."""
        self.start()
        while True:
            time.sleep(0.1)
            ended = {task: code for task in self._tasks if (code := self.processes[task].poll()) is not None}
            if ended.get(self._tasks[0]) == 0:
                return 0
            lost = {task: code for task, code in ended.items() if code}
            if 1 in lost.values() or (lost and not restarts):  # 1: an error that starting again does not mend
                return 1
            if lost:
                restarts -= 1
                self._replace(lost)

    def _replace(self, lost: Mapping[Task, int]) -> None:
        said = ", ".join(f"{kind} {number} (exit code {code})" for (kind, number), code in lost.items())
        alone = "ps" in self._cluster and all(kind == "worker" for kind, _ in lost)
        print(f"lost {said}; starting {said.split(' (')[0] if alone else 'all'} again", file=sys.stderr, flush=True)
        if alone:
            self.processes.update({task: self._start(task) for task in lost})
        else:
            self.stop()
            self.start()

    def start(self) -> None:
        """Starts all processes, on free ports."""
        self._cluster = {}
        for (kind, _), port in zip(self._tasks, _free_ports(len(self._tasks)), strict=True):
            self._cluster.setdefault(kind, []).append(f"localhost:{port}")
        self.processes = {task: self._start(task) for task in self._tasks}

    def _start(self, task: Task) -> subprocess.Popen[bytes]:
        place = {"cluster": self._cluster, "task": {"type": task[0], "index": task[1]}}
        environment = {**os.environ, **self._threads, "TF_CONFIG": json.dumps(place)}
        return subprocess.Popen([sys.executable, "-m", "tafe_tf.train", *self._arguments], env=environment)

    def stop(self) -> None:
        """Kills all processes."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


if __name__ == "__main__":
    app.run(main)
