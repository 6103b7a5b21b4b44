"""An exported model on Ali-CCP's fields."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import keras
import tensorflow as tf

from benchmarks.support import ali_ccp_shape
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.formats.write import write
from tafe_tf.export import saved_model
from tafe_tf.features import vocabulary
from tafe_tf.training.run_dir import RunDir


def export(
    directory: pathlib.Path, spec: str = "tafe", fields: Mapping[str, int] = ali_ccp_shape.FIELDS
) -> pathlib.Path:
    """Makes a run of a model below `directory`, exports it, and returns the version's path.

    To come first in a process: it leaves operations one thread, as they have where a process only serves.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    data = directory / "data"
    dataset = ali_ccp_shape.write_schema(data, fields)
    write(data / "train.parquet", ali_ccp_shape.labelled(2000, fields=fields))
    run, files = RunDir(directory / "run"), [str(data / "train.parquet")]
    run.claim({}, "tafe", (data / "schema.toml").read_text(encoding="utf-8"))
    vocabulary.build(files, dataset, run.path, BadRows())
    keras.utils.set_random_seed(0)
    made = ali_ccp_shape.model(spec, fields)
    run.save_model_config(made)
    run.save_data(
        FunnelData(files=files, schema=dataset, batch_size=1024, holdout=Holdout(fraction=0.5)), []
    )
    run.best(made).save()
    return saved_model.export(run, directory / "export", 1)
