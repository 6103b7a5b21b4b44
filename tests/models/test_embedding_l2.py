"""`embedding_l2` in every model against its closed form."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from registry import MODELS, make

ROWS = [4, 3, 5]
IDS = np.array([[1, 2, 4], [3, 0, 0], [1, 1, 4], [0, 2, 2]])
WEIGHT = 0.25


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_mean_over_the_rows_of_the_squares_that_they_read(name: str) -> None:
    settings: dict[str, Any] = {"embedding_stddev": 1.0, "dropout": 0.5}
    model = make(name, ROWS, 3, dtype="float64", embedding_l2=WEIGHT, **settings)
    plain = make(name, ROWS, 3, dtype="float64", embedding_l2=0.0, **settings)
    tables = [np.array(layer.table) for layer in model.tables()]
    read = [np.array(rows) for rows in model.rows_read(IDS)]
    expected = 0.0
    for table, rows in zip(tables, read, strict=True):
        expected += WEIGHT * np.square(table[rows]).sum() / len(IDS)

    for pieces in (1, 3):
        model.pieces = plain.pieces = pieces
        with tf.GradientTape() as tape:
            model(IDS, training=True)
            plain(IDS, training=True)
            of_others = [float(loss) for loss in plain.losses]  # of gates or kernels, say
            losses = list(model.losses)
            penalty = sum(losses[: len(losses) - len(of_others)])
        assert float(penalty) == pytest.approx(expected, rel=1e-12)
        gradients = tape.gradient(penalty, [layer.table.value for layer in model.tables()])
        for gradient, table, rows in zip(gradients, tables, read, strict=True):
            times = np.bincount(rows.ravel(), minlength=len(table))[:, None]
            by_hand = 2 * WEIGHT * times * table / len(IDS)
            np.testing.assert_allclose(tf.convert_to_tensor(gradient), by_hand, rtol=1e-12)

    model(IDS)
    plain(IDS)
    assert len(model.losses) == len(plain.losses)  # it is of training alone


def test_half_precision_sums_in_full() -> None:
    policy = keras.DTypePolicy("mixed_bfloat16")
    model = make("tafe", ROWS, 3, embedding_l2=WEIGHT, embedding_stddev=1.0, dtype=policy)
    model(IDS, training=True)
    (loss,) = model.losses
    assert loss.dtype == tf.float32


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"`embedding_l2` must be 0 or more. Received: .*=-0.1"):
        make("tafe", ROWS, 3, embedding_l2=-0.1)
