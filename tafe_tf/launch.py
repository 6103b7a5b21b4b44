"""Runs a training job in several processes, and restarts those that are lost.

    python -m tafe_tf.launch --workers=2 -- --flagfile=flagfiles/demo.flags
    python -m tafe_tf.launch --workers=2 --servers=2 -- --flagfile=flagfiles/demo.flags

What follows `--` goes to `tafe_tf.train` in every process. Each process finds its place in
TF_CONFIG, as a cluster's manager sets it. Without servers the workers train in step
(MultiWorkerMirroredStrategy); if one of them is lost, all are started again from the last
checkpoint. With servers (ParameterServerStrategy) there is a coordinator too; a lost worker is
started again alone, a lost server with all the others.

SIGTERM and Ctrl-C are passed on: the job saves a checkpoint and ends with exit code 143, and the
same command goes on. A second one ends it at once. If this process is killed, so are all others.

TensorFlow's processes run whatever anybody sends to their ports, and listen on every interface. On
Linux they are therefore started in a network of their own, which nothing outside can reach and from
which nothing outside can be reached. Where the kernel does not allow it, a line says so.
"""

from __future__ import annotations

import sys

from absl import flags

from tafe_tf.distributed import own_network
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
_OWN_NETWORK = flags.DEFINE_bool(
    "own_network",
    True,
    "Start the processes in a network that nothing outside can reach, where the system allows it. "
    "Without it everyone who reaches this machine can run what they like in them. Default: true.",
)

_OPEN = (
    "warning: the processes of this job listen on every network interface, and TensorFlow runs "
    "whatever is sent to their ports: let a firewall close this machine to others, or use a "
    "network that you trust ({reason})"
)


def main(argv: list[str]) -> None:
    """Ends with the chief's exit code, or with 1 after too many losses."""
    workers: list[Task] = [("worker", i) for i in range(_WORKERS.value)]
    servers: list[Task] = [("ps", i) for i in range(_SERVERS.value)]
    tasks = [("chief", 0), *workers, *servers] if servers else workers
    _close_the_network()
    job = LocalJob(tasks, ["tafe_tf.train", *argv[1:]], _CORES.value)
    try:
        sys.exit(job.run(_RESTARTS.value))
    finally:
        job.stop()


def _close_the_network() -> None:
    """Shuts the job's ports to others, or says that they are open."""
    reason = "--noown_network was given"
    if _OWN_NETWORK.value:
        if own_network.enter():
            return
        reason = "this system does not let the job have a network of its own"
    print(_OPEN.format(reason=reason), file=sys.stderr, flush=True)


if __name__ == "__main__":
    command.run(main)
