"""Trains a model on a funnel, evaluates it on the test rows and leaves a run directory.

    python -m tafe_tf.train --flagfile=flagfiles/demo.flags

The same command goes on with a run that was interrupted; a flag after the flagfile wins over it. On several machines it
is the same command too, with TF_CONFIG in the environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import pathlib
import sys

import keras
import tensorflow as tf
from absl import app, logging
from absl.flags import adopt_module_key_flags

from tafe_tf import flags, machine, models, schema, schema_toml
from tafe_tf.data.atomic import write_arrays, write_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData, Holdout, time_holdout
from tafe_tf.data.formats.read import find_files
from tafe_tf.distributed import cluster as clusters
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.losses import FunnelLoss
from tafe_tf.optimizers import LazyAdam, LinearDecay
from tafe_tf.terminal.tables import print_dropped, print_metrics
from tafe_tf.training import predecessor
from tafe_tf.training.evaluator import Evaluator, Predictions
from tafe_tf.training.loop import NotFiniteError, Trainer
from tafe_tf.training.preemption import Preempted
from tafe_tf.training.run_dir import RunDir, RunError
from tafe_tf.training.warm_start import WarmStart

adopt_module_key_flags(flags)

PREEMPTED = 143  # as a process that SIGTERM ended
LOST = 138  # "try again": another process of the job is gone


def main(argv: list[str]) -> None:
    """Runs the job; what the user can mend ends it with one line and exit code 1.

    Exit code 143 says that SIGTERM came and a checkpoint is written, 138 that another process of the job is gone; after
    either the same command goes on.
    """
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.WARNING)  # TensorFlow notes every checkpoint
    try:
        train()
    except Preempted as stop:
        print(f"SIGTERM: {stop}; the same command goes on", file=sys.stderr)
        sys.exit(PREEMPTED)
    except (NotFiniteError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        said = next((line for line in error.message.splitlines() if " " in line.strip()), "")
        print(
            f"another process is gone; started again, this one goes on from the checkpoint. {said}",
            file=sys.stderr,
        )
        sys.exit(LOST)


def train() -> None:
    """What `main` does, errors aside."""
    flags.required(data_dir=flags.DATA_DIR.value, run_dir=flags.RUN_DIR.value)
    machine.set_threads(flags.BATCH_SIZE.value)
    machine.keep_freed_memory()
    cluster = clusters.make(flags.STRATEGY.value, flags.TPU.value)
    with contextlib.ExitStack() as stack:
        if not cluster.chief:
            stack.enter_context(
                contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w")))
            )
        run_job(cluster)


def run_job(cluster: Cluster) -> None:
    """One process's part of the job; the chief writes and prints."""
    config = flags.training_config()
    run = RunDir(flags.RUN_DIR.value)
    bad_rows = flags.bad_rows()
    training, validation = split(schema_toml.load(flags.schema_file()), bad_rows, cluster)
    warm = warm_start(run)
    if warm:
        warm.check_schema(training.schema)
    # Once the data is there: a mistyped path claims nothing.
    cluster.first(lambda: run.claim(flags.as_flagfile(), flags.schema_file()))
    prepared = cluster.first(lambda: prepared_rows(run, training, warm))
    rows = round(prepared * (1.0 - training.holdout.fraction))
    steps = max(rows // training.batch_size, 1)
    keras.utils.set_random_seed(flags.SEED.value)
    keras.config.set_dtype_policy(flags.DTYPE_POLICY.value)
    features = run.features()
    with cluster.strategy.scope():
        model = build_model(
            features, cluster.replicas, flags.EMBEDDING_PARTS.value or max(cluster.servers, 1)
        )
        rate = learning_rate(steps, warm.iterations if warm else 0)
        optimizer = LazyAdam(rate, static_shapes=cluster.is_tpu)
    if cluster.chief:
        run.save_model_config(model)
        run.save_data(validation, find_files(flags.DATA_DIR.value, "test", required=False))
    Trainer(model, features, cluster).fit(
        training,
        validation,
        optimizer=optimizer,
        loss=build_loss(model, training.schema),
        config=config,
        run=run,
        steps=steps,
        begin=(lambda: warm.load(model, optimizer)) if warm else None,
    )
    cluster.barrier()  # the chief has written
    evaluate_test(features, training, run, cluster)
    print_dropped(bad_rows)
    cluster.barrier()  # a process that ends takes the others' collectives with it


def split(
    dataset: schema.Schema, bad_rows: BadRows, cluster: Cluster
) -> tuple[FunnelData, FunnelData]:
    """Training and validation rows: the valid files if there are any, otherwise a part of the training files."""
    files = find_files(flags.DATA_DIR.value, "train")
    training = FunnelData(
        files=files,
        schema=dataset,
        batch_size=flags.BATCH_SIZE.value,
        seed=flags.SEED.value,
        shuffle_rows=flags.SHUFFLE_ROWS.value,
        readers=flags.READERS.value or cluster.workers,
        bad_rows=bad_rows,
    )
    valid_files = find_files(flags.DATA_DIR.value, "valid", required=False)
    if valid_files:
        return training, dataclasses.replace(
            training, files=valid_files, holdout=Holdout(fraction=1.0)
        )
    fraction = flags.VALID_FRACTION.value
    holdout = Holdout(fraction=fraction)
    if flags.VALID_SPLIT.value == "time" and fraction:
        if not dataset.time:
            raise RunError("--valid_split=time needs a schema with a `time` column")
        holdout = time_holdout(files, dataset, fraction, bad_rows)
    training = dataclasses.replace(training, holdout=holdout)
    return training, training


def warm_start(run: RunDir) -> WarmStart | None:
    """What --warm_start asks for."""
    if not flags.WARM_START.value:
        return None
    restart = flags.WARM_GAMMA.value == "restart"
    return WarmStart(
        RunDir(flags.WARM_START.value),
        run,
        retire_after=flags.RETIRE_AFTER.value,
        restart_gamma=restart,
    )


def prepared_rows(run: RunDir, training: FunnelData, warm: WarmStart | None) -> int:
    """Number of rows in the training files; builds the run's vocabularies, or takes those that lie by the schema."""
    statistics, prepared = run.path / "statistics.json", pathlib.Path(flags.schema_file()).parent
    if warm:
        warm.grow(training.files, training.schema, training.bad_rows)
    elif not statistics.exists() and not vocabulary.reuse(
        training.files, training.schema, prepared, run.path
    ):
        vocabulary.build(training.files, training.schema, run.path, training.bad_rows)
    return int(json.loads(statistics.read_text(encoding="utf-8"))["rows"])


def build_model(features: Features, replicas: int = 1, parts: int = 1) -> models.FunnelModel:
    """The model that the flags ask for: each argument that has a flag of its name takes the flag's value."""
    made = models.BY_NAME[flags.MODEL.value]
    own = flags.model_arguments(
        [*inspect.signature(made.__init__).parameters, "embedding_stddev", "embedding_dtype"]
    )
    if flags.MODEL.value == "esm2":
        own["via"] = features.schema.via
    model = made(
        features.rows,
        len(features.schema.tasks),
        slots=features.slots,
        embedding_parts=parts,
        **own,
    )
    model.pieces = machine.pieces(flags.BATCH_SIZE.value // replicas)
    return model


def build_loss(model: models.FunnelModel, dataset: schema.Schema) -> FunnelLoss:
    """The loss that the flags ask for; what they leave open is the model's paper's."""
    asked = {
        "dependence_weight": flags.DEPENDENCE_WEIGHT.value,
        "order_weight": flags.ORDER_WEIGHT.value,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return model.paper_loss([task.weight for task in dataset.tasks], **given)


def learning_rate(steps: int, start: int) -> float | LinearDecay:
    """What --learning_rate and --learning_rate_decay ask for, from step `start` on; an epoch has `steps`."""
    rate = flags.LEARNING_RATE.value
    if flags.LEARNING_RATE_DECAY.value == "none":
        return rate
    return LinearDecay(rate, flags.EPOCHS.value * steps, start)


def evaluate_test(features: Features, training: FunnelData, run: RunDir, cluster: Cluster) -> None:
    """Writes and prints the metrics of the test rows, if there are any, with the weights that an export will have."""
    files = find_files(flags.DATA_DIR.value, "test", required=False)
    if not files:
        print(f"no test files in {flags.DATA_DIR.value}: no metrics.json")
        return
    data = dataclasses.replace(training, files=files, holdout=Holdout())
    model = run.load_best()
    model.pieces = machine.pieces(training.batch_size)
    rows = (
        Predictions(len(data.schema.tasks), data.schema.group)
        if flags.SAVE_PREDICTIONS.value
        else None
    )
    metrics = Evaluator(model, features, cluster).evaluate(data, also=rows.add if rows else None)
    metrics["parameters"] = model.count_params()
    predictions = cluster.gather(rows.arrays()) if rows else None
    if cluster.chief:
        write_json(run.path / "metrics.json", metrics)
        if predictions:
            write_arrays(run.path / "predictions.npz", predictions)
        print_metrics(metrics, training.schema, f"{training.schema.name}, test")
    predecessor.compare(run, metrics, data, cluster)


if __name__ == "__main__":
    app.run(main, argv=flags.flagfile_first(sys.argv))
