"""The loop: equal runs, exact resumption, early stopping, losses that are not finite."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.position import Position
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.losses import FunnelLoss
from tafe_tf.models import TAFE
from tafe_tf.optimizers import LazyAdam
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.loop import NotFiniteError, Trainer
from tafe_tf.training.run_dir import RunDir

SMALL = {"embedding_dim": 4, "num_inducing": 4, "num_layers": 2}


@pytest.fixture(scope="module")
def funnel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A directory with 4,000 training rows and 1,000 test rows, three steps and lists of values."""
    directory = tmp_path_factory.mktemp("funnel")
    synthetic = SyntheticFunnel(("view", "cart", "buy"), (0.5, 0.3, 0.1), fields=3, values=20)
    synthetic.write(directory / "train.csv", 4000, stream=0)
    synthetic.write(directory / "test.csv", 1000, stream=1)
    (directory / "schema.toml").write_text(schema_toml.dump(synthetic.schema()))
    return directory


class Job:
    """A trainer and its data, all from one seed."""

    def __init__(
        self, funnel: pathlib.Path, run: pathlib.Path, seed: int = 0, **model: float
    ) -> None:
        self.run = RunDir(run)
        dataset = schema_toml.load(funnel / "schema.toml")
        files = find_files(funnel, "train")
        vocabulary.build(files, dataset, run, BadRows())
        self.data = FunnelData(
            files=files,
            schema=dataset,
            batch_size=128,
            seed=seed,
            shuffle_rows=1000,
            holdout=Holdout(fraction=0.1),
        )
        keras.utils.set_random_seed(seed)
        features = Features(dataset, run)
        self.model = TAFE(features.rows, len(dataset.tasks), **{**SMALL, **model})  # type: ignore[arg-type]
        self.features = features
        self.evaluator = Evaluator(self.model, features)

    def trainer(self, rate: float = 1e-2, callbacks: Any = (), **config: object) -> Trainer:
        return Trainer(
            self.model,
            self.features,
            optimizer=LazyAdam(rate),
            loss=FunnelLoss(),
            config=TrainingConfig(**{"epochs": 2, "steps_per_call": 7, **config}),  # type: ignore[arg-type]
            run=self.run,
            callbacks=callbacks,
        )

    def fit(self, rate: float = 1e-2, **config: object) -> list[dict[str, Any]]:
        return self.trainer(rate, **config).fit(self.data, self.data)

    def weights(self) -> list[np.ndarray]:
        return [np.array(v) for v in self.model.variables]


