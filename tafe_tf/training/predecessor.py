"""The run that a warm-started one went on from, and both models on the same rows."""

from __future__ import annotations

import dataclasses

from rich.table import Table

from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.batches.batch import Part
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.metrics import Metrics
from tafe_tf.schema import Schema, SchemaError
from tafe_tf.terminal.tables import before_after_table, show
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import Evaluator, Use
from tafe_tf.training.run_dir import RunDir

NOTE = "warm_start.json"  # in the directory of a run that was warm-started
_SHOWN = ("auc", "log_loss", "pcoc")


def predecessor_of(run: RunDir) -> RunDir | None:
    """The run that `run` was warm-started from; None if it started cold."""
    note = run.path / NOTE
    if not note.exists():
        return None
    noted = read_json(note)
    return RunDir(noted["run"])


def evaluate(
    predecessor: RunDir,
    data: FunnelData,
    part: Part = "all",
    cluster: Cluster | None = None,
    also: Use | None = None,
) -> Metrics:
    """The metrics of a run's best model on the rows of another run.

    The rows are read through the predecessor's own features and vocabularies.

    Args:
        predecessor: The run.
        data: The other run's rows.
        part: "train", "valid" or "all"; the default is "all".
        cluster: The processes that evaluate together; by default this one.
        also: Is called with each batch and what the model gives for it. Default: None.

    Raises:
        DataError: On a bad file or row.
        RunError: If the predecessor holds no trained model, one of other tasks, or one that reads a
            column which these rows have as a target.
    """
    own_schema = predecessor.schema()
    tasks = [task.name for task in own_schema.tasks]
    wanted = [task.name for task in data.schema.tasks]
    if tasks != wanted:
        raise RunError(
            f"{predecessor}: must have the tasks {wanted} to be compared with. Received: {tasks}"
        )
    try:
        schema = dataclasses.replace(
            data.schema,
            features=own_schema.features,
            sequences=own_schema.sequences,
            score=None,
        )
    except SchemaError as error:
        raise RunError(f"{predecessor}: cannot be compared with on these rows: {error}") from None
    rows = dataclasses.replace(data, schema=schema)
    evaluator = Evaluator(
        predecessor.load_best(),
        predecessor.features(),
        cluster,
    )
    return evaluator.evaluate(rows, part, also)


def compare(
    run: RunDir,
    metrics: Metrics,
    data: FunnelData,
    cluster: Cluster | None = None,
) -> None:
    """Prints the metrics of a warm-started run beside its predecessor's, on the same test rows.

    The predecessor's go into `previous_metrics.json`. Nothing is printed for a run that started
    cold. All processes of the cluster must call it.

    Args:
        run: The new run.
        metrics: The new run's.
        data: The test rows.
        cluster: The processes that evaluate together; by default this one.
    """
    cluster = cluster or Cluster()
    predecessor = predecessor_of(run)
    if predecessor is None:
        return
    if not predecessor.is_there:
        print(f"{predecessor}: the run before this one is gone, there is nothing to compare with")
        return
    before = evaluate(predecessor, data, cluster=cluster)
    if cluster.chief:
        write_json(run.path / "previous_metrics.json", before)
        title = f"{predecessor} and {run} on the same test rows"
        show(comparison_table(before, metrics, data.schema, title))


def comparison_table(
    before: Metrics,
    new: Metrics,
    schema: Schema,
    title: str,
) -> Table:
    """The table of both models' metrics, by probability."""
    return before_after_table(
        before,
        new,
        schema,
        title,
        metrics=_SHOWN,
        headings=("previous", "new"),
    )
