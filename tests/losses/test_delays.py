"""What rows show of steps that come late, by NumPy in float64, and at the truth of a population."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from registry import MODELS, make

from tafe_tf.losses import ExponentialDelay, FunnelLoss, step_weights

DAY = 86_400.0
WEEK = 7 * DAY
RATES = np.array([1.0, 0.4, 1.7]) / DAY
WINDOWS = [0.0, WEEK, 2 * DAY]
AGES = np.array([-5.0, 0.5, 60.0, DAY, 2 * DAY, 3.3 * DAY, WEEK - 1.0, WEEK, 100 * DAY])


def delay() -> ExponentialDelay:
    made = ExponentialDelay(WINDOWS)
    made.numbers.assign(np.log(RATES))
    return made


def shares(ages: np.ndarray) -> np.ndarray:
    """F_i(e), [B, N], as the docstring has it."""
    ages = np.maximum(ages, 1.0)[:, None]
    found = np.ones((len(ages), 3))
    for i in (1, 2):
        within = -np.expm1(-RATES[i] * np.minimum(ages[:, 0], WINDOWS[i]))
        found[:, i] = within / -np.expm1(-RATES[i] * WINDOWS[i])
    return found


def test_logits_are_those_of_f_times_the_share() -> None:
    logits = np.random.default_rng(0).normal(scale=3.0, size=(len(AGES), 3))
    seen = np.asarray(delay().seen_logits(tf.constant(logits), tf.constant(AGES)))
    product = shares(AGES) / (1.0 + np.exp(-logits))
    # lambda is float32.
    np.testing.assert_allclose(seen, np.log(product) - np.log1p(-product), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(seen[:, 0], logits[:, 0])
    np.testing.assert_array_equal(seen[-2:], logits[-2:])


@pytest.mark.parametrize("logit", [-80.0, -20.0, 20.0, 80.0])
def test_extreme_logits_and_ages_have_finite_gradients(logit: float) -> None:
    """In float32, where 1 - f F would be 0 or 1."""
    made = delay()
    logits = tf.fill([len(AGES), 3], np.float32(logit))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        seen = made.seen_logits(logits, tf.constant(AGES, tf.float32))
        loss = tf.reduce_sum(tf.nn.softplus(seen) + tf.nn.softplus(-seen))
    of_logits, of_numbers = tape.gradient(loss, [logits, made.numbers.value])
    assert np.isfinite(np.asarray(seen)).all()
    assert np.isfinite(np.asarray(of_logits)).all()
    assert np.isfinite(np.asarray(of_numbers)).all()
    assert np.asarray(of_numbers)[0] == 0.0  # the first step is seen at once


def test_a_window_is_not_negative() -> None:
    with pytest.raises(
        ValueError, match=r"`windows` must be 0 or more. Received: windows=\[-1.0\]"
    ):
        ExponentialDelay([-1.0])


def settings() -> dict[str, Any]:
    return {"dependence_weight": 0.5, "conditional_weight": 0.7, "dtype": "float64"}


def population() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The labels, the values of x, the ages and the shares of all kinds of rows.

    P(x), P(o_i = 1 | o_{i-1} = 1, x) and ages depend on each other in no way; a step is seen with
    the probability that the law gives it, and the steps' delays grow along the funnel.
    """
    p_x = [0.4, 0.6]
    f = np.array([[0.5, 0.3, 0.1], [0.2, 0.15, 0.12]])
    labels, place, age, mass = [], [], [], []
    ages = np.array([0.5 * DAY, 1.5 * DAY, 30 * DAY])
    for x in range(2):
        for e, share in zip(ages, shares_in_order(ages), strict=True):
            seen = np.array([1.0, *(f[x] * share), 0.0])  # decreasing
            for depth in range(4):
                labels.append([1.0] * depth + [0.0] * (3 - depth))
                place.append(x)
                age.append(e)
                mass.append(p_x[x] / 3 * (seen[depth] - seen[depth + 1]))
    return np.array(labels), np.array(place), np.array(age), np.array(mass)


def in_order() -> ExponentialDelay:
    """A law whose later steps are slower, so that what is seen is a funnel, too."""
    made = ExponentialDelay([0.0, WEEK, WEEK])
    made.numbers.assign(np.log(np.array([1.0, 0.9, 0.3]) / DAY))
    return made


