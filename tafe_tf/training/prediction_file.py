"""Predictions of rows as a Parquet file: keys, labels and probabilities by their names."""

from __future__ import annotations

import os
from collections.abc import Sequence

import keras
import numpy as np
import pyarrow as pa

from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.in_memory import write_parquet
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import UNKNOWN, Schema
from tafe_tf.training.evaluator import Evaluator


def write_predictions(
    path: str | os.PathLike[str],
    evaluator: Evaluator,
    data: FunnelData,
    keys: Sequence[str] = (),
) -> int:
    """Writes what a model predicts of rows, a row each, in the order of the files.

    Args:
        path: Of the file to write, or its URI. It appears whole or not at all.
        evaluator: The model's.
        data: The rows.
        keys: Columns to copy, of the schema or not, with one value a row. Default: none.

    Returns:
        The number of rows.

    Raises:
        DataError: On a bad file or row, or if a key has the name of a label or of an output, or
            holds lists.
    """
    schema = data.schema
    own = {*schema.labels, *schema.output_names}
    twice = sorted(own & set(keys))
    if twice:
        raise DataError(f"{path}: {', '.join(twice)}: is written in any case, and can be no key")
    parts: list[dict[str, pa.Array]] = []

    def add(outputs: np.ndarray, batch: Batch) -> bool:
        parts.append({**_labels(batch, schema), **_probabilities(outputs, schema)})
        return True

    evaluator.predict(data, "all", add)
    table = pa.concat_tables(pa.table(part) for part in parts)
    copied = data.kept_columns(keys) if keys else pa.table({})
    for place, name in enumerate(keys):
        table = table.add_column(place, name, copied[name])
    write_parquet(str(path), table)
    return int(table.num_rows)


def _labels(batch: Batch, schema: Schema) -> dict[str, pa.Array]:
    """The labels of each step, null where they are unknown."""
    found = {}
    for i, name in enumerate(schema.labels):
        labels = batch.labels[:, i].astype(np.int8)
        found[name] = pa.array(labels, mask=labels == UNKNOWN)
    return found


def _probabilities(outputs: np.ndarray, schema: Schema) -> dict[str, pa.Array]:
    """What an export answers."""
    tensor = keras.ops.convert_to_tensor(outputs)
    served = probabilities(tensor, schema)
    return {name: pa.array(keras.ops.convert_to_numpy(p)) for name, p in served.items()}
