"""The processes of a job on one machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

Task = tuple[str, int]  # kind and number


class Job:
    """The processes of one job.

    Args:
        tasks: the chief first.
        command: a module and its arguments.
        cores: of each process, dealt in turn; 0 lets them share all.
    """

    def __init__(self, tasks: Sequence[Task], command: Sequence[str], cores: int = 0) -> None:
        self._tasks, self._command, self._cores = list(tasks), list(command), cores
        self._cluster: dict[str, list[str]] = {}
        self.processes: dict[Task, subprocess.Popen[bytes]] = {}

    def run(self, restarts: int) -> int:
        """Starts all, and again what is lost, until the chief is done; its exit code, or 1 after too many losses."""
        self.start()
        while True:
            time.sleep(0.1)
            ended = {
                task: code
                for task in self._tasks
                if (code := self.processes[task].poll()) is not None
            }
            if ended.get(self._tasks[0]) == 0:
                return 0
            lost = {task: code for task, code in ended.items() if code}
            if 1 in lost.values() or (
                lost and not restarts
            ):  # 1: an error that starting again does not mend
                return 1
            if lost:
                restarts -= 1
                self._replace(lost)

    def _replace(self, lost: Mapping[Task, int]) -> None:
        said = ", ".join(
            f"{kind} {number} (exit code {code})" for (kind, number), code in lost.items()
        )
        alone = "ps" in self._cluster and all(kind == "worker" for kind, _ in lost)
        print(
            f"lost {said}; starting {said.split(' (')[0] if alone else 'all'} again",
            file=sys.stderr,
            flush=True,
        )
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
        environment = {**os.environ, "TF_CONFIG": json.dumps(place)}
        process = subprocess.Popen([sys.executable, "-m", *self._command], env=environment)
        if self._cores:
            every, first = sorted(os.sched_getaffinity(0)), self._tasks.index(task) * self._cores
            os.sched_setaffinity(
                process.pid, {every[(first + i) % len(every)] for i in range(self._cores)}
            )
        return process

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
