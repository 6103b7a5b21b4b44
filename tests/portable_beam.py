"""Runs `tafe` commands on Beam's portable runner: a job service and a pool of worker processes.

    python portable_beam.py DIRECTORY COMMAND...    # each command is one argument, without `tafe`

Both servers run in processes of their own and are reached over gRPC, as those of Flink and of Spark
on Beam are. The pool listens on every interface, so all of this runs in a network of its own.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import sys

from clusters import Processes

from tafe_tf.distributed import own_network

JOB_PORT = 8099
POOL_PORT = 50_000
OPTIONS = (
    f"--job_endpoint=localhost:{JOB_PORT} --environment_type=EXTERNAL "
    f"--environment_config=localhost:{POOL_PORT} --sdk_worker_parallelism=2"
)


def main() -> None:
    """Runs the commands one after the other; the first that fails ends this."""
    folder, *commands = sys.argv[1:]
    if not own_network.enter():
        sys.exit("this machine grants no network of one's own")
    beside = str(pathlib.Path(sys.executable).parent)  # the pool starts what is called python
    path = os.pathsep.join([beside, os.environ["PATH"]])
    portability = "apache_beam.runners.portability.local_job_service_main"
    pool = "apache_beam.runners.worker.worker_pool_main"
    with Processes(pathlib.Path(folder), {"PATH": path}) as servers:
        servers.start("job", sys.executable, "-m", portability, "--port", str(JOB_PORT))
        servers.start("pool", sys.executable, "-m", pool, f"--service_port={POOL_PORT}")
        servers.found("job", "(Grpc server started)")
        for command in commands:
            flags = [*shlex.split(command), "--runner=PortableRunner", f"--beam_args={OPTIONS}"]
            subprocess.run([sys.executable, "-m", "tafe_tf", *flags], check=True)


if __name__ == "__main__":
    main()
