"""The rows of a trained table as rows of a file: ids and their vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import pyarrow as pa

from tafe_tf.features import vocabulary
from tafe_tf.features.pretrained import (
    ID,
    OF_MISSING,
    OF_UNSEEN,
    OF_VALUE,
    ROW_OF,
    VECTOR,
)
from tafe_tf.schema import FIRST, Feature
from tafe_tf.training.errors import RunError
from tafe_tf.training.run_dir import RunDir


def rows_of_field(run: RunDir, name: str, table: int = 0) -> pa.Table:
    """The rows of one field of a run, with its best weights.

    Args:
        run: The run.
        name: The field's name. One that uses another one's rows (`shares`) has these.
        table: Which of the model's tables, from 0: a single-task model has one for each task.
            Default: 0.

    Returns:
        A table with the columns "id", "row_of" and "vector", a list of d float32 numbers. The id is
        the value as the field's column holds it, of kind "hash", "log_round" and "quantile" its
        bucket; it is null in the first two rows, whose "row_of" is "unseen" and "missing" in place
        of "value". Half precision is written as float32, to the bit.

    Raises:
        RunError: If the run holds no trained model, or its model no such table or field; the fields
            are then listed.
        ManifestError: If the run's files are not those that it has written.

    Example: see `tafe_tf.training.run.Run.embeddings`.
    """
    run.check_trained()
    features = run.schema().id_features  # the other fields have no rows
    names = [feature.name for feature in features]
    if name not in names:
        raise RunError(f"{run}: there is no field with rows {name!r}; there are {', '.join(names)}")
    place = names.index(name)
    feature = features[place]
    embeddings = list(run.load_best().embeddings_of_model())
    if not 0 <= table < len(embeddings):
        rule = f"must be 0 to {len(embeddings) - 1}, the model's tables"
        raise RunError(f"{run}: table {rule}. Received: {table}")
    layer, first = embeddings[table].rows_of(place)
    end = first + run.features().rows[place]
    stored = keras.ops.convert_to_numpy(layer.table)[first:end]
    vectors = np.ascontiguousarray(stored, np.float32)
    flat = pa.array(vectors.reshape(-1))
    values = list(_values(run, feature))
    marks = [OF_UNSEEN, OF_MISSING, *[OF_VALUE] * len(values)]
    return pa.table(
        {
            ID: pa.array([None] * FIRST + values, _id_type(feature)),
            ROW_OF: pa.array(marks),
            VECTOR: pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )


def _values(run: RunDir, feature: Feature) -> Iterable[Any]:
    """What the rows of values are of, in their order."""
    if feature.kind == "vocabulary":
        texts = vocabulary.read(run.path, feature)
        return texts if feature.dtype == "string" else map(int, texts)
    count = feature.rows() - FIRST
    if feature.kind == "log_round":
        return range(-feature.largest_bucket, feature.largest_bucket + 1)
    return range(count)


def _id_type(feature: Feature) -> pa.DataType:
    is_text = feature.kind == "vocabulary" and feature.dtype == "string"
    return pa.string() if is_text else pa.int64()
