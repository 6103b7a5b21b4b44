"""Measures a whole job on a store and on Spark: from a log in a bucket to scores, step by step.

    python -m benchmarks.million_rows [--rows=1000000] [--days=20]

Starts an S3 store (SeaweedFS) and a Spark master with two workers of one core, invents a log with
Ali-CCP's 18 fields and one Parquet file a day, and then sends it to the store, prepares it on
Spark, trains on two days, warm-starts on the third, publishes the model in the store, and scores
all days in one process and on Spark. The scores must be the same to the bit.

Prints a table: time, rows a second, the peak of memory of all processes but the servers, and what
went over the loopback interface, to and from the store and within Spark. At the end, the same as a
line of JSON. It needs the packages of `make test-engines`. All of it runs on this machine, whose
cores the store, Spark and the job share.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from absl import flags
from rich.table import Table

from benchmarks.support import ali_ccp_shape, usage
from tafe_tf import schema_toml
from tafe_tf.data.formats.write import write
from tafe_tf.distributed import own_network
from tafe_tf.schema import Feature, Schema, Task
from tafe_tf.storage.staging import publish_tree
from tafe_tf.terminal import command
from tafe_tf.terminal.tables import show

sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests"))  # whose servers these are

import clusters
import object_stores

_ROWS = flags.DEFINE_integer("rows", 1_000_000, "Rows of all days together.", lower_bound=1000)
_DAYS = flags.DEFINE_integer("days", 20, "Days of the log; the last one is the test day.", 4, 28)
_MODEL = flags.DEFINE_string("model", "tafe", "The architecture that is trained.")
_EXECUTORS = flags.DEFINE_list(
    "executors", ["1", "2"], "Numbers of executors that score, comma-separated; 2 at most."
)

LOG = "s3://shop/log"
PREPARED = "s3://shop/prepared"
MODELS = "s3://shop/models"
TRAINED_DAYS = 2


class Benchmark:
    """The servers, the folder that all processes see, and what was measured.

    Args:
        folder: The folder.
        cluster: Spark.
        store: The process of the store.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        cluster: clusters.SparkCluster,
        store: Sequence[int],
    ) -> None:
        self.folder = folder
        self._cluster = cluster
        self._servers = [*store, *cluster.pids()]
        self.steps: list[dict[str, float | str]] = []

    @contextlib.contextmanager
    def step(self, name: str, rows: int = 0) -> Iterator[None]:
        """Measures a step of so many rows; 0 where it has no rate."""
        print(f"{name} ...", flush=True)
        with usage.watched(self._servers) as seen:
            yield
        self.steps.append(
            {
                "step": name,
                "seconds": round(seen.seconds, 1),
                "rows_per_second": round(rows / seen.seconds),
                "peak_mib": round(seen.peak_mib),
                "moved_mib": round(seen.moved_mib, 1),
            }
        )

    def tafe(self, *arguments: str) -> None:
        """Runs a `tafe` command in a process of its own."""
        with open(self.folder / "tafe.log", "ab") as log:
            subprocess.run(
                [sys.executable, "-m", "tafe_tf", *arguments],
                env=clusters.ENVIRONMENT | os.environ,
                stdout=log,
                stderr=log,
                check=True,
            )

    def spark(self, *arguments: str, executors: int = 2) -> None:
        """Submits a `tafe` command."""
        process = self._cluster.submit(*arguments, "--runner=spark", executors=executors)
        if process.wait():
            raise RuntimeError(self._cluster.log("submitted").read_text())