def shares_in_order(ages: np.ndarray) -> np.ndarray:
    """F of that law, with the float32 numbers that it keeps."""
    rates = np.exp(np.asarray(in_order().numbers, np.float64))
    passed = np.minimum(ages[:, None], WEEK)
    found = np.expm1(-rates * passed) / np.expm1(-rates * WEEK)
    found[:, 0] = 1.0
    return np.asarray(found)


def gradient(
    loss: FunnelLoss, law: ExponentialDelay | None, variable: tf.Variable
) -> list[np.ndarray]:
    labels, place, age, mass = population()
    loss.delay = law
    sources = [variable] if law is None else [variable, law.numbers.value]
    with tf.GradientTape() as tape:
        logits = tf.gather(variable, place)
        of_rows = loss(step_weights.joined(labels, ages=age), logits)
        total = tf.reduce_sum(of_rows * mass)
    return [np.array(tf.convert_to_tensor(each)) for each in tape.gradient(total, sources)]


def test_the_losses_are_least_at_the_truth() -> None:
    """Of all terms at once, in the logits and in the law's own numbers."""
    f = np.array([[0.5, 0.3, 0.1], [0.2, 0.15, 0.12]])
    truth = tf.Variable(np.log(f) - np.log1p(-f))
    loss = FunnelLoss(reduction="none", **settings())
    of_logits, of_numbers = gradient(loss, in_order(), truth)
    np.testing.assert_allclose(of_logits, 0.0, atol=1e-7)  # lambda is float32
    np.testing.assert_allclose(of_numbers, 0.0, atol=1e-7)
    (as_they_stand,) = gradient(loss, None, truth)
    assert np.abs(as_they_stand).max() > 0.01


def test_old_rows_are_learned_from_as_without_a_delay() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4, 3))
    labels = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]], float)
    weights = rng.uniform(0.5, 2.0, (4, 3))
    loss = FunnelLoss(order_weight=0.3, **settings())
    before = float(loss(labels, logits, sample_weight=weights))
    loss.delay = delay()
    y_true = step_weights.joined(labels, ages=np.full(4, WEEK))
    assert float(loss(y_true, logits, sample_weight=weights)) == pytest.approx(before, rel=1e-12)
    with pytest.raises(ValueError, match="needs the ages of the rows beside their labels"):
        loss(labels, logits)


def test_the_order_constraint_is_of_the_steps_themselves() -> None:
    """A young row shows less of the first step than of the second: no order is broken by that."""
    loss = FunnelLoss(dependence_weight=0.0, order_weight=1e6, dtype="float64")
    loss.delay = ExponentialDelay([WEEK, 0.0])
    logits = np.log([[0.5, 0.4]]) - np.log1p([[-0.5, -0.4]])
    y_true = step_weights.joined(np.array([[1.0, 0.0]]), ages=np.array([60.0]))
    assert float(loss(y_true, logits)) < 100.0


def test_a_label_may_be_unknown_as_well() -> None:
    """A row that shows the first step and does not know the second changes no gradient of it."""
    loss = FunnelLoss(dependence_weight=0.0, may_be_unknown=True, dtype="float64")
    loss.delay = in_order()
    variable = tf.Variable([[0.3, -0.5, -1.2]], dtype=tf.float64)
    y_true = step_weights.joined(np.array([[1.0, -1.0, -1.0]]), ages=np.array([DAY]))
    with tf.GradientTape() as tape:
        value = loss(y_true, variable)
    found = np.asarray(tape.gradient(value, variable))[0]
    assert np.isfinite(found).all()
    assert found[0] < 0  # the click
    # E[o_2 | o_1 = 1] = f_2 F_2 / f_1, so that the cross entropy's slope is f_2 F_2 (1 / f_1 - 1).
    f = 1 / (1 + np.exp(-np.array([0.3, -0.5])))
    share = shares_in_order(np.array([DAY]))[0, 1]
    slope = f[1] * share - f[1] * share / f[0]  # in the logit of what is seen
    assert found[1] == pytest.approx(slope * (1 - f[1]) / (1 - f[1] * share), rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_models_with_terms_of_their_own_say_so(name: str) -> None:
    model = make(name, [4, 3, 5], 3)
    assert model.may_learn_delays == (type(model.paper_loss()) is FunnelLoss)
