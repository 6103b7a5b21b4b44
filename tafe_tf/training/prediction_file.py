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


class PredictionFile:
    """What a model predicts of rows, collected in the order of the batches, for a Parquet file.

    Args:
        path: Of the file, or its URI.
        schema: Of the rows.
        keys: Columns to copy, of the schema or not, with one value a row. Default: none.

    Raises:
        DataError: If a key has the name of a label or of an output.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: Schema,
        keys: Sequence[str] = (),
    ) -> None:
        own = {*schema.labels, *schema.output_names}
        twice = sorted(own & set(keys))
        if twice:
            raise DataError(
                f"{path}: {', '.join(twice)}: is written in any case, and can be no key"
            )
        self._path = str(path)
        self._schema = schema
        self._keys = list(keys)
        self._parts: list[dict[str, pa.Array]] = []

    def add(self, outputs: np.ndarray, batch: Batch) -> bool:
        """Adds a batch; always true, so that `Evaluator.predict` goes on."""
        labels = _labels(batch, self._schema)
        self._parts.append({**labels, **_probabilities(outputs, self._schema)})
        return True

    def write(self, data: FunnelData) -> int:
        """Writes the file, which appears whole or not at all.

        Args:
            data: The rows, of which the keys are read.

        Returns:
            The number of rows.

        Raises:
            DataError: On a bad file or row.
        """
        table = pa.concat_tables(pa.table(part) for part in self._parts)
        copied = data.kept_columns(self._keys) if self._keys else pa.table({})
        for place, name in enumerate(self._keys):
            table = table.add_column(place, name, copied[name])
        write_parquet(self._path, table)
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
