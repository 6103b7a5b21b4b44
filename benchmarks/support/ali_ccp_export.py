"""An exported model with Ali-CCP's fields."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import tensorflow as tf

from benchmarks.support import ali_ccp_schema, ali_ccp_shape
from tafe_tf.data.formats.write import write
from tafe_tf.training.config import ModelConfig, TrainingConfig, constructor_arguments
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit

ROWS = 2000  # half of them to train on, for a step or two, and half to check the export with


def export(
    directory: pathlib.Path, spec: str = "tafe", fields: Mapping[str, int] = ali_ccp_shape.FIELDS
) -> pathlib.Path:
    """Trains a model for a moment on invented rows and exports it.

    Call this first in a process: it leaves each operation one thread, as in a process that only
    serves.

    Args:
        directory: A new directory for rows, run and export.
        spec: Which model, see `ali_ccp_shape.parse`; the paper's TAFE by default. What it leaves
            out is as in the constructor, and not as in a job.
        fields: Vocabulary sizes by field; the paper's 18 by default.

    Returns:
        The directory of the exported version.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    data_dir = directory / "data"
    ali_ccp_schema.write_schema(data_dir, fields)
    write(data_dir / "train.parquet", ali_ccp_shape.labelled(ROWS, fields=fields))
    name, given = ali_ccp_shape.parse(spec)
    of_the_paper = {
        argument: setting.default
        for argument, setting in constructor_arguments(name).items()
        if setting.default is not None
    }
    run = fit(
        DataConfig.in_directory(data_dir),
        directory / "run",
        model=ModelConfig(name=name, arguments={**of_the_paper, **given}),
        training=TrainingConfig(epochs=1, valid_fraction=0.5),
        verbose=False,
    )
    return run.export(directory / "export", version=1)
