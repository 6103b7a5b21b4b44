"""What more workers bring, and what a step sends: training in step, each process on one core.

    python -m benchmarks.scaling [--counts=1,2] [--ids=1000000] [--model=tafe] [--batch_size=1024]

Ali-CCP's 23 fields with so many ids in all, batches in memory, B rows a step over all workers. Bytes are what the
loopback interface carried while the steps ran: where others use it, start this in a network namespace of its own,
`unshare -rn sh -c "ip link set lo up; python -m benchmarks.scaling"`.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import tempfile
import time

import keras
from absl import app, flags

from benchmarks import train_speed, vocabulary
from benchmarks.support import ali_ccp_shape, rounds
from tafe_tf import machine
from tafe_tf.distributed import cluster
from tafe_tf.distributed.local_job import LocalJob
from tafe_tf.flags import model_config, training_config
from tafe_tf.optimizers import LazyAdam
from tafe_tf.training.sync_steps import SyncSteps

_COUNTS = flags.DEFINE_list("counts", ["1", "2"], "Numbers of workers.")
_IDS = flags.DEFINE_list("ids", ["1000000"], "Numbers of ids in all fields together.")
_CALLS = flags.DEFINE_integer(
    "calls", 3, "Calls of 20 steps that are timed, after one to warm up.", lower_bound=1
)
_REPORT = flags.DEFINE_string(
    "report", "", "Set for the workers that this starts: where the chief writes its figures."
)
flags.declare_key_flag("model")
flags.declare_key_flag("batch_size")


def main(argv: list[str]) -> None:
    """Interleaved rounds; the last lines have the ratios."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    if _REPORT.value:
        work(int(_IDS.value[0]), pathlib.Path(_REPORT.value))
        return
    ways = {
        f"{count} workers, {int(ids):,} ids": _way(int(count), ids)
        for ids in _IDS.value
        for count in _COUNTS.value
    }
    seen = rounds.run(ways, {})
    rounds.show(
        seen,
        f"training {model_config().name} in step, B = {training_config().batch_size}, one core a worker",
    )
    first, *others = seen.values()
    for way, values in zip(list(seen)[1:], others, strict=True):
        for figure in ("train_sps", "step_kib"):
            pairs = [b / a for a, b in zip(first[figure], values[figure], strict=True) if a]
            if pairs:
                print(f"{figure}, {way} / {next(iter(seen))}: {statistics.median(pairs):.3f}")


def _way(count: int, ids: str) -> rounds.Measure:
    def measure() -> rounds.Figures:
        with tempfile.TemporaryDirectory() as directory:
            report = pathlib.Path(directory) / "report.json"
            asked = {
                "ids": ids,
                "report": report,
                "model": model_config().name,
                "batch_size": training_config().batch_size,
            }
            arguments = [
                f"--{name}={value}" for name, value in {**asked, "calls": _CALLS.value}.items()
            ]
            job = LocalJob(
                [("worker", i) for i in range(count)], ["benchmarks.scaling", *arguments], cores=1
            )
            try:
                if job.run(restarts=0):
                    raise RuntimeError(f"{count} workers failed; what they said stands above")
            finally:
                job.stop()
            figures: rounds.Figures = json.loads(report.read_text())
            return figures

    return measure


def work(ids: int, report: pathlib.Path) -> None:
    """A worker's part: trains, and as the chief writes how fast."""
    made = cluster.make()
    size, fields = training_config().batch_size // made.workers, vocabulary.fields(ids)
    machine.set_threads(size)
    machine.keep_freed_memory()
    keras.utils.set_random_seed(0)
    with made.strategy.scope():
        model = ali_ccp_shape.model(model_config().name, fields)
        model.pieces = machine.pieces(size)
        optimizer = LazyAdam(1e-3)
        optimizer.build(model.trainable_variables)
    steps = SyncSteps(model, optimizer, model.paper_loss(), made.strategy, 1, train_speed.PER_CALL)
    iterator = made.iterate(train_speed.from_memory(size, fields))
    steps(iterator)
    made.barrier()
    began, before = time.perf_counter(), _loopback_bytes()
    rows = sum(float(steps(iterator)["rows"]) for _ in range(_CALLS.value))
    passed, sent = time.perf_counter() - began, _loopback_bytes() - before
    if made.chief:
        kib = sent / 1024 / (_CALLS.value * train_speed.PER_CALL)
        report.write_text(
            json.dumps(
                {
                    "train_sps": rows / passed,
                    "step_ms": 1000 * passed / rows * training_config().batch_size,
                    "step_kib": kib,
                }
            )
        )
    made.barrier()


def _loopback_bytes() -> int:
    """Bytes that the loopback interface has sent."""
    lines = pathlib.Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split()[9]) for line in lines if line.strip().startswith("lo:"))


if __name__ == "__main__":
    app.run(main)
