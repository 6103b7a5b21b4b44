"""What a training step does to the weights of the tasks, and that a run goes on with them."""

from __future__ import annotations

import pathlib
import shutil
from typing import Any

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf
from keras import ops
from twins.numbers import sigmoid

from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.formats.write import write
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.losses import FunnelLoss
from tafe_tf.losses.balancing import rate_entropy
from tafe_tf.models import FunnelModel
from tafe_tf.training import balancing as balancings
from tafe_tf.training.balancing import Balancing
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run
from tafe_tf.training.sync_steps import SyncSteps

FIELD_ROWS, DIM, SIZE = [4, 5], 3, 16
TASKS, RATES = ["click", "buy"], {"click": 0.4, "buy": 0.1}


class Linear(FunnelModel):
    """A linear head a task on the embeddings: all gradients are closed forms."""

    def __init__(
        self, field_rows: list[int], num_tasks: int, embedding_dim: int, **kwargs: Any
    ) -> None:
        super().__init__(field_rows, num_tasks, embedding_dim, **kwargs)
        self.embedding = self.make_embedding()
        self.finish(self.flat_size)

    def score(self, h: Any, training: bool) -> Any:
        flat = self.flatten(h)[:, None]  # [B, 1, F d]
        return self.heads(ops.repeat(flat, self.num_tasks, axis=1))


def batch() -> Batch:
    """Rows of few values, so that each is read several times."""
    rng = np.random.default_rng(5)
    click = rng.random(SIZE) < 0.6
    labels = np.stack([click, click & (rng.random(SIZE) < 0.5)], axis=1)
    return Batch(
        inputs={"ids": tf.constant(rng.integers(0, FIELD_ROWS, (SIZE, 2)), tf.int32)},
        labels=tf.constant(labels, tf.float32),
        weight=tf.constant(rng.uniform(0.5, 2.0, SIZE), tf.float32),
        file=tf.zeros(SIZE, tf.int32),
        row=tf.range(SIZE, dtype=tf.int64),
        position=tf.constant([[0, 0]], tf.int64),
        more=tf.constant([True]),
        extra={},
    )


def made(loss_balancing: str) -> Balancing | None:
    config = TrainingConfig(loss_balancing=loss_balancing)  # type: ignore[arg-type]
    return balancings.make(config, TASKS, RATES)


def one_step(loss: FunnelLoss, balancing: Balancing | None) -> Linear:
    """A model whose weights are large enough to matter, after one step."""
    keras.utils.set_random_seed(1)
    model = Linear(FIELD_ROWS, 2, DIM, embedding_stddev=1.0)
    loss.balance = balancing.balance if balancing else None
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    steps = SyncSteps(model, optimizer, loss, strategy, 1, 1, balancing)
    tf.function(steps.step, autograph=False)(batch())
    return model


def assert_equal(model: Linear, other: Linear) -> None:
    for x, y in zip(model.variables, other.variables, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)


def test_a_step_of_gradnorm_is_its_closed_form() -> None:
    rows = batch()
    keras.utils.set_random_seed(1)
    model = Linear(FIELD_ROWS, 2, DIM, embedding_stddev=1.0)
    error = sigmoid(np.asarray(model(rows.inputs))) - rows.labels.numpy()  # [B, N]
    weight = rows.weight.numpy()[:, None]
    kernel = np.asarray(model.heads.kernel)  # [N, F d]
    # The gradient of row b with respect to what it reads is weight error kernel / B.
    of_rows = np.sqrt(np.square(weight * error).sum(axis=0)) / SIZE
    norms = of_rows * np.linalg.norm(kernel, axis=1)
    losses = (weight * np.logaddexp(0.0, error_sign(rows) * np.asarray(model(rows.inputs)))).mean(0)
    ratios = losses / [rate_entropy(RATES[task]) for task in TASKS]
    targets = norms.mean() * (ratios / ratios.mean()) ** 1.5
    expected = -0.025 * np.sign(norms - targets) * norms / norms.mean()

    balancing = made("gradnorm")
    assert balancing is not None
    one_step(FunnelLoss(dependence_weight=0.0), balancing)
    np.testing.assert_allclose(balancing.balance.numbers, expected, rtol=1e-5)
    assert (np.abs(expected) > 1e-3).all()


