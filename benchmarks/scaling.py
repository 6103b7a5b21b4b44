"""Measures synchronous training with more workers, one core each, and what a step sends.

    python -m benchmarks.scaling [--counts=1,2] [--ids=1000000] [--model=tafe] [--batch_size=1024]

Ali-CCP's 23 fields with so many ids in all; batches lie in memory, and --batch_size is the rows of
a step over all workers. Prints rows/s (train_sps), milliseconds a step and KiB a step, and last the
ratios to the first way. The KiB are what the loopback interface carried while the steps ran. Where
other programs use it, start this in a network namespace of its own:
`unshare -rn sh -c "ip link set lo up; python -m benchmarks.scaling"`.
"""

from __future__ import annotations

import pathlib
import statistics
import tempfile
import time

import keras
from absl import flags

from benchmarks.support import ali_ccp_shape, rounds, training_steps, usage
from tafe_tf import machine
from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.distributed import cluster
from tafe_tf.distributed.local_job import LocalJob
from tafe_tf.optimizers import LazyAdam
from tafe_tf.terminal import command
from tafe_tf.training.sync_steps import SyncSteps

_COUNTS = flags.DEFINE_list("counts", ["1", "2"], "Numbers of workers, separated by commas.")
_IDS = flags.DEFINE_list(
    "ids", ["1000000"], "Numbers of ids in all fields together, separated by commas."
)
_MODEL = flags.DEFINE_string(
    "model",
    "tafe",
    "The model: MODEL, or MODEL/ARGUMENT=VALUE/... with arguments of its constructor.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", 1024, "Rows of a step over all workers.", lower_bound=1
)
_CALLS = flags.DEFINE_integer(
    "calls", 3, "Timed calls of 20 steps each, after one to warm up.", lower_bound=1
)
_REPORT = flags.DEFINE_string(
    "report",
    "",
    "Set for the workers that this command starts: the file for the chief's figures.",
)


def main(argv: list[str]) -> None:
    """Measures every number of workers in alternating rounds; in a worker, does its part."""
    command.only_flags(argv)
    if _REPORT.value:
        work(int(_IDS.value[0]), pathlib.Path(_REPORT.value))
        return
    ways = {}
    for ids in _IDS.value:
        for count in _COUNTS.value:
            ways[f"{count} workers, {int(ids):,} ids"] = _way(int(count), ids)
    seen = rounds.run(ways, {})
    title = f"training {_MODEL.value} in step, B = {_BATCH_SIZE.value}, one core a worker"
    rounds.show(seen, title)
    base, *others = seen
    for way in others:
        for figure in ("train_sps", "step_kib"):
            _print_ratio(figure, way, seen[way][figure], base, seen[base][figure])


def _print_ratio(
    figure: str, way: str, values: list[float], base: str, base_values: list[float]
) -> None:
    """Prints the median ratio of two ways' figures, round by round; nothing if all are 0."""
    pairs = zip(values, base_values, strict=True)
    ratios = [value / base_value for value, base_value in pairs if base_value]
    if ratios:
        print(f"{figure}, {way} / {base}: {statistics.median(ratios):.3f}")


def _way(count: int, ids: str) -> rounds.Measure:
    """What trains with `count` workers, once, and returns the chief's figures."""

    def measure() -> rounds.Figures:
        with tempfile.TemporaryDirectory() as directory:
            report = pathlib.Path(directory) / "report.json"
            arguments = [
                f"--ids={ids}",
                f"--report={report}",
                f"--model={_MODEL.value}",
                f"--batch_size={_BATCH_SIZE.value}",
                f"--calls={_CALLS.value}",
            ]
            workers = [("worker", i) for i in range(count)]
            job = LocalJob(workers, ["benchmarks.scaling", *arguments], cores=1)
            try:
                if job.run(restarts=0):
                    raise RuntimeError(f"{count} workers failed; their output is above")
            finally:
                job.stop()
            figures: rounds.Figures = read_json(report)
            return figures

    return measure


def work(ids: int, report: pathlib.Path) -> None:
    """Trains as one worker; the chief writes how fast.

    Args:
        ids: Number of ids in all fields together.
        report: The JSON file for the chief's figures.
    """
    made = cluster.make()
    size = _BATCH_SIZE.value // made.workers
    fields = ali_ccp_shape.scaled_fields(ids)
    machine.set_threads(size)
    machine.keep_freed_memory()
    keras.utils.set_random_seed(0)
    with made.strategy.scope():
        model = ali_ccp_shape.model(_MODEL.value, fields)
        model.pieces = machine.pieces(size)
        optimizer = LazyAdam(1e-3)
        optimizer.build(model.trainable_variables)
    per_call = training_steps.PER_CALL
    steps = SyncSteps(model, optimizer, model.paper_loss(), made.strategy, 1, per_call)
    iterator = made.iterate(training_steps.from_memory(size, fields))
    steps(iterator)
    made.barrier()

    began = time.perf_counter()
    sent_before = usage.loopback_bytes()
    rows = sum(float(steps(iterator).rows) for _ in range(_CALLS.value))
    seconds = time.perf_counter() - began
    sent = usage.loopback_bytes() - sent_before
    if made.chief:
        figures = {
            "train_sps": rows / seconds,
            "step_ms": 1000 * seconds / rows * _BATCH_SIZE.value,
            "step_kib": sent / 1024 / (_CALLS.value * per_call),
        }
        write_json(report, figures)
    made.barrier()


if __name__ == "__main__":
    command.run(main)
