"""A whole training step under XLA, which a TPU compiles as this CPU does."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.data.batches.batch import Batch
from tafe_tf.models import BY_NAME, TAFE
from tafe_tf.optimizers import LazyAdam
from tafe_tf.training.step_report import StepReport
from tafe_tf.training.sync_steps import SyncSteps

ROWS, SIZE = [30, 7, 12], 16


def batch(seed: int, more: bool = True) -> Batch:
    rng = np.random.default_rng(seed)
    click = rng.random(SIZE) < 0.5
    labels = np.stack([click, click & (rng.random(SIZE) < 0.5)], axis=1)
    return Batch(
        inputs={"ids": tf.constant(rng.integers(0, ROWS, (SIZE, 3)), tf.int32)},
        labels=tf.constant(labels, tf.float32),
        weight=tf.ones(SIZE),
        file=tf.zeros(SIZE, tf.int32),
        row=tf.range(SIZE, dtype=tf.int64),
        position=tf.constant([[5, 7]], tf.int64),
        more=tf.constant([more]),
        extra={},
    )


def trained(model: str, compiled: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Reports and weights after five steps."""
    keras.utils.set_random_seed(0)
    small = (
        {"num_layers": 1, "num_inducing": 4}
        if model == "tafe"
        else {"expert_units": [8], "tower_units": [4]}
    )
    made = BY_NAME[model](ROWS, 2, embedding_dim=4, **small)
    optimizer = LazyAdam(1e-2, epsilon=1e-4, static_shapes=compiled)
    optimizer.build(made.trainable_variables)
    step = SyncSteps(made, optimizer, made.paper_loss(), tf.distribute.get_strategy(), 1, 1).step
    step = tf.function(step, jit_compile=compiled)
    reports = [step(batch(seed)).numpy() for seed in range(5)]
    return reports, [np.array(v) for v in [*made.variables, *optimizer.variables]]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tafe", "mmoe"])
def test_a_step_compiles_as_a_whole(model: str) -> None:
    for ours, theirs in zip(
        trained(model, compiled=True), trained(model, compiled=False), strict=True
    ):
        assert len(ours) == len(theirs) > 4
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # XLA sums in another order


def test_the_report_of_steps_is_their_sum_up_to_the_last_batch() -> None:
    model = TAFE(ROWS, 2, embedding_dim=4, num_layers=1)
    optimizer = LazyAdam(0.0)
    optimizer.build(model.trainable_variables)
    steps = SyncSteps(model, optimizer, model.paper_loss(), tf.distribute.get_strategy(), 1, 5)
    batches = [batch(0), batch(1), batch(2, more=False)]
    specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, batches[0])
    stream = iter(
        tf.data.Dataset.from_generator(
            lambda: itertools.chain(batches, [batch(3)]), output_signature=specs
        )
    )
    report = StepReport(*(value.numpy() for value in steps(stream)))
    loss = [float(model.paper_loss()(b.labels, model(b.inputs))) for b in batches]
    assert report.steps == 3 and report.rows == 3 * SIZE and report.more == 0
    np.testing.assert_allclose(report.loss, sum(loss), rtol=1e-6)
    np.testing.assert_array_equal(report.position, [[5, 7]])
    np.testing.assert_array_equal(report.bad, np.zeros((1, 4)))


def test_a_step_is_traced_as_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Translating it for autograph took longer than tracing it, in every training."""
    model = BY_NAME["shared_bottom"](ROWS, 2, embedding_dim=4, bottom_units=[4], tower_units=[4])
    score = model.score
    seen: list[str] = []

    def watched(h: tf.Tensor, training: bool) -> tf.Tensor:
        seen.append(tf.__internal__.autograph.control_status_ctx().status.name)
        return score(h, training)

    monkeypatch.setattr(model, "score", watched)
    optimizer = LazyAdam(0.0)
    optimizer.build(model.trainable_variables)
    steps = SyncSteps(model, optimizer, model.paper_loss(), tf.distribute.get_strategy(), 1, 2)
    steps(iter(tf.data.Dataset.from_tensors(batch(0)).repeat()))
    assert set(seen) == {"DISABLED"}
