"""Training that is corrected for labels that come late, by delays that it learns."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tafe_tf
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.data.formats.write import write
from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.schema import UNKNOWN, Feature, Schema, Task
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

LAW = DelayLaw(mean_days=2.0, window_days=7, log_days=14)
FUNNEL = SyntheticFunnel(rates=(0.3, 0.15), fields=3, values=5, interaction=0.0, delay=LAW)
DAY = 86_400


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """600 rows of a log, in three files."""
    directory = tmp_path_factory.mktemp("log")
    for number in range(3):
        write(directory / f"train-{number}.parquet", FUNNEL.chunk(0, number, 200))
    return directory


def train(
    log: pathlib.Path,
    run_dir: pathlib.Path,
    callbacks: Any = (),
    model: str = "shared_bottom",
    **settings: Any,
) -> Run:
    arguments = {"bottom_units": [8], "tower_units": [4]} if model == "shared_bottom" else {}
    chosen = {
        "delay_loss": "exponential",
        "epochs": 2,
        "batch_size": 60,
        "steps_per_call": 1,
        "checkpoint_steps": 2,
        **settings,
    }
    schema = chosen.pop("schema", FUNNEL.schema())
    return fit(
        DataConfig(train=tuple(sorted(str(path) for path in log.glob("*"))), schema=schema),
        run_dir,
        model=ModelConfig(name=model, arguments=arguments),
        training=TrainingConfig(**chosen),
        callbacks=callbacks,
        verbose=False,
    )


def last_state(run: pathlib.Path) -> dict[str, np.ndarray]:
    """All numbers of the last checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    shapes = reader.get_variable_to_shape_map()
    numeric = [name for name in shapes if name.startswith(("weights/", "optimizer/", "delays/"))]
    return {name: reader.get_tensor(name) for name in numeric}


def learned(run: pathlib.Path) -> np.ndarray:
    """log lambda of both steps, [2]."""
    return last_state(run)["delays/0/.ATTRIBUTES/VARIABLE_VALUE"]


def made(tmp_path: pathlib.Path, time: Any, now: Any, **settings: Any) -> FunnelData:
    """Six rows of which all have converted, but for the last one, which does not know it."""
    path = tmp_path / "train.parquet"
    write(path, {"hour": [0] * 6, "click": [1] * 6, "buy": [1] * 5 + [None], "at": time})
    tasks = (Task(name="click"), Task(name="buy", may_be_unknown=True, matures_after="10s"))
    hour = Feature(name="hour", kind="integer", size=24)
    schema = Schema(name="shop", features=(hour,), tasks=tasks, time="at")
    return FunnelData(files=[str(path)], schema=schema, batch_size=6, now=now, **settings)


@pytest.mark.parametrize("are_dates", [False, True])
def test_batches_tell_what_was_logged_and_how_old_it_is(
    tmp_path: pathlib.Path, are_dates: bool
) -> None:
    seconds = np.array([100, 91, 90, 80, 101, 95])
    now: Any = 100
    time: Any = seconds
    if are_dates:
        time = [f"2026-11-01T00:{second // 60:02}:{second % 60:02}" for second in seconds]
        now = np.datetime64("2026-11-01T00:01:40", "ns")
    data = made(tmp_path, time, now, gives_ages=True)
    (batch,) = data.training_batches(Position())
    order = np.argsort(batch.row)
    assert batch.age[order].tolist() == [0, 9, 10, 20, -1, 5]
    # No row from `now` on knows by when its label was read.
    want = [UNKNOWN, 1, 1, 1, UNKNOWN, UNKNOWN]
    assert batch.labels[order, 1].tolist() == want
    (evaluated,) = data.evaluation_batches("train")
    assert evaluated.age == ()
    assert evaluated.labels[:, 1].tolist() == [UNKNOWN, UNKNOWN, 1, 1, UNKNOWN, UNKNOWN]
    (without,) = made(tmp_path, time, now).training_batches(Position())
    assert without.age == ()


class Interrupted(Exception):
    """Ends a training as a kill does."""


