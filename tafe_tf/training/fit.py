"""The job as a function: rows, a schema and settings in, a finished run out.

Commands, notebooks, tests and benchmarks all make runs by `fit`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from tafe_tf import memory, schema_toml
from tafe_tf.data.atomic import write_arrays, write_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.unseen import UnseenIds, untrained_fields
from tafe_tf.data.shards import lifecycle
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features import pretrained
from tafe_tf.features.graph import Features
from tafe_tf.features.table_size import RowSize, check_known_table, check_table
from tafe_tf.native import stack
from tafe_tf.optimizers import LazyAdam
from tafe_tf.storage import input_cache
from tafe_tf.storage.addresses import must_be_local
from tafe_tf.storage.texts import read_text
from tafe_tf.terminal.field_shares import print_field_metrics, print_unseen
from tafe_tf.terminal.tables import print_dropped, print_metrics, print_unknown
from tafe_tf.training import balancing as balancings
from tafe_tf.training import delays as laws_of_delay
from tafe_tf.training import identity, predecessor
from tafe_tf.training.build import (
    build_loss,
    build_model,
    learning_rate,
    with_gamma_decay,
)
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.deep_units import with_deep_units
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.intercepts import log_odds
from tafe_tf.training.job_rows import (
    check_held_out,
    check_kept,
    is_validated,
    keep_rows,
    kept_share,
    named,
    prepare,
    split,
)
from tafe_tf.training.loop import Trainer
from tafe_tf.training.noted_files import IMPORTANCE, OF_THE_END, PROFILE, SLICES
from tafe_tf.training.predictions import Predictions
from tafe_tf.training.run import Run
from tafe_tf.training.run_dir import RunDir
from tafe_tf.training.score_profile import ScoreProfile, write_scores
from tafe_tf.training.starts import assign
from tafe_tf.training.warm_start import WarmStart


def fit(
    data: DataConfig,
    run_dir: str | pathlib.Path,
    *,
    model: ModelConfig | None = None,
    training: TrainingConfig | None = None,
    cluster: Cluster | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
) -> Run:
    """Trains a model, evaluates it on the test rows and leaves a run directory.

    Called again with the same arguments it goes on from where it was killed, and ends with the same
    weights. Every process of a cluster must call it; the chief alone writes and prints. It sets
    Keras's global seed.

    Args:
        data: The rows and their schema.
        run_dir: The directory of the run, made if it is not there, or the URI of one in a store.
            Rows in memory are kept in it, as Parquet files in `rows/`, so that the run can be
            resumed, evaluated and exported later.
        model: Which model; by default TAFE with a job's defaults, see `ModelConfig`.
        training: How to train it; by default the defaults of `TrainingConfig`.
        cluster: The processes that train together; by default this one.
        callbacks: Keras callbacks, see `Trainer`.
        verbose: Whether to print epochs, metrics and dropped rows. The default is True.

    Raises:
        DataError: On a bad file or row.
        RunError: If the directory holds another run, or this one with other rows.
        ManifestError: If files of the run hold something else than the run has written.
        LockError: If another process trains in it.
        NotFiniteError: If the loss is not finite.
        Preempted: After a SIGTERM, once a checkpoint is written.
        StoreError: If the directory is in a store that does not take it.
    """
    model = model or ModelConfig()
    training = _with_decay(training or TrainingConfig(), data)
    cluster = cluster or Cluster()
    run = RunDir(run_dir)
    warm = _check(data, model, training, run, cluster)
    available = None if cluster.servers else memory.available()  # servers share the table
    check_known_table(data.schema, _row_size(model), available)
    must_be_local(training.cache_dir, "cache_dir")
    with contextlib.ExitStack() as stack:
        stack.enter_context(input_cache.kept_in(training.cache_dir))
        if not (verbose and cluster.chief):
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        if cluster.chief:
            stack.enter_context(run.locked())
            run.forget_failed_start(data.schema_file)
        return _fit(
            data,
            run,
            model,
            training,
            cluster,
            callbacks,
            warm,
        )


def _with_decay(config: TrainingConfig, data: DataConfig) -> TrainingConfig:
    """The settings with a learning rate that falls by itself where no validation says when."""
    if config.learning_rate_decay != "plateau" or is_validated(config, data):
        return config
    return dataclasses.replace(config, learning_rate_decay="linear")


def _check(
    data: DataConfig,
    model: ModelConfig,
    config: TrainingConfig,
    run: RunDir,
    cluster: Cluster,
) -> WarmStart | None:
    """Finds before anything is written that settings and schema go together.

    Returns:
        What the run takes from an earlier one, if it goes on from one.
    """
    check_held_out(data, config)
    if not run.has_trained:
        dim = model.all_arguments()["embedding_dim"]
        pretrained.check_first_rows(data.schema, data.schema_file, dim)
    if run.is_remote and (cluster.workers > 1 or cluster.servers):
        raise RunError(
            f"{run}: --run_dir must be a directory that all processes of a cluster share; in a "
            "store one process trains"
        )
    if cluster.servers and config.loss_balancing != "none":
        raise RunError(
            "--loss_balancing must be none on parameter servers, whose workers do not step "
            f"together. Received: {config.loss_balancing}"
        )
    laws_of_delay.check(config, data.schema, model.name, bool(cluster.servers))
    if not config.warm_start:
        return None
    previous = RunDir(config.warm_start)
    previous.fetch()
    warm = WarmStart(
        previous,
        run,
        retire_after=config.retire_after,
        restart_gamma=config.warm_gamma == "restart",
    )
    warm.check_schema(data.schema)
    return warm


def _fit(
    data: DataConfig,
    run: RunDir,
    model_config: ModelConfig,
    config: TrainingConfig,
    cluster: Cluster,
    callbacks: Sequence[keras.callbacks.Callback],
    warm: WarmStart | None,
) -> Run:
    bad_rows = BadRows(config.on_bad_row, config.max_bad_rows)
    if warm:
        bad_rows = warm.bad_rows(bad_rows)
    cluster.first(lambda: _claim(run, data, model_config, config))
    data = cluster.first(lambda: keep_rows(run, data))
    rows, validation = split(data, config, cluster, bad_rows)
    prepared = cluster.first(lambda: prepare(run, rows, data.schema_file, warm))
    starts = _read_starts(run, data, model_config)
    if cluster.chief and starts:
        pretrained.note_coverage(run.path / "statistics.json", starts)
        of_new = "; only new ones start from it" if warm else ""
        for start in starts:
            print(f"{start}{of_new}", flush=True)
    cluster.barrier()
    if cluster.chief:
        run.files.begin(run.has_trained)
    print_unseen(run.statistics().get("unseen", {}))
    print_unknown(run.statistics())
    check_kept(run.statistics(), config)
    rows = dataclasses.replace(rows, unseen=_unseen(run, config))
    trained_on = round(prepared * rows.holdout.training_share * kept_share(run, config))
    steps = max(trained_on // config.batch_size, 1)

    features = run.features()
    tasks = [task.name for task in data.schema.tasks]
    available = None if cluster.servers else memory.available()
    check_table(data.schema, features.rows, _row_size(model_config), available)
    keras.utils.set_random_seed(config.seed)
    with cluster.strategy.scope(), _dtype_policy(config.dtype_policy):
        parts = config.embedding_parts or max(cluster.servers, 1)
        scheduled = with_gamma_decay(model_config, config, steps)
        earlier = warm.previous.model_config()["config"] if warm else None
        sized = with_deep_units(scheduled, trained_on, earlier)
        model = build_model(sized, features, parts)
        rate = learning_rate(config, steps, warm.iterations if warm else 0)
        optimizer = LazyAdam(rate, static_shapes=cluster.is_tpu)
        balancing = balancings.make(config, tasks, run.statistics()["rate"])
        delays = laws_of_delay.make(config, data.schema)
    way = stack.use(model, config.native, servers=cluster.servers)
    if cluster.chief:
        print(way, flush=True)
        if not run.has_trained:
            run.save_model_config(model)
            run.files.note("model.json")
        run.rows.save(validation, data.inputs())
    trainer = Trainer(
        model,
        features,
        cluster,
        optimizer=optimizer,
        loss=build_loss(model, data.schema, config, balancing, delays),
        config=config,
        run=run,
        balancing=balancing,
        delays=delays,
        callbacks=callbacks,
    )

    def begin() -> None:
        assign(model, starts)
        if warm:  # what it knows of a value wins
            warm.load(model, optimizer)
            if delays:
                warm.load_delays(delays)
            return
        statistics = run.statistics()
        if config.start_at_rates:
            rates = statistics["rate"].values()
            model.shift_logits(log_odds(list(rates), model.products))
        amount = statistics.get("amount", {})
        if amount.get("rows"):
            model.start_amount(amount["mean_log"], amount["deviation_log"])

    trainer.fit(rows, validation, steps=steps, begin=begin)
    if balancing:
        print(f"weights that balance the tasks: {balancing.shown(tasks)}", flush=True)
    if delays:
        print(f"mean delays: {delays.shown(tasks)}", flush=True)
    cluster.barrier()  # the chief has written
    trained = run.load_best()
    stack.use(trained, config.native)
    if cluster.chief:
        run.save_keras(trained)
    scores = ScoreProfile(data.schema)
    scored = "test rows" if data.test else "held-out rows"
    _evaluate_test(trained, features, data, rows, run, config, cluster, scores)
    if not data.test and is_validated(config, data):
        Evaluator(trained, features, cluster).predict(validation, "valid", scores.add)
    deciles = scores.gathered(cluster)
    if cluster.chief:
        write_scores(run.path / PROFILE, deciles, scored)
        run.files.note(*OF_THE_END)
    print_dropped(bad_rows)
    cluster.barrier()  # a process that ends takes the others' collectives with it
    return Run(run)


def _claim(
    run: RunDir,
    data: DataConfig,
    model: ModelConfig,
    config: TrainingConfig,
) -> None:
    """Makes the directory this run's own, or finds that it already is."""
    if not run.has_trained:
        files = itertools.chain(*data.files().values())
        lifecycle.check_shards(files)
    flags = {
        "data_dir": data.data_dir,
        "schema": data.schema_file,
    }
    comments = {}
    if not data.data_dir:
        for name, rows in data.splits():
            comments[name] = named(rows)
    lines = identity.lines_of(
        model,
        config,
        flags=flags,
        comments=comments,
    )
    schema_text = schema_toml.dump(data.schema)
    if data.schema_file:
        schema_text = read_text(data.schema_file)
    run.claim(
        lines,
        model.name,
        schema_text,
        data.inputs(),
        config.accept_changed_input,
    )


