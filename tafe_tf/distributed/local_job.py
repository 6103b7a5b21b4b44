"""A job of several processes on one machine, which starts again what is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from tafe_tf.distributed.end_request import EndRequest
from tafe_tf.terminal import attended

Task = tuple[str, int]  # kind and number

_NOT_MENDED = 1  # exit code of an error that starting again does not mend
_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_FOLLOW = 30  # for the workers to end once the chief has


class LocalJob:
    """The processes of one job. They end with this process, even if it is killed.

    Args:
        tasks: The chief first.
        command: A module and its arguments.
        cores: Number of cores of each process, dealt in turn. The default, 0, lets all processes
            share all cores.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        command: Sequence[str],
        cores: int = 0,
    ) -> None:
        self._tasks = list(tasks)
        self._command = list(command)
        self._cores = cores
        self._cluster: dict[str, list[str]] = {}
        self.processes: dict[Task, subprocess.Popen[bytes]] = {}

    def run(self, restarts: int) -> int:
        """Starts every process, and restarts those that die.

        SIGTERM and Ctrl-C are passed on: the job saves and ends. A second one ends it at once.

        Args:
            restarts: How often, at most.

        Returns:
            The chief's exit code, or 1 once the restarts are used up.
        """
        with EndRequest() as request:
            self.start()
            chief = self._tasks[0]
            while True:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
                if request.asked:
                    return self._save_and_end()
                codes = {task: self.processes[task].poll() for task in self._tasks}
                if codes[chief] == 0:
                    return 0
                lost = {task: code for task, code in codes.items() if code}
                if not lost:
                    continue
                if _NOT_MENDED in lost.values() or restarts == 0:
                    return 1
                restarts -= 1
                self._restart(lost)

    def _save_and_end(self) -> int:
        """Passes SIGTERM on to the chief, with which all workers in step save and end.

        Returns:
            The chief's exit code, as a shell gives it.
        """
        chief = self.processes[self._tasks[0]]
        chief.send_signal(signal.SIGTERM)
        code = chief.wait()
        if "ps" not in self._cluster:  # which never ends by itself
            self._wait_for_all(_SECONDS_TO_FOLLOW)
        return 128 - code if code < 0 else code

    def _wait_for_all(self, seconds: float) -> None:
        """Waits until every process has ended, but no longer than this."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(process.poll() is not None for process in self.processes.values()):
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _restart(self, lost: Mapping[Task, int]) -> None:
        """Starts the lost workers alone, if parameter servers hold the weights, or else all."""
        exits = []
        for (kind, number), code in lost.items():
            exits.append(f"{kind} {number} (exit code {code})")
        workers_only = all(kind == "worker" for kind, _ in lost)
        alone = "ps" in self._cluster and workers_only
        first_kind, first_number = next(iter(lost))
        again = f"{first_kind} {first_number}" if alone else "all"
        print(
            f"lost {', '.join(exits)}; starting {again} again",
            file=sys.stderr,
            flush=True,
        )
        if alone:
            for task in lost:
                self.processes[task] = self._start(task)
        else:
            self.stop()
            self.start()

    def start(self) -> None:
        """Starts all processes, on free ports."""
        self._cluster = {}
        ports = _free_ports(len(self._tasks))
        for (kind, _), port in zip(self._tasks, ports, strict=True):
            addresses = self._cluster.setdefault(kind, [])
            addresses.append(f"localhost:{port}")
        self.processes = {task: self._start(task) for task in self._tasks}

    def _start(self, task: Task) -> subprocess.Popen[bytes]:
        kind, number = task
        place = {
            "cluster": self._cluster,
            "task": {
                "type": kind,
                "index": number,
            },
        }
        environment = {
            **os.environ,
            "TF_CONFIG": json.dumps(place),
        }
        module, *arguments = self._command
        process = attended.start(module, arguments, environment)
        if self._cores:
            os.sched_setaffinity(process.pid, self._cores_of(task))
        return process

    def _cores_of(self, task: Task) -> set[int]:
        every = sorted(os.sched_getaffinity(0))
        first = self._tasks.index(task) * self._cores
        places = range(first, first + self._cores)
        return {every[place % len(every)] for place in places}

    def stop(self) -> None:
        """Kills all processes, and those that they started."""
        for process in self.processes.values():
            attended.kill(process)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
