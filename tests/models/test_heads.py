"""Conditional heads: every architecture's f as a product, held against NumPy's."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from registry import MODELS, make, randomize
from scipy.special import expit, logit

from tafe_tf.models import BY_NAME, FunnelModel

ROWS, D, N, B = [4, 3, 5], 4, 3, 6
IDS = np.stack([np.random.default_rng(0).integers(0, n, B) for n in ROWS], axis=1)
LABELS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 0]], float)
PRODUCTS = [name for name, (model, _) in MODELS.items() if BY_NAME[model].products]
OTHERS = [name for name in MODELS if name not in PRODUCTS and "conditional" not in name]


def pair(name: str) -> tuple[FunnelModel, FunnelModel]:
    """The same weights behind separate and behind conditional heads."""
    separate = randomize(make(name, ROWS, N, D, dtype="float64"))
    conditional = make(name, ROWS, N, D, dtype="float64", heads="conditional")
    conditional.set_weights(separate.get_weights())
    return separate, conditional


@pytest.mark.parametrize("name", OTHERS)
def test_f_is_the_product_of_the_heads(name: str) -> None:
    separate, conditional = pair(name)
    steps = expit(np.array(separate(IDS)))
    expected = logit(np.cumprod(steps, axis=1))
    np.testing.assert_allclose(conditional(IDS), expected, rtol=0, atol=1e-10)
    assert conditional.products and not separate.products


def test_shifts_move_the_conditional_steps() -> None:
    by = np.array([0.5, -1.0, 0.25])
    separate, conditional = pair("aitm")
    heads = np.array(separate(IDS))
    conditional.shift_logits(by)
    expected = logit(np.cumprod(expit(heads + by), axis=1))
    np.testing.assert_allclose(conditional(IDS), expected, rtol=0, atol=1e-10)


def test_the_gradient_is_that_of_the_entire_space() -> None:
    """d BCE(f_2) / d x_2 = (f_2 - o_2) / (1 - f_2) (1 - p_2), in closed form."""
    conditional = pair("shared_bottom")[1]
    bias = conditional.heads.bias
    with tf.GradientTape() as tape:
        logits = conditional(IDS, training=True)
        loss = conditional.paper_loss(task_weights=[0.0, 1.0, 0.0])(LABELS, logits)
    gradient = tape.gradient(loss, bias.value).numpy()
    f = expit(np.array(conditional(IDS)))
    p_2 = f[:, 1] / f[:, 0]
    by_row = (f[:, 1] - LABELS[:, 1]) / (1 - f[:, 1])
    expected = [by_row * (1 - f[:, 0]), by_row * (1 - p_2)]
    np.testing.assert_allclose(gradient[:2], np.mean(expected, axis=1), rtol=1e-6)
    assert gradient[2] == 0


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_have_no_separate_heads(name: str) -> None:
    model = randomize(make(name, ROWS, N, D))
    same = make(name, ROWS, N, D, heads="conditional")
    same.set_weights(model.get_weights())
    np.testing.assert_array_equal(same(IDS), model(IDS))
    with pytest.raises(ValueError, match=r"`heads` must be conditional: \w+ predicts products"):
        make(name, ROWS, N, D, heads="separate")


def test_heads_are_saved() -> None:
    model = make("mmoe", ROWS, N, D, heads="conditional")
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(IDS), model(IDS))
    assert isinstance(again, keras.Model) and again.products
