"""The run before this one: which it is, and both models on the same rows."""

from __future__ import annotations

import dataclasses
import json

from rich.table import Table

from tafe_tf.data.atomic import write_json
from tafe_tf.data.batches.batch import Part
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.metrics import Metrics
from tafe_tf.schema import Schema
from tafe_tf.terminal.tables import before_after_table, show
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.run_dir import RunDir, RunError

NOTE = "warm_start.json"  # in a run that was warm-started
_SHOWN = ("auc", "log_loss", "pcoc")


def previous_of(run: RunDir) -> RunDir | None:
    """The run that `run` was warm-started from, or None if it started cold."""
    note = run.path / NOTE
    return RunDir(json.loads(note.read_text(encoding="utf-8"))["run"]) if note.exists() else None


def evaluate(
    previous: RunDir, data: FunnelData, part: Part = "all", cluster: Cluster | None = None
) -> Metrics:
    """The metrics of a run's best model on rows of another run, read through its own features and vocabularies.

    Raises:
        DataError: on a bad file or row.
        RunError: if it holds no trained model, or one of other tasks.
    """
    dataset = previous.schema()
    tasks, wanted = ([task.name for task in schema.tasks] for schema in (dataset, data.schema))
    if tasks != wanted:
        raise RunError(
            f"{previous.path}: must have the tasks {wanted} to be compared with. Received: {tasks}"
        )
    model = previous.load_best()
    data = dataclasses.replace(
        data, schema=dataclasses.replace(data.schema, features=dataset.features)
    )
    return Evaluator(model, previous.features(), cluster).evaluate(data, part)


def compare(
    run: RunDir, metrics: Metrics, data: FunnelData, cluster: Cluster | None = None
) -> None:
    """Prints the metrics of a warm-started run's model beside those of the run before it, on the same test rows.

    These go into `previous_metrics.json`. Nothing is said of a run that started cold. All processes of the cluster must
    call it.

    Args:
        run: the new run.
        metrics: its model's.
        data: the test rows.
        cluster: the processes that evaluate together.
    """
    cluster, previous = cluster or Cluster(), previous_of(run)
    if previous is None:
        return
    if not previous.path.exists():
        print(f"{previous.path}: the run before this one is gone, there is nothing to compare with")
        return
    before = evaluate(previous, data, cluster=cluster)
    if cluster.chief:
        write_json(run.path / "previous_metrics.json", before)
        show(
            beside(
                before,
                metrics,
                data.schema,
                f"{previous.path} and {run.path} on the same test rows",
            )
        )


def beside(previous: Metrics, new: Metrics, schema: Schema, title: str) -> Table:
    """The table of both models' metrics, by probability."""
    return before_after_table(
        previous, new, schema, title, metrics=_SHOWN, headings=("previous", "new")
    )
