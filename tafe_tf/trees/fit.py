"""The job with trees: rows, a schema and settings in, a finished run out, as `training.fit` does.

<run_dir>/flags.txt              the settings that the trees depend on, a flagfile
          schema.toml, manifest.json, data.json, vocabulary/, statistics.json
                                 as in any run directory
          listed.json            the ids of values of lists that have a column of their own
          trees/<task>.txt       the trees of a step, in LightGBM's own form
          trees/<task>.json      what growing them took
          history.json           one entry: the metrics of the held-out rows, and what it all took
          metrics.json           metrics of the test rows
          predictions.npz        the test rows' logits, if --save_predictions asked for them

A step whose trees are there is not grown again, so that a killed job goes on with the next one.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tafe_tf import schema_toml
from tafe_tf.data.atomic import read_json, write_arrays, write_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import Batch, Part
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.shards import lifecycle
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features.graph import Features
from tafe_tf.metrics import Metrics, monitored
from tafe_tf.storage.texts import read_text
from tafe_tf.terminal.field_shares import print_field_metrics, print_unseen
from tafe_tf.terminal.tables import print_dropped, print_metrics, print_unknown
from tafe_tf.training import settings
from tafe_tf.training.config import FREE_SETTINGS, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import add_batch, metrics_of
from tafe_tf.training.job_rows import check_held_out, named, prepare, split
from tafe_tf.training.noted_files import METRICS
from tafe_tf.training.predictions import Predictions
from tafe_tf.training.run_dir import TREES, RunDir, claim
from tafe_tf.trees.config import NAME, OF_TRAINING, TreesConfig
from tafe_tf.trees.funnel_trees import FunnelTrees, Grower, Grown, load, save
from tafe_tf.trees.stopping import check_monitor
from tafe_tf.trees.table import Listed, TreeTable, frequent_ids

_READ_ROWS = 1 << 16  # rows that are read at once

Use = Callable[[np.ndarray, Batch], bool]


def fit_trees(
    data: DataConfig,
    run_dir: str | pathlib.Path,
    *,
    trees: TreesConfig | None = None,
    training: TrainingConfig | None = None,
) -> None:
    """Grows the trees of all steps, evaluates them on the test rows and leaves a run directory.

    The rows held out, the bad rows dropped, the vocabularies and the test rows are those of
    `tafe_tf.training.fit.fit` with the same settings. All training rows are held in memory, 8 bytes
    a column. Called again with the same arguments it goes on where it was killed.

    Args:
        data: The rows and their schema; files only.
        run_dir: The directory of the run, which may be a URI; made if it is not there.
        trees: How to grow the trees; by default the defaults of `TreesConfig`.
        training: What else there is to say, of which `config.OF_TRAINING` counts; by default the
            defaults of `TrainingConfig`.

    Raises:
        DataError: On a bad file or row.
        RunError: If the directory holds another run, or this one with other rows.
        ManifestError: If files of the run hold something else than the run has written.
        LockError: If another process works in it.
        ValueError: If the trees cannot stop by the monitor.
    """
    trees = trees or TreesConfig()
    training = training or TrainingConfig()
    run = RunDir(run_dir)
    _check(data, training)
    with run.locked():
        _claim(run, data, trees, training)
        _fit(run, data, trees, training)


def _check(data: DataConfig, training: TrainingConfig) -> None:
    """Finds before anything is written that settings and schema go together."""
    check_held_out(data, training)
    check_monitor(training.monitor, data.schema)
    if training.warm_start:
        rule = f"has no meaning for {NAME}, whose trees are grown anew from all rows"
        raise RunError(f"--warm_start {rule}. Received: {training.warm_start}")


def _claim(
    run: RunDir,
    data: DataConfig,
    trees: TreesConfig,
    training: TrainingConfig,
) -> None:
    """Makes the directory this run's own, or finds that it already is."""
    has_trees = any((run.path / TREES).glob("*.txt"))
    if not has_trees:
        run.forget_failed_start(data.schema_file)
        _lists_file(run).unlink(missing_ok=True)  # their ids were those of its vocabularies
        for files in data.files().values():
            lifecycle.check_shards(files)
    otherwise = "this directory holds another run; give another --run_dir or remove it"
    schema_text = schema_toml.dump(data.schema)
    if data.schema_file:
        schema_text = read_text(data.schema_file)
    run.path.mkdir(parents=True, exist_ok=True)
    claim(run.path / "schema.toml", schema_text, otherwise)
    claim(run.path / "flags.txt", _flags(data, trees, training), otherwise)
    if has_trees:
        has_finished = (run.path / "metrics.json").exists()
        run.rows.check(data.files(), has_finished, training.accept_changed_input)


def _flags(
    data: DataConfig,
    trees: TreesConfig,
    training: TrainingConfig,
) -> str:
    """The settings that the trees depend on, as a flagfile."""
    values: dict[str, Any] = {"data_dir": data.data_dir, "model": NAME}
    for name in settings.of_dataclass(TreesConfig):
        values[name] = getattr(trees, name)
    for name in OF_TRAINING - FREE_SETTINGS:
        values[name] = getattr(training, name)
    if not training.now:  # runs that earlier versions began have no such line
        del values["now"]
    lines = [f"--{name}={value}\n" for name, value in values.items()]
    if not data.data_dir:
        lines += [f"# {name}={named(rows)}\n" for name, rows in data.splits()]
    return "".join(sorted(lines))