def make_log(folder: pathlib.Path, rows: int, days: int) -> None:
    """Writes a day a file, and the schema: every field a vocabulary of values seen twice."""
    fields = [f"f{name}" for name in ali_ccp_shape.FIELDS]
    features = []
    for name in fields:
        features.append(Feature(name=name, kind="vocabulary", dtype="int64", min_count=2))
    tasks = (Task(name="click"), Task(name="buy"))
    schema = Schema(name="log", features=tuple(features), tasks=tasks)
    for day in range(days):
        split = "test" if day == days - 1 else "train"
        directory = folder / split / f"dt=2026-11-{day + 1:02d}"
        directory.mkdir(parents=True)
        path = directory / f"day-{day + 1:02d}.parquet"
        write(path, ali_ccp_shape.labelled(rows // days, seed=day))
    (folder / "schema.toml").write_text(schema_toml.dump(schema), encoding="utf-8")


def run(benchmark: Benchmark, rows: int, days: int) -> bool:
    """Goes from the log to scores; whether all scores are the same bytes."""
    folder = benchmark.folder
    a_day = rows // days
    log = folder / "log"
    make_log(log, rows, days)
    with benchmark.step(f"send {days} days to the store", a_day * days):
        publish_tree(log, LOG, last=["schema.toml"])
    prepared = folder / "prepared"
    with benchmark.step("prepare on Spark, executors: 2", a_day * days):
        benchmark.spark("prepare", f"--data_dir={LOG}", f"--output_dir={prepared}")
    with benchmark.step("send the shards to the store", a_day * days):
        publish_tree(prepared, PREPARED, last=["prepared.json"])

    days_of_training = ",".join(f"{day:05d}" for day in range(TRAINED_DAYS))
    files = f"{PREPARED}/train-{{{days_of_training}}}-*.parquet"
    schema = f"--schema={PREPARED}/schema.toml"
    settings = (schema, f"--test={PREPARED}/test-*.parquet", "--epochs=1")
    first = folder / "first"
    with benchmark.step(f"train on {TRAINED_DAYS} days", a_day * TRAINED_DAYS):
        benchmark.tafe(
            "train", f"--train={files}", f"--run_dir={first}", f"--model={_MODEL.value}", *settings
        )
    second = folder / "second"
    next_day = f"{PREPARED}/train-{TRAINED_DAYS:05d}-*.parquet"
    with benchmark.step("warm-start on the next day", a_day):
        benchmark.tafe(
            *("train", f"--train={next_day}", f"--run_dir={second}", f"--warm_start={first}"),
            *(f"--model={_MODEL.value}", *settings),
        )
    exported = folder / "exported"
    with benchmark.step("export, and publish in the store"):
        benchmark.tafe(
            *("export", f"--run_dir={second}", f"--export_dir={exported}", "--version=1"),
            "--publish_worse",  # the labels are random, so neither model is better
        )
        publish_tree(exported / "1", f"{MODELS}/1", last=["saved_model.pb"])
    models = folder / "models"
    with benchmark.step("bring the version to a disk"):
        benchmark.tafe("sync", MODELS, str(models), "--once")

    scoring = ("score", f"--model={models}", f"--input={log}/t*/dt=*", "--keys=f101")
    local = folder / "scores"
    with benchmark.step("score in one process", a_day * days):
        benchmark.tafe(*scoring, f"--output={local}")
    are_same = []
    for count in map(int, _EXECUTORS.value):
        output = folder / f"scores-{count}"
        with benchmark.step(f"score on Spark, executors: {count}", a_day * days):
            benchmark.spark(*scoring, f"--output={output}", executors=count)
        are_same.append(contents(output) == contents(local))
    return all(are_same)


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    """The bytes of all files of scores."""
    return {path.name: path.read_bytes() for path in directory.glob("*.parquet")}


def table_of(steps: Sequence[dict[str, float | str]]) -> Table:
    """The steps as a table."""
    table = Table(title="one machine, which also runs the store and Spark", title_justify="left")
    table.add_column("step")
    for heading in ("s", "rows/s", "peak MiB", "MiB moved"):
        table.add_column(heading, justify="right")
    for step in steps:
        rate = f"{step['rows_per_second']:,}" if step["rows_per_second"] else "-"
        table.add_row(
            str(step["step"]),
            f"{step['seconds']:,}",
            rate,
            f"{step['peak_mib']:,}",
            f"{step['moved_mib']:,}",
        )
    return table


def main(argv: list[str]) -> None:
    """Starts the servers, runs the steps, and prints what they took."""
    command.only_flags(argv)
    if not own_network.enter():
        sys.exit("error: needs a network of its own, to count what is moved: Linux, and root")
    with contextlib.ExitStack() as servers:
        folder = pathlib.Path(servers.enter_context(tempfile.TemporaryDirectory()))
        for name in ("store", "spark", "work"):
            (folder / name).mkdir()
        before = children()
        port = servers.enter_context(object_stores.s3_server(folder / "store"))
        store = children() - before
        os.environ.update(object_stores.s3_variables(port))
        spark = clusters.SparkCluster(folder / "spark", object_stores.s3_variables(port))
        servers.enter_context(spark)
        benchmark = Benchmark(folder / "work", spark, sorted(store))
        try:
            are_same = run(benchmark, _ROWS.value, _DAYS.value)
        except subprocess.CalledProcessError as error:
            said = (folder / "work" / "tafe.log").read_text(errors="replace")
            sys.exit(f"{said}\nerror: {' '.join(error.cmd)} failed, see above")
    show(table_of(benchmark.steps))
    print(json.dumps({"scores_are_the_same_bytes": are_same, "steps": benchmark.steps}))
    if not are_same:
        sys.exit("error: Spark's scores are not those of one process")


def children() -> set[int]:
    """The process numbers of this process's children."""
    found: set[int] = set()
    for path in pathlib.Path("/proc/self/task").glob("*/children"):
        found.update(map(int, path.read_text().split()))
    return found


if __name__ == "__main__":
    command.run(main)