def _read_starts(run: RunDir, data: DataConfig, model: ModelConfig) -> list[pretrained.Start]:
    """The vectors that rows start from; none in a run that has begun."""
    if run.has_trained:
        return []
    dim = model.all_arguments()["embedding_dim"]
    return pretrained.read_all(data.schema, data.schema_file, run.path, dim)


def _unseen(run: RunDir, config: TrainingConfig) -> UnseenIds:
    """Which ids training takes for those of unseen values."""
    seen = run.statistics().get("unseen", {})
    fields = untrained_fields(run.schema(), seen)
    return UnseenIds(share=config.unseen_share, fields=tuple(fields))


def _row_size(model: ModelConfig) -> RowSize:
    """What a row of the model's embedding table takes."""
    arguments = model.all_arguments()
    return RowSize(dim=arguments["embedding_dim"], dtype=arguments["embedding_dtype"])


@contextlib.contextmanager
def _dtype_policy(policy: str) -> Iterator[None]:
    """Makes a Keras dtype policy the default while a model is made."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _evaluate_test(
    model: keras.Model,
    features: Features,
    data: DataConfig,
    training: FunnelData,
    run: RunDir,
    config: TrainingConfig,
    cluster: Cluster,
    scores: ScoreProfile,
) -> None:
    """Writes and prints the metrics of the test rows, if there are any, and counts their scores."""
    if not data.test:
        where = f" in {data.data_dir}" if data.data_dir else ""
        print(f"no test files{where}: no metrics.json")
        return
    rows = dataclasses.replace(
        training,
        files=list(data.test),
        holdout=Holdout(),
    )
    schema = data.schema
    seen = Predictions(schema, keeps_group=True)

    def also(outputs: np.ndarray, batch: Batch) -> bool:
        if config.save_predictions:
            seen.add(outputs, batch)
        return scores.add(outputs, batch)

    evaluator = Evaluator(model, features, cluster)
    metrics = evaluator.evaluate(rows, also=also, of_fields=True)
    metrics["parameters"] = model.count_params()
    predictions = None
    if config.save_predictions:
        predictions = cluster.gather(seen.arrays())
    if cluster.chief:
        for name in (SLICES, IMPORTANCE):  # of weights that may be others now
            (run.path / name).unlink(missing_ok=True)
        write_json(run.path / "metrics.json", metrics)
        if predictions is not None:
            write_arrays(run.path / "predictions.npz", predictions)
        print_metrics(metrics, data.schema, f"{data.schema.name}, test")
        print_field_metrics(metrics, run.statistics(), "values of the test rows")
    predecessor.compare(run, metrics, rows, cluster)