def _fit(
    run: RunDir,
    data: DataConfig,
    trees: TreesConfig,
    training: TrainingConfig,
) -> None:
    bad_rows = BadRows(training.on_bad_row, training.max_bad_rows)
    reading = dataclasses.replace(training, batch_size=_READ_ROWS)
    rows, validation = split(data, reading, Cluster(), bad_rows)
    prepare(run, rows, data.schema_file)
    run.files.begin((run.path / TREES).exists())
    print_unseen(run.statistics().get("unseen", {}))
    print_unknown(run.statistics())
    run.rows.save(validation, data.files())
    features = run.features().without_sequences(run.path)
    table = TreeTable(features, _listed(run, features, rows, trees))
    grown, took = _grow_all(run, table, rows, validation, trees, training)
    _write_history(run, grown, took, table, validation, training)
    _evaluate_test(run, grown, table, rows, data, training)
    run.files.note(f"{TREES}/*", _lists_file(run).name, *METRICS)
    print_dropped(bad_rows)


def _listed(
    run: RunDir,
    features: Features,
    rows: FunnelData,
    trees: TreesConfig,
) -> Listed:
    """The ids of values of lists that get columns, counted once."""
    path = _lists_file(run)
    if not path.exists():
        batches = rows.evaluation_batches("train")
        write_json(path, frequent_ids(features, batches, trees.max_list_values))
    listed: Listed = read_json(path)
    return listed


def _lists_file(run: RunDir) -> pathlib.Path:
    """Not among the trees, whose files are named after tasks."""
    return run.path / "listed.json"


def _grow_all(
    run: RunDir,
    table: TreeTable,
    rows: FunnelData,
    validation: FunnelData,
    trees: TreesConfig,
    training: TrainingConfig,
) -> tuple[FunnelTrees, list[Grown]]:
    """Grows the trees of each step that has none, and keeps them."""
    grown = FunnelTrees([], trees.heads == "conditional")
    took = []
    learned = held_out = None
    names = [task.name for task in rows.schema.tasks]
    grower = Grower(
        trees,
        seed=training.seed,
        monitor=training.monitor,
        step_names=names,
        table=table,
    )
    (run.path / TREES).mkdir(exist_ok=True)
    for name in names:
        path = run.path / TREES / f"{name}.txt"
        report = path.with_suffix(".json")
        if not path.exists():
            if learned is None or held_out is None:
                learned = table.rows(rows.evaluation_batches("train"))
                valid = validation.evaluation_batches("valid")
                held_out = table.rows(valid, rows.schema.group)
            booster, of_step = grower.grow(grown, learned, held_out)
            write_json(report, dataclasses.asdict(of_step))
            save(booster, path)
            run.send()
        of_step = Grown(**read_json(report))
        took.append(of_step)
        grown.boosters.append(load(path))
        print(f"{name}: {of_step.kept} trees, {of_step.seconds:.1f} s", flush=True)
    return grown, took


def evaluate(
    trees: FunnelTrees,
    table: TreeTable,
    data: FunnelData,
    part: Part = "all",
    also: Use | None = None,
    fields: FieldCounts | None = None,
) -> Metrics:
    """The metrics of rows, as `Evaluator.evaluate` gives them of a network.

    Args:
        trees: Of all steps.
        table: Makes the columns that they read.
        data: The rows.
        part: "train", "valid" or "all", the default.
        also: Is called with the logits and the batches too.
        fields: Counts of the fields' values, to which those of the rows are added.

    Raises:
        DataError: On a bad file or row.
    """
    began = time.monotonic()
    schema = data.schema
    metrics = metrics_of(schema)
    for batch in data.evaluation_batches(part):
        ids, weights = table.look_up(batch.inputs)
        logits = trees.logits(table.columns(batch.inputs, ids, weights))
        if fields is not None:
            fields.add_ids(ids, table.slots)
        add_batch(metrics, schema, logits, batch)
        if also:
            also(logits, batch)
    seconds = time.monotonic() - began
    return {**metrics.result(), "seconds": round(seconds, 3)}


def _write_history(
    run: RunDir,
    trees: FunnelTrees,
    took: list[Grown],
    table: TreeTable,
    validation: FunnelData,
    training: TrainingConfig,
) -> None:
    """Writes the metrics of the held-out rows as those of the one epoch that there is.

    "train_rows" counts a row once for each tree of a step, divided by the number of steps: so many
    rows have passed through the training of all steps, as they do in an epoch of a network.
    """
    metrics = evaluate(trees, table, validation, "valid")
    passed = sum(step.rows * step.trees for step in took)
    epoch = {
        "epoch": 1,
        "train_seconds": sum(step.seconds for step in took),
        "train_rows": passed // len(took),
        "train_loss": None,
        **metrics,
    }
    write_json(run.path / "history.json", [epoch])
    if metrics["rows"]:
        reached = monitored(metrics, training.monitor, validation.schema.step_names)
        print(f"validation {training.monitor} {reached:.4f}", flush=True)
    else:
        print("no validation rows: all trees were grown and kept", flush=True)


def _evaluate_test(
    run: RunDir,
    trees: FunnelTrees,
    table: TreeTable,
    rows: FunnelData,
    data: DataConfig,
    training: TrainingConfig,
) -> None:
    """Writes and prints the metrics of the test rows, if there are any."""
    if not data.test:
        print(f"no test files in {data.data_dir}: no metrics.json")
        return
    test = dataclasses.replace(rows, files=list(data.test), holdout=Holdout())
    schema = data.schema
    seen = Predictions(schema, keeps_group=True, keeps_amount=False)
    fields = FieldCounts([feature.name for feature in schema.counted_features])
    metrics: dict[str, Any] = evaluate(trees, table, test, also=seen.add, fields=fields)
    metrics |= {**fields.as_metrics(), "parameters": trees.parameters}
    write_json(run.path / "metrics.json", metrics)
    if training.save_predictions:
        write_arrays(run.path / "predictions.npz", seen.arrays())
    print_metrics(metrics, schema, f"{schema.name}, test")
    print_field_metrics(metrics, run.statistics(), "values of the test rows")
