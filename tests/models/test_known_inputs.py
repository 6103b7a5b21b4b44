"""`keras.Model.export` of every model, after `fit` and before any call, loaded without Keras."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from marks import all_slow_but
from registry import MODELS, make

ROWS, N, COUNT = [4, 9, 5], 2, 64


def rows(lists: bool) -> Any:
    """Ids of three fields, the second of which may hold lists of two."""
    rng = np.random.default_rng(0)
    fields = [0, 1, 1, 2] if lists else [0, 1, 2]
    ids = np.stack([rng.integers(0, ROWS[field], COUNT) for field in fields], axis=1)
    ids = ids.astype(np.int32)
    if not lists:
        return ids
    weights = rng.uniform(0, 1, ids.shape).astype(np.float32)
    return {"ids": ids, "weights": weights}


def check(model: keras.Model, inputs: Any, path: pathlib.Path) -> None:
    """The artifact answers one row and many as the model does."""
    model.export(path, verbose=False)
    loaded = tf.saved_model.load(str(path))
    for count in (1, COUNT):
        some = tf.nest.map_structure(lambda values, count=count: values[:count], inputs)
        expected = model.predict(some, verbose=0)
        np.testing.assert_allclose(np.array(loaded.serve(some)), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", all_slow_but({"esm2+action"}, MODELS))
def test_export_after_fit(name: str, tmp_path: pathlib.Path) -> None:
    export_after_fit(name, False, tmp_path)


@pytest.mark.parametrize("name", ["tafe", "esm2+action"])
def test_export_of_lists_after_fit(name: str, tmp_path: pathlib.Path) -> None:
    export_after_fit(name, True, tmp_path)


def export_after_fit(name: str, lists: bool, tmp_path: pathlib.Path) -> None:
    model = make(name, ROWS, N, slots=[1, 2, 1] if lists else None, embedding_stddev=0.5)
    inputs = rows(lists)
    depth = np.random.default_rng(1).integers(0, N + 1, (COUNT, 1))
    labels = np.concatenate([depth > np.arange(N), depth > 1, depth > 2], axis=1).astype(np.float32)
    model.compile(optimizer="adam", loss=model.paper_loss())
    model.fit(inputs, labels, batch_size=16, verbose=0)
    check(model, inputs, tmp_path / "model")


def test_export_of_a_model_that_was_never_called(tmp_path: pathlib.Path) -> None:
    model = make("single_task", ROWS, N, embedding_stddev=0.5)
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    ids = rows(lists=False)
    np.testing.assert_allclose(
        np.array(loaded.serve(ids)), model.predict(ids, verbose=0), atol=2e-6
    )


def test_export_takes_another_signature(tmp_path: pathlib.Path) -> None:
    model = make("single_task", ROWS, N)
    shape = (None, 3)
    pair = {
        name: keras.InputSpec(shape=shape, dtype=dtype)
        for name, dtype in (("ids", "int32"), ("weights", "float32"))
    }
    model.export(tmp_path / "model", verbose=False, input_signature=[pair])
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    both = {"ids": rows(lists=False), "weights": np.full((COUNT, 3), 0.5, np.float32)}
    np.testing.assert_allclose(
        np.array(loaded.serve(both)), model.predict(both, verbose=0), atol=2e-6
    )