def error_sign(rows: Batch) -> np.ndarray:
    """-1 where the label is 1, and 1 where it is 0."""
    return np.asarray(1.0 - 2.0 * rows.labels.numpy())


def test_a_step_of_uncertainty_is_one_of_adam() -> None:
    balancing = made("uncertainty")
    assert balancing is not None
    model = one_step(FunnelLoss(), balancing)
    numbers = np.asarray(balancing.balance.numbers)
    rate = TrainingConfig().learning_rate
    np.testing.assert_allclose(np.abs(numbers), rate, rtol=1e-4)  # Adam's first step is its rate
    assert_equal(model, one_step(FunnelLoss(), None))  # with variances of 1 it is the loss itself


@pytest.mark.parametrize("loss_balancing", ["uncertainty", "gradnorm"])
def test_the_model_learns_by_the_balanced_loss(loss_balancing: str) -> None:
    balancing = made(loss_balancing)
    assert balancing is not None
    balancing.balance.numbers.assign([0.7, -0.4])
    weights = np.asarray(balancing.balance.task_weights())
    unnormed = np.exp([-0.7, 0.4] if loss_balancing == "uncertainty" else [0.7, -0.4])
    expected = unnormed if loss_balancing == "uncertainty" else 2 * unnormed / unnormed.sum()
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    of_schema = np.array([1.0, 3.0])
    model = one_step(FunnelLoss(of_schema.tolist()), balancing)
    other = one_step(FunnelLoss((of_schema * weights).tolist()), None)
    assert_equal(model, other)


def test_nothing_is_balanced_by_default() -> None:
    assert balancings.make(TrainingConfig(), TASKS, RATES) is None


class Interrupted(Exception):
    """Ends a training as a kill does."""


class _Interrupt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == 5:
            raise Interrupted


def train(data: pathlib.Path, run_dir: pathlib.Path, how: str, callbacks: Any = ()) -> Run:
    arguments = {"embedding_dim": 4, "bottom_units": [4], "tower_units": [3]}
    return fit(
        DataConfig.in_directory(data),
        run_dir,
        model=ModelConfig(name="shared_bottom", arguments=arguments),
        training=TrainingConfig(
            loss_balancing=how,  # type: ignore[arg-type]
            epochs=2,
            batch_size=64,
            steps_per_call=1,
            checkpoint_steps=2,
            intercept_rows=0,
        ),
        callbacks=callbacks,
        verbose=False,
    )


def last_state(run_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """All numbers of the last checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    shapes = reader.get_variable_to_shape_map()
    numeric = [name for name in shapes if name.startswith(("weights/", "optimizer/", "balancing/"))]
    return {name: reader.get_tensor(name) for name in numeric}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["uncertainty", "gradnorm"])
def test_a_run_goes_on_with_its_balance(how: str, tmp_path: pathlib.Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "schema.toml").write_text(small_models.NUMBERS)
    write(data / "train.csv", small_models.rows("numbers", 300))
    whole = train(data, tmp_path / "whole", how)
    with pytest.raises(Interrupted):
        train(data, tmp_path / "run", how, [_Interrupt()])
    train(data, tmp_path / "run", how)
    expected, found = last_state(tmp_path / "whole"), last_state(tmp_path / "run")
    of_balance = [name for name in expected if name.startswith("balancing/")]
    assert len(of_balance) >= 3  # the numbers, and the count and the rate of their optimizer
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, found[name], err_msg=name)
    assert np.abs(expected["balancing/0/.ATTRIBUTES/VARIABLE_VALUE"]).min() > 1e-4
    shutil.rmtree(whole.path / "checkpoints")  # an export needs nothing of it
    names = [variable.name for variable in whole.model.variables]
    assert not {"log_weights", "log_variances"} & set(names)


def test_parameter_servers_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "schema.toml").write_text(small_models.NUMBERS)
    write(tmp_path / "train.csv", small_models.rows("numbers", 50))
    with pytest.raises(RunError, match=r"--loss_balancing must be none .* Received: gradnorm"):
        fit(
            DataConfig.in_directory(tmp_path),
            tmp_path / "run",
            training=TrainingConfig(loss_balancing="gradnorm"),
            cluster=Cluster(servers=1),
        )
    assert not (tmp_path / "run" / "flags.txt").exists()
