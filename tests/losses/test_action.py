"""The loss of ESM2 and HM3."""

from __future__ import annotations

import numpy as np
from twins.losses import cross_entropy
from twins.numbers import sigmoid

from tafe_tf.losses import ActionLoss, FunnelLoss

LABELS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]], float)
RNG = np.random.default_rng(5)


def test_action_loss() -> None:
    labels = np.concatenate([LABELS, LABELS[:, :1] * [[1.0]]], axis=1)
    logits = RNG.normal(size=(5, 4))
    base = FunnelLoss(reduction="none", dtype="float64", order_weight=0.3)(LABELS, logits[:, :3])
    got = ActionLoss(3, reduction="none", dtype="float64", order_weight=0.3)(labels, logits)
    np.testing.assert_allclose(
        got, base + cross_entropy(labels[:, 3], sigmoid(logits[:, 3])), rtol=1e-12
    )


def test_a_model_may_have_logits_of_some_of_the_actions() -> None:
    labels = np.concatenate([LABELS, LABELS[:, [0, 1, 0]]], axis=1)
    logits = RNG.normal(size=(5, 5))
    loss = ActionLoss(3, columns=[1, 2], reduction="none", dtype="float64", dependence_weight=0.0)
    assert ActionLoss.from_config(loss.get_config()).columns == [1, 2]
    every = [cross_entropy(labels[:, j], sigmoid(logits[:, i])) for i, j in enumerate([0, 1, 2])]
    every += [cross_entropy(labels[:, 4], sigmoid(logits[:, 3]))]
    every += [cross_entropy(labels[:, 5], sigmoid(logits[:, 4]))]
    np.testing.assert_allclose(loss(labels, logits), np.sum(every, axis=0), rtol=1e-12)
    of_inference = loss(labels, logits[:, :3])
    np.testing.assert_allclose(of_inference, np.sum(every[:3], axis=0), rtol=1e-12)


def test_of_the_logits_of_inference_actions_do_not_count() -> None:
    labels = np.concatenate([LABELS, LABELS[:, :1]], axis=1)
    logits = RNG.normal(size=(5, 3))
    got = ActionLoss(3, reduction="none", dtype="float64")(labels, logits)
    np.testing.assert_array_equal(
        got, FunnelLoss(reduction="none", dtype="float64")(LABELS, logits)
    )
