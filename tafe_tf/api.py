"""The Python API: from a table in memory, or from files, to a trained run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tafe_tf import machine, schema_toml
from tafe_tf.schema import Schema
from tafe_tf.training import fit as job
from tafe_tf.training.callbacks import check_callbacks
from tafe_tf.training.config import ModelConfig, TrainingConfig, model_arguments
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.run import Run, as_rows


def fit(
    schema: Schema | str | os.PathLike[str] | Mapping[str, Any],
    *,
    train: Any,
    valid: Any = None,
    test: Any = None,
    model: str = "tafe",
    run_dir: str | os.PathLike[str],
    input_format: str = "",
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] = (),
    verbose: bool = True,
    **settings: Any,
) -> Run:
    """Trains a model on a funnel, evaluates it on the test rows and leaves a run directory.

    Called again with the same arguments it goes on from where it was interrupted, and ends with the
    same weights, to the bit; a finished run is opened. Rows in memory and the same rows in a file
    end with the same weights.

    Args:
        schema: What the columns are: a `Schema`, the path of a TOML file, or a dict with the keys
            of such a file.
        train: The training rows: a pandas or Polars DataFrame, a pyarrow Table, a dict of arrays or
            lists by column, or files: a path, a directory or a pattern such as
            "log/dt=2026-11-{18..24}/*.parquet", or a list of these, see
            `tafe_tf.data.formats.patterns.find_sources`.
        valid: The rows for early stopping, given in the same ways. By default a tenth of the
            training rows is held out.
        test: The rows that the finished model is evaluated on. By default there are none, and no
            metrics.
        model: The architecture, a key of `tafe_tf.models.BY_NAME`. The default is "tafe".
        run_dir: The directory of the run, made if it is not there, or the URI of one in a store,
            such as "s3://shop/runs/today". Rows in memory are kept in it, in `rows/`.
        input_format: The format of files whose names have no ending, such as part-00000: "csv",
            "parquet", "orc" or "tfrecord". By default such files are passed over.
        callbacks: Keras callbacks, or one. They see epochs, batches (one for each call of several
            steps) and metrics ("loss", "val_auc/ctr", ...) as logs, and may stop the training.
        verbose: Whether to print epochs and metrics. The default is True.
        **settings: Fields of `tafe_tf.training.config.TrainingConfig`, such as `epochs` or
            `batch_size`, and arguments of the model, such as `num_layers` or `dropout`. What is
            left out has its default.

    Returns:
        The run: `run.metrics`, `run.history`, `run.model`, `run.predict(rows)`,
        `run.evaluate(rows)`, `run.export(dir)`.

    Raises:
        TypeError: For a setting that neither training nor the model has, or what is no callback.
        ValueError: For a setting that cannot be used.
        DataError: For rows that cannot be used, naming row, column and value.
        SchemaError: For a schema that cannot be used.
        RunError: If the directory holds another run.
        ManifestError: If the run's files are not those that it has written.
        LockError: If another process writes in the directory.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import tafe_tf
        >>> rng = np.random.default_rng(0)
        >>> click = rng.integers(0, 2, 500)
        >>> rows = {
        ...     "user": rng.integers(0, 20, 500),
        ...     "click": click,
        ...     "buy": click * rng.integers(0, 2, 500),
        ... }
        >>> schema = {
        ...     "name": "shop",
        ...     "tasks": [{"name": "click"}, {"name": "buy"}],
        ...     "features": [{"name": "user", "kind": "integer", "size": 20}],
        ... }
        >>> run = tafe_tf.fit(
        ...     schema,
        ...     train=rows,
        ...     model="shared_bottom",
        ...     run_dir=tempfile.mkdtemp(),
        ...     epochs=1,
        ...     batch_size=100,
        ...     verbose=False,
        ... )
        >>> sorted(run.predict(rows))
        ['ctcvr', 'ctr', 'cvr']
    """
    if isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks]
    check_callbacks(callbacks)
    training, model_settings = _sorted_settings(model, settings)
    read_schema = _schema(schema)
    data = DataConfig(
        schema=read_schema,
        train=as_rows(train, "train", read_schema, input_format),
        valid=() if valid is None else as_rows(valid, "valid", read_schema, input_format),
        test=() if test is None else as_rows(test, "test", read_schema, input_format),
        schema_file=os.fspath(schema) if isinstance(schema, str | os.PathLike) else "",
    )
    machine.set_threads(training.batch_size)
    machine.keep_freed_memory()
    return job.fit(
        data,
        os.fspath(run_dir),
        model=ModelConfig(name=model, arguments=model_settings),
        training=training,
        callbacks=callbacks,
        verbose=verbose,
    )


def _schema(schema: Schema | str | os.PathLike[str] | Mapping[str, Any]) -> Schema:
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, Mapping):
        return schema_toml.parse(schema)
    if not isinstance(schema, str | os.PathLike):
        raise TypeError(
            f"schema must be a Schema, the path of a TOML file or a dict. Received: {schema!r}"
        )
    return schema_toml.load(os.fspath(schema))


def _sorted_settings(model: str, given: Mapping[str, Any]) -> tuple[TrainingConfig, dict[str, Any]]:
    """The settings of training, and those of the model."""
    of_training = {field.name for field in dataclasses.fields(TrainingConfig)}
    of_model = set(model_arguments(ModelConfig(name=model).name))
    unknown = sorted(set(given) - of_training - of_model)
    if unknown:
        raise TypeError(
            f"fit() got unexpected settings {', '.join(unknown)}. "
            f"Training takes {', '.join(sorted(of_training))}; "
            f"model {model!r} takes {', '.join(sorted(of_model))}."
        )
    training = {name: value for name, value in given.items() if name in of_training}
    of_the_model = {name: value for name, value in given.items() if name not in of_training}
    return TrainingConfig(**training), of_the_model
