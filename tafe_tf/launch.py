"""Runs a training job in several processes, and restarts those that are lost.

    python -m tafe_tf.launch --workers=2 -- --flagfile=flagfiles/demo.flags
    python -m tafe_tf.launch --workers=2 --servers=2 -- --flagfile=flagfiles/demo.flags

What follows `--` goes to `tafe_tf.train` in every process. Each process finds its place in
TF_CONFIG, as a cluster's manager sets it. Without servers the workers train in step
(MultiWorkerMirroredStrategy); if one of them is lost, all are started again from the last
checkpoint. With servers (ParameterServerStrategy) there is a coordinator too; a lost worker is
started again alone, a lost server with all the others.
"""

from __future__ import annotations

import sys

from absl import flags

from tafe_tf.distributed.local_job import LocalJob, Task
from tafe_tf.terminal import command

_WORKERS = flags.DEFINE_integer(
    "workers", 2, "Number of processes that train. Default: 2.", lower_bound=1
)
_SERVERS = flags.DEFINE_integer(
    "servers",
    0,
    "Number of processes that hold the weights, as parameter servers. Default: 0.",
    lower_bound=0,
)
_CORES = flags.DEFINE_integer(
    "cores",
    0,
    "Number of cores of each process, dealt in turn. Default: 0, all processes share all cores.",
    lower_bound=0,
)
_RESTARTS = flags.DEFINE_integer(
    "restarts", 3, "How often lost processes are started again. Default: 3.", lower_bound=0
)


def main(argv: list[str]) -> None:
    """Ends with the chief's exit code, or with 1 after too many losses."""
    workers: list[Task] = [("worker", i) for i in range(_WORKERS.value)]
    servers: list[Task] = [("ps", i) for i in range(_SERVERS.value)]
    tasks = [("chief", 0), *workers, *servers] if servers else workers
    job = LocalJob(tasks, ["tafe_tf.train", *argv[1:]], _CORES.value)
    try:
        sys.exit(job.run(_RESTARTS.value))
    finally:
        job.stop()


if __name__ == "__main__":
    command.run(main)
