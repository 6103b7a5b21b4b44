"""TAFE's ablations of section 4.3 against NumPy twins."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from registry import randomize
from twins.baselines import embed, tower
from twins.numbers import layer_norm, softmax

from tafe_tf.models import TAFE

ROWS, D, K, M, N, B = [4, 3, 5], 4, 3, 2, 3, 6
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)
CLOSE = 1e-7  # Keras's attention scales by a float32 constant
LABELS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]], float)


def made(**ablation: Any) -> TAFE:
    """In float64, with weights of size 1."""
    sizes = {"embedding_dim": D, "num_inducing": K, "num_heads": M, "num_layers": 2}
    model = TAFE(ROWS, N, dtype="float64", **{**sizes, **ablation})
    randomize(model)
    return model


def self_attention(block: Any, h: np.ndarray) -> np.ndarray:
    """Head by head, field by field."""
    query, key, value, output = (weight.numpy() for weight in block.attention.weights)
    out = h.copy()
    for m in range(M):
        q, k, v = h @ query[:, m], h @ key[:, m], h @ value[:, m]
        for f in range(len(h)):
            out[f] += softmax(k @ q[f] / np.sqrt(D / M)) @ v @ output[m]
    return np.asarray(layer_norm(out, block.norm.gamma.numpy(), block.norm.beta.numpy()))


def test_without_both_parts_it_is_its_twin() -> None:
    model = made(use_asrg=False, use_tsa=False, tower_units=[5, 4])
    for row, logits in zip(IDS, np.array(model(IDS)), strict=True):
        y = embed(model.embedding, row)
        for block in model.blocks:
            y = self_attention(block, y)
        np.testing.assert_allclose(
            logits, [tower(model, t, y.mean(axis=0)) for t in range(N)], rtol=0, atol=CLOSE
        )


def test_without_asrg_adapters_read_the_fields() -> None:
    model = made(use_asrg=False)
    y, t = np.stack([embed(model.embedding, row) for row in IDS]), None
    for block, adapter in zip(model.blocks, model.adapters, strict=True):
        y = np.stack([self_attention(block, h) for h in y])
        t = adapter(y, t)
    np.testing.assert_allclose(model(IDS), model.heads(t), rtol=0, atol=CLOSE)
    assert y.shape == (B, len(ROWS), D)


def test_without_tsa_every_task_reads_the_mean_of_the_last_block() -> None:
    model, y = made(use_tsa=False), None
    h = model.embedding(IDS)
    for block in model.blocks:
        h = y = block(h, model.gamma.value())
    means = np.array(y).mean(axis=1)
    np.testing.assert_allclose(
        model(IDS), [[tower(model, t, x) for t in range(N)] for x in means], rtol=0, atol=1e-12
    )


def test_towers_on_the_adapters() -> None:
    model, plain = made(tower_units=[5]), made()
    for own, other in zip(plain.trainable_variables, model.trainable_variables, strict=False):
        if own.shape == other.shape:
            own.assign(other)
    y, t = plain.embedding(IDS), None
    for block, adapter in zip(plain.blocks, plain.adapters, strict=True):
        y = block(y, plain.gamma.value())
        t = adapter(y, t)
    expected = [[tower(model, n, x[n]) for n in range(N)] for x in np.array(t)]
    np.testing.assert_allclose(model(IDS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "ablation", [{"use_asrg": False}, {"use_tsa": False}, {"tower_units": [4]}]
)
def test_what_is_left_learns_and_is_saved(ablation: dict[str, Any], tmp_path: pathlib.Path) -> None:
    model = made(**ablation)
    with tf.GradientTape() as tape:
        loss = model.paper_loss()(LABELS, model(IDS, training=True))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.abs(np.array(tf.convert_to_tensor(gradient))).max() > 0, variable.path
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "model.keras")(IDS), model(IDS)
    )