def assert_equal(a: list[np.ndarray], b: list[np.ndarray]) -> None:
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_learns_and_the_seed_fixes_everything(funnel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    jobs = [
        Job(funnel, tmp_path / str(i), seed=seed, dropout=0.1) for i, seed in enumerate((0, 0, 1))
    ]
    # Neither the checkpoints nor the length of a call changes the result.
    histories = [
        job.fit(**c)
        for job, c in zip(jobs, ({}, {"checkpoint_steps": 3, "steps_per_call": 1}, {}), strict=True)
    ]
    assert histories[0][-1]["auc/p_view"] > 0.6
    assert_equal(jobs[0].weights(), jobs[1].weights())
    assert not np.array_equal(jobs[0].weights()[1], jobs[2].weights()[1])


@pytest.mark.slow
def test_interrupted_at_a_checkpoint_it_ends_the_same(
    funnel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    whole = Job(funnel, tmp_path / "whole", dropout=0.1)
    whole.fit()

    class Stop(Exception):
        pass

    for stop_after in (1, 4, 6):  # mid-epoch 1, and around the change to epoch 2
        run = tmp_path / f"stopped{stop_after}"
        job, saves = Job(funnel, run, dropout=0.1), 0
        trainer = job.trainer(checkpoint_steps=7)
        save = trainer._save

        def stop(state: object, save: object = save, stop_after: int = stop_after) -> None:
            nonlocal saves
            save(state)  # type: ignore[operator]
            saves += 1
            if saves == stop_after:
                raise Stop

        trainer._save = stop  # type: ignore[method-assign]
        with pytest.raises(Stop):
            trainer.fit(job.data, job.data)
        resumed = Job(funnel, run, seed=99, dropout=0.1)  # whatever it starts from is replaced
        resumed.data = job.data
        resumed.fit(checkpoint_steps=7)
        assert_equal(resumed.weights(), whole.weights())


@pytest.mark.slow
def test_kill_9_and_the_same_command_end_with_the_same_weights(
    funnel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "tafe_tf.train",
        f"--data_dir={funnel}",
        "--epochs=3",
        "--batch_size=64",
    ]
    command += [f"--{name}={value}" for name, value in SMALL.items()] + [
        "--steps_per_call=2",
        "--checkpoint_steps=10",
    ]
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = subprocess.Popen(
        [*command, f"--run_dir={whole}"], env=environment, stdout=subprocess.DEVNULL
    )
    second = subprocess.Popen(
        [*command, f"--run_dir={killed}"], env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (killed / "checkpoints" / "checkpoint").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(second.pid, signal.SIGKILL)
    assert second.wait() == -signal.SIGKILL
    assert first.wait() == 0
    again = subprocess.run(
        [*command, f"--run_dir={killed}"], env=environment, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert "resuming from" in again.stdout
    assert_equal(
        *([np.array(v) for v in RunDir(run).load_best().variables] for run in (whole, killed))
    )
    for name in ("auc/p_view", "log_loss/p_buy_given_cart"):
        values = [json.loads((run / "metrics.json").read_text())[name] for run in (whole, killed)]
        assert values[0] == values[1]


def test_early_stopping_restores_the_best(funnel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    job = Job(funnel, tmp_path)
    settings: dict[str, Any] = {
        "epochs": 30,
        "patience": 2,
        "monitor": "log_loss/p_view",
        "intercept_rows": 0,
        "learning_rate_decay": "none",
    }
    history = job.fit(rate=0.05, **settings)
    losses = [epoch["log_loss/p_view"] for epoch in history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 30
    now = job.evaluator.evaluate(job.data, "valid")
    assert now["log_loss/p_view"] == pytest.approx(losses[best], abs=1e-7)
    assert job.fit(rate=0.05, **settings) == history  # nothing left to do
    job.run.save_model_config(job.model)
    reloaded = Evaluator(job.run.load_best(), job.features)
    assert reloaded.evaluate(job.data, "valid")["auc/p_buy"] == now["auc/p_buy"]


def test_without_validation_rows_the_last_epoch_counts(
    funnel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    job = Job(funnel, tmp_path)
    job.data = FunnelData(files=job.data.files, schema=job.data.schema, batch_size=128)
    history = job.fit(epochs=2)
    assert [epoch["rows"] for epoch in history] == [0, 0]
    assert int(job.model.gamma.step) == 2 * (4000 // 128)


def test_a_monitor_that_is_undefined_keeps_the_first_epoch_and_says_so_once(
    funnel: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = Job(funnel, tmp_path)
    trainer = job.trainer(epochs=9, patience=1, intercept_rows=0)
    evaluate = trainer.evaluator.evaluate
    undefined = {f"auc/{name}": None for name in job.data.schema.step_names}
    monkeypatch.setattr(trainer.evaluator, "evaluate", lambda *a: {**evaluate(*a), **undefined})
    assert len(trainer.fit(job.data, job.data)) == 3
    steps = [int(job.model.gamma.step), len(list(job.data.training_batches(Position())))]
    assert steps[0] == steps[1]  # the weights after one epoch
    names = ", no ".join(undefined)
    assert capsys.readouterr().out.count(f"warning: the validation rows give no {names}, ") == 1


def test_no_row_to_train_on(funnel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    job = Job(funnel, tmp_path)
    job.data = dataclasses.replace(job.data, holdout=Holdout(fraction=1.0))
    with pytest.raises(DataError, match=r"train.csv: no row is left to train on"):
        job.fit()


def test_a_loss_that_is_not_finite_names_step_file_row_and_task(
    funnel: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    job = Job(funnel, tmp_path)
    bias = np.zeros(3, np.float32)
    bias[1] = np.nan
    job.model.heads.bias.assign(bias)
    with pytest.raises(
        NotFiniteError,
        match=r"step 1: the loss of cart is not finite, first at .*train.csv: row \d+; the",
    ):
        job.fit()


def test_one_row_that_is_not_finite_is_found(funnel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    job = Job(funnel, tmp_path)
    table = np.array(job.model.embedding.table)
    table[5] = np.inf  # one value of the first field
    job.model.embedding.table.assign(table)
    with pytest.raises(NotFiniteError) as caught:
        job.fit()
    row = int(str(caught.value).split("row ")[1].split(";")[0])
    value = (funnel / "train.csv").read_text().splitlines()[row].split(",")[0]
    assert job.features({**raw_row(job), "field_0": tf.constant([value])})["ids"][0, 0] == 5


def raw_row(job: Job) -> dict[str, tf.Tensor]:
    batch = next(job.data.evaluation_batches("all"))
    return {name: tf.constant(values[:1]) for name, values in batch.inputs.items()}


def test_predictions_sum_to_the_labels(funnel: pathlib.Path, tmp_path: pathlib.Path) -> None:
    job = Job(funnel, tmp_path)
    job.fit(epochs=1, rate=0.1)  # so large a step leaves the sums far off
    metrics = job.evaluator.evaluate(job.data)
    assert [metrics[f"pcoc/p_{task}"] for task in ("view", "cart", "buy")] == pytest.approx(
        [1, 1, 1], abs=1e-5
    )
    before = job.weights()
    job.fit(epochs=1, rate=0.1)  # done again, it stays
    for a, b in zip(job.weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
