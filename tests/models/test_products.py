"""Products of conditional probabilities in log space."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tafe_tf.models.products import logit_of, product_logits


def test_product_logits_at_the_ends() -> None:
    x = np.array([[-200.0, -200.0], [30.0, 30.0], [300.0, 300.0], [0.0, -100.0]], np.float32)
    with tf.GradientTape() as tape:
        t = tf.constant(x)
        tape.watch(t)
        logits = product_logits(t)
        loss = tf.reduce_sum(tf.nn.softplus(logits))
    np.testing.assert_allclose(
        logits, np.array([[-200, -400], [30, 13.8], [300, 13.8], [0, -100.7]]), rtol=2e-3
    )
    assert np.isfinite(tape.gradient(loss, t)).all()
    p = np.array([1e-30, 1e-3, 0.5, 0.999])
    np.testing.assert_allclose(logit_of(np.log(p)), np.log(p / (1 - p)), rtol=1e-12)


def test_products_never_rise() -> None:
    rng = np.random.default_rng(3)
    conditionals = rng.normal(8.0, 5.0, (100_000, 4)).astype(np.float32)
    logits = np.array(product_logits(conditionals))
    assert (np.diff(logits) <= 0).all()
    p = 1 / (1 + np.exp(-conditionals.astype(np.float64)))
    f = np.cumprod(p, axis=-1)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits.astype(np.float64))), f, atol=2e-6)
