"""Rows as a model's inputs, held in memory, so that they can be asked many times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tafe_tf import machine
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.stream import Stream
from tafe_tf.data.errors import DataError
from tafe_tf.data.hashing import of_places
from tafe_tf.features.graph import Features
from tafe_tf.training.noted_rows import EVALUATION_ROWS
from tafe_tf.training.predictions import Predictions

Arrays = dict[str, np.ndarray]
_STREAM = 7  # of the hashes that draw a sample, apart from those that draw other things


@dataclasses.dataclass(frozen=True)
class HeldRows:
    """Some rows.

    Attributes:
        inputs: What `Features` makes of them, [n, any] each.
        labels: What `Predictions.arrays` gives of them, with logits of 0.
    """

    inputs: Arrays
    labels: Arrays

    @property
    def count(self) -> int:
        """Number of rows, n."""
        return len(self.labels["depth"])

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        arrays = [*self.inputs.values(), *self.labels.values()]
        return sum(array.nbytes for array in arrays)

    def take(self, which: np.ndarray) -> HeldRows:
        """Some of them, by their numbers."""
        return HeldRows(
            {name: values[which] for name, values in self.inputs.items()},
            {name: values[which] for name, values in self.labels.items()},
        )


def read(data: FunnelData, features: Features, most: int = 0) -> HeldRows:
    """Reads rows with their labels.

    Args:
        data: The rows.
        features: The feature graph.
        most: At most so many rows are held, and twice as many and a batch while reading: those
            whose places in the files have the smallest hashes, a sample that is the same each time.
            Default: 0, all rows.

    Returns:
        The rows in the order of the files.

    Raises:
        DataError: On a bad file or row, or if there is no row.
    """
    stream = Stream(lambda: data.evaluation_batches("all"), data.schema, "all", features)
    parts: list[tuple[np.ndarray, HeldRows]] = []
    held = 0
    try:
        for batch in stream.dataset:
            arrays = tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
            key = of_places(arrays.file, arrays.row, stream=_STREAM)
            parts.append((key, _as_held(arrays, data)))
            held += len(key)
            if most and held > 2 * most:
                parts = [_smallest(parts, most)]
                held = most
    except tf.errors.OpError as error:
        stream.reraise(error)
    if not held:
        names = ", ".join(str(file) for file in data.files)
        raise DataError(f"{names}: no row")
    _, rows = _smallest(parts, most or held)
    return rows


def _as_held(batch: Batch, data: FunnelData) -> HeldRows:
    none = np.zeros((len(batch.labels), len(data.schema.tasks)), np.float32)
    labels = Predictions(data.schema, keeps_group=True, keeps_amount=False)
    labels.add(none, batch)
    return HeldRows(dict(batch.inputs), labels.arrays())


def _smallest(
    parts: list[tuple[np.ndarray, HeldRows]],
    most: int,
) -> tuple[np.ndarray, HeldRows]:
    """Joins parts, and keeps the rows with the smallest keys, in their order."""
    keys = np.concatenate([key for key, _ in parts])
    rows = HeldRows(
        _joined([rows.inputs for _, rows in parts]),
        _joined([rows.labels for _, rows in parts]),
    )
    if len(keys) <= most:
        return keys, rows
    first = np.argpartition(keys, most)[:most]
    which = np.sort(first)
    return keys[which], rows.take(which)


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def predictor(
    model: keras.Model,
    num_tasks: int,
    batch_size: int = EVALUATION_ROWS,
) -> Callable[[Arrays], np.ndarray]:
    """Makes the function from a model's inputs to its logits, [n, any] each -> float32 [n, N].

    Args:
        model: The model.
        num_tasks: Length of the funnel, N.
        batch_size: Number of rows that go through the model together. The default is 4,096.
    """
    model.pieces = machine.pieces(batch_size)

    @tf.function(reduce_retracing=True, autograph=False)
    def outputs(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return model(inputs, training=False)

    def predict(inputs: Arrays) -> np.ndarray:
        parts = []
        count = len(inputs["ids"])
        for start in range(0, count, batch_size):
            batch = {
                name: tf.constant(values[start : start + batch_size])
                for name, values in inputs.items()
            }
            parts.append(outputs(batch).numpy()[:, :num_tasks])
        return np.concatenate(parts)

    return predict