class _Interrupt(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == 5:
            raise Interrupted


def test_a_run_goes_on_with_its_delays(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    train(log, tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(log, tmp_path / "run", [_Interrupt()])
    run = train(log, tmp_path / "run")
    expected, found = last_state(tmp_path / "whole"), last_state(tmp_path / "run")
    assert len([name for name in expected if name.startswith("delays/")]) >= 3
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, found[name], err_msg=name)
    start = np.log(3.0 / (7 * DAY))
    assert abs(learned(tmp_path / "run")[1] - start) > 0.05
    assert learned(tmp_path / "run")[0] == pytest.approx(start)  # clicks are seen at once
    names = [variable.name for variable in run.model.variables]
    assert "log_delay_rates" not in names


@pytest.mark.slow
def test_a_warm_start_begins_with_the_delays_of_before(
    log: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    monday = train(log, tmp_path / "monday", epochs=8)
    train(
        log, tmp_path / "tuesday", warm_start=str(monday.path), epochs=1, batch_size=540, patience=1
    )
    start = np.log(3.0 / (7 * DAY))
    before, after = learned(tmp_path / "monday")[1], learned(tmp_path / "tuesday")[1]
    assert abs(before - start) > 0.2
    assert abs(after - before) < 0.03  # one step
    without = train(log, tmp_path / "without", epochs=1, delay_loss="none")
    train(log, tmp_path / "first", warm_start=str(without.path), epochs=1, batch_size=540)
    assert abs(learned(tmp_path / "first")[1] - start) < 0.03


@pytest.mark.slow
def test_rows_in_memory_and_several_readers(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """One reader of one file reads what a table in memory holds."""
    rows = FUNNEL.chunk(0, 0, 600)
    folder = tmp_path / "one"
    folder.mkdir()
    write(folder / "train.parquet", rows)
    of_file = train(folder, tmp_path / "file", epochs=1)
    of_memory = tafe_tf.fit(
        FUNNEL.schema(),
        train=rows,
        run_dir=tmp_path / "memory",
        model="shared_bottom",
        bottom_units=[8],
        tower_units=[4],
        epochs=1,
        batch_size=60,
        delay_loss="exponential",
        verbose=False,
    )
    np.testing.assert_array_equal(learned(of_file.path), learned(of_memory.path))
    train(log, tmp_path / "readers", readers=3, epochs=1)
    assert learned(tmp_path / "readers")[1] != learned(of_file.path)[1]


@pytest.mark.parametrize("model", ["escm2", "esm2", "hm3"])
def test_models_with_terms_of_their_own_are_refused(
    log: pathlib.Path, tmp_path: pathlib.Path, model: str
) -> None:
    rule = "--delay_loss corrects labels of steps alone, and this model learns from others as well"
    with pytest.raises(RunError, match=rf"{rule}. Received: .*, --model={model}"):
        train(log, tmp_path / "run", model=model)
    assert not (tmp_path / "run").exists()


def test_a_funnel_without_late_labels_is_refused(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    schema = SyntheticFunnel(fields=3).schema()
    rule = r"--delay_loss needs a schema with a task that has `matures_after`"
    with pytest.raises(RunError, match=rule):
        train(log, tmp_path / "run", schema=schema)


def test_parameter_servers_are_refused(log: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(RunError, match=r"--delay_loss must be none on parameter servers"):
        fit(
            DataConfig(train=(str(log / "train-0.parquet"),), schema=FUNNEL.schema()),
            tmp_path / "run",
            training=TrainingConfig(delay_loss="exponential"),
            cluster=Cluster(servers=1),
        )


TEST = SyntheticFunnel(rates=(0.3, 0.15), fields=3, values=5, interaction=0.0).chunk(1, 0, 20_000)
MANY = 300_000


def judged(directory: pathlib.Path, name: str, column: str = "", **settings: Any) -> Run:
    """A run on many rows; `column` is the label of the conversion in place of the logged one."""
    schema = FUNNEL.schema()
    click, conversion = schema.tasks
    window = settings.pop("matures_after", conversion.matures_after)
    late = dataclasses.replace(conversion, matures_after=window, column=column or "conversion")
    schema = dataclasses.replace(schema, tasks=(click, late))
    return train(
        directory,
        directory.parent / name,
        schema=schema,
        batch_size=512,
        epochs=3,
        learning_rate=0.01,
        learning_rate_decay="linear",
        monitor="log_loss",
        steps_per_call=20,
        checkpoint_steps=2000,
        intercept_rows=0,  # which are set by mature labels, and would hide what was learned
        **settings,
    )


def of_truth(run: Run) -> tuple[float, float]:
    """The sum of P(conversion) over the true one's, and its AUC, on rows with final labels."""
    inputs = {f"field_{i}": TEST[f"field_{i}"] for i in range(FUNNEL.fields)}
    found = run.predict(inputs)["ctcvr"]
    label = TEST["conversion"] == 1
    rank = np.argsort(np.argsort(found, kind="stable"), kind="stable") + 1
    positives = label.sum()
    area = rank[label].sum() - positives * (positives + 1) / 2
    auc = area / (positives * (~label).sum())
    return float(found.sum() / TEST["true_conversion"].sum()), float(auc)


@pytest.mark.slow
def test_a_known_delay_is_corrected(tmp_path: pathlib.Path) -> None:
    """Half of a log of two weeks is young, by a law that keeps 13 % of its conversions back."""
    log = tmp_path / "log"
    log.mkdir()
    for number in range(3):
        write(log / f"train-{number}.parquet", FUNNEL.chunk(0, number, MANY // 3))
    of_full, auc_of_full = of_truth(
        judged(log, "full", "final_conversion", delay_loss="none", matures_after="")
    )
    naive, _ = of_truth(judged(log, "naive", delay_loss="none", matures_after=""))
    mature, _ = of_truth(judged(log, "mature", delay_loss="none"))
    corrected = judged(log, "corrected")
    of_corrected, auc_of_corrected = of_truth(corrected)
    assert of_full == pytest.approx(1.0, abs=0.02)
    assert naive == pytest.approx(LAW.mean_share_seen, abs=0.02)
    assert mature == pytest.approx(1.0, abs=0.02)
    assert of_corrected == pytest.approx(1.0, abs=0.02)
    assert auc_of_corrected == pytest.approx(auc_of_full, abs=0.002)
    mean_delay = np.exp(-learned(corrected.path)[1]) / DAY
    assert mean_delay == pytest.approx(LAW.mean_days, rel=0.15)
