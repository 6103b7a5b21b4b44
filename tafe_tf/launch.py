"""Runs a job in several processes on this machine, and starts again what is lost.

    python -m tafe_tf.launch --workers=2 -- --flagfile=flagfiles/demo.flags
    python -m tafe_tf.launch --workers=2 --servers=2 -- --flagfile=flagfiles/demo.flags

What follows `--` goes to `tafe_tf.train` in every process, which finds its place in TF_CONFIG, as a cluster's manager
sets it. Without servers the workers train in step (MultiWorkerMirroredStrategy); if one is lost, all are started again
from the last checkpoint. With servers (ParameterServerStrategy) a coordinator comes on top; a lost worker alone is
started again, a lost server with all the others.
"""

from __future__ import annotations

import sys

from absl import app
from absl import flags as absl_flags

from tafe_tf.distributed.local_job import Job

_WORKERS = absl_flags.DEFINE_integer("workers", 2, "Processes that train.", lower_bound=1)
_SERVERS = absl_flags.DEFINE_integer(
    "servers", 0, "Processes that hold the weights.", lower_bound=0
)
_CORES = absl_flags.DEFINE_integer(
    "cores", 0, "Cores of a process, dealt in turn; 0 shares all.", lower_bound=0
)
_RESTARTS = absl_flags.DEFINE_integer(
    "restarts", 3, "How often to start again what is lost.", lower_bound=0
)


def main(argv: list[str]) -> None:
    """Ends as the chief does, or with exit code 1 after too many losses."""
    tasks = [("worker", i) for i in range(_WORKERS.value)] + [
        ("ps", i) for i in range(_SERVERS.value)
    ]
    job = Job(
        [("chief", 0), *tasks] if _SERVERS.value else tasks,
        ["tafe_tf.train", *argv[1:]],
        _CORES.value,
    )
    try:
        sys.exit(job.run(_RESTARTS.value))
    finally:
        job.stop()


if __name__ == "__main__":
    app.run(main)
