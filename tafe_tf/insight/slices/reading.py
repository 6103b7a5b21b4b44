"""The slices of a run's rows: predictions and columns read, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from tafe_tf.data.batches.batch import Part
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.errors import DataError
from tafe_tf.features.graph import Features
from tafe_tf.insight.slices.measured import Rows
from tafe_tf.insight.slices.values import Slicing, slicing_of
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.predictions import Predictions


def predicted(
    model: keras.Model,
    features: Features,
    data: FunnelData,
    part: Part = "all",
) -> Rows:
    """What a model predicts of rows, and their labels; see `Predictions.arrays`.

    Args:
        model: The model, or a function of its inputs.
        features: Its feature graph.
        data: The rows.
        part: "train", "valid" or "all". Default: "all".

    Raises:
        DataError: On a bad file or row.
    """
    seen = Predictions(data.schema, keeps_group=True)
    Evaluator(model, features).predict(data, part, seen.add)
    return seen.arrays()


def slicings_by(
    data: FunnelData,
    columns: Sequence[str],
    part: Part = "all",
) -> list[Slicing]:
    """Divides rows by the values of columns.

    Args:
        data: The rows.
        columns: Columns of one value a row, of the schema or not.
        part: "train", "valid" or "all". Default: "all".

    Raises:
        DataError: If a column is not there, or holds lists.
    """
    try:
        table = data.kept_columns(columns, part)
    except ValueError as error:
        lists = [column.name for column in data.schema.columns if column.max_length]
        names = ", ".join(repr(name) for name in sorted(set(columns) & set(lists)))
        if not names:
            raise
        raise DataError(f"column {names} holds lists, by which rows cannot be divided") from error
    return [slicing_of(name, table[name], data.schema.missing) for name in columns]
