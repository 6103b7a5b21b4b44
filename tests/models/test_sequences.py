"""Every model with a field that the candidate reads out of a history."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from marks import all_slow_but
from registry import MODELS, make, randomize

from tafe_tf.layers import FusedEmbedding
from tafe_tf.models import FunnelModel
from tafe_tf.optimizers import LazyAdam

ROWS, SLOTS, N, B = [5, 5, 3], [1, 3, 1], 3, 6  # an item, a history of its rows, and an hour
SEQUENCE: dict[str, Any] = {"kind": "sequence", "features": [1], "query": [0]}
MASK = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]])


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = np.repeat(ROWS, SLOTS)
    ids = (rng.random((B, len(sizes))) * sizes).astype(np.int32)
    weights = np.ones(ids.shape, np.float32)
    weights[:, 1:4] = MASK
    return {"ids": ids, "weights": weights}


def made(name: str, attention: str = "din", **arguments: Any) -> FunnelModel:
    encoders = [{**SEQUENCE, "attention": attention}]
    return make(name, ROWS, N, slots=SLOTS, shares=[0, 0, 2], encoders=encoders, **arguments)


@pytest.mark.parametrize("name", all_slow_but({"tafe", "single_task", "esmm"}, MODELS))
def test_every_model_learns_from_it_and_is_saved(name: str, tmp_path: pathlib.Path) -> None:
    model = randomize(made(name))
    assert model.num_fields == 3  # item, hour, history
    given = inputs()
    with tf.GradientTape() as tape:
        logits = model(given, training=True)
        loss = tf.reduce_sum(tf.square(logits[:, :N]))
    variables = [variable.value for variable in model.trainable_variables]
    gradients = tape.gradient(loss, variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        if "sequence" in variable.path or variable.name == "table":
            assert np.abs(np.array(tf.convert_to_tensor(gradient))).max() > 0, variable.path
    for schedule in model.schedules():
        schedule.step.assign(0)
    before = np.array(model(given))
    other = {**given, "ids": given["ids"].copy()}
    other["ids"][:, 1:4] = (other["ids"][:, 1:4] + 1) % 5
    changed = np.abs(np.array(model(other)) - before).max(axis=1)
    is_empty = MASK.sum(axis=1) == 0
    assert (changed[is_empty] == 0).all() and (changed[~is_empty] > 1e-4).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(given), before)
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize("attention", ["din", "dot", "transformer"])
def test_lazy_adam_changes_the_rows_that_a_batch_read(attention: str) -> None:
    model = made("tafe", attention)
    (table,) = (layer.table for layer in model.tables())
    before = table.numpy()
    given = inputs()
    given["ids"][:, 0:4] = np.minimum(given["ids"][:, 0:4], 2)  # rows 3 and 4 are not read
    (read,) = model.rows_read(given)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(given, training=True)))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    LazyAdam(0.1).apply(gradients, variables)
    changed = np.flatnonzero(np.abs(table.numpy() - before).max(axis=1))
    assert set(changed) <= set(np.unique(read)) and len(changed) >= 4
    assert not {3, 4} & set(changed)


def test_parts_and_half_precision() -> None:
    given = inputs()
    whole = randomize(made("tafe", dtype="float64"))
    parts = made("tafe", dtype="float64", embedding_parts=2)
    tables = np.split(whole.tables()[0].table.numpy(), [5])
    others = [w for w in whole.get_weights() if w.shape != (8, 4)]
    order = iter(others)
    of_parts = iter(tables)
    parts.set_weights([next(of_parts) if v.name == "table" else next(order) for v in parts.weights])
    np.testing.assert_allclose(parts(given), whole(given), rtol=1e-12, atol=1e-12)
    half = made("tafe", embedding_dtype="bfloat16")
    assert {layer.table.dtype for layer in half.tables()} == {"bfloat16"}
    assert np.isfinite(np.array(half(given))).all()
    pieces = randomize(made("tafe", dtype="float64"))
    pieces.pieces = 3
    np.testing.assert_allclose(pieces(given), whole(given), rtol=1e-12, atol=1e-12)


def test_a_model_without_encoders_is_saved_as_before_there_were_any() -> None:
    model = make("tafe", ROWS, N)
    assert "encoders" not in model.get_config()
    assert type(model.embedding) is FusedEmbedding
    assert "encoders" in made("tafe").get_config()


def test_keras_exports_it_and_checks_its_ids(tmp_path: pathlib.Path) -> None:
    model = randomize(made("esmm"))
    given = inputs()
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.serve(given), model(given), rtol=1e-5, atol=2e-5)
    given["ids"][2, 3] = 5
    model.field_names = ["item", "history", "hour"]
    with pytest.raises(ValueError, match=r"row 3: an id of field 'history' must be from 0 to 4"):
        model(given)
