"""Run directories in a store: bytes and weights of one on a disk, whatever moment it dies at."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import object_stores
import pytest
import small_models
from dying_jobs import Killed, killed_at
from faulty_proxy import Faults
from marks import slow

import tafe_tf
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError
from tafe_tf.data.manifest import files_below
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import entries
from tafe_tf.storage.texts import read_text
from tafe_tf.training import run_dir
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run
from tafe_tf.training.run_dir import RunDir

MODEL = ModelConfig(name="shared_bottom", arguments={"embedding_dim": 4, "bottom_units": [8]})
SETTINGS = TrainingConfig(
    epochs=2,
    batch_size=64,
    intercept_rows=300,
    steps_per_call=1,
    checkpoint_steps=2,
)


class _KillAt(keras.callbacks.Callback):
    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) == self._step:
            raise Killed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "schema.toml").write_text(small_models.SHOP)
    for name, seed in (("train-1", 0), ("train-2", 1), ("test", 2)):
        write(folder / f"{name}.csv", small_models.rows("shop", 200, seed))
    return folder


@pytest.fixture(scope="module")
def local(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run on a disk."""
    return train(data, tmp_path_factory.mktemp("local") / "run")


@pytest.fixture(autouse=True)
def another_machine() -> Iterator[Callable[[], None]]:
    """Forgets what this process has copied, as a process elsewhere has nothing."""
    run_dir._mirror_of.cache_clear()
    yield run_dir._mirror_of.cache_clear
    run_dir._mirror_of.cache_clear()


def train(
    data: pathlib.Path,
    where: str | pathlib.Path,
    callbacks: Any = (),
    **settings: Any,
) -> Run:
    return fit(
        DataConfig.in_directory(data),
        where,
        model=MODEL,
        training=dataclasses.replace(SETTINGS, **settings),
        callbacks=callbacks,
        verbose=True,
    )


def assert_equal_weights(run: Run, other: Run) -> None:
    for mine, yours in zip(run.model.variables, other.model.variables, strict=True):
        np.testing.assert_array_equal(np.array(mine), np.array(yours))


def metrics_of(run: Run) -> dict[str, Any]:
    """The metrics of the test rows, without the time that they took."""
    metrics = run.metrics
    assert metrics is not None
    return {name: value for name, value in metrics.items() if name != "seconds"}


def uri_of(path: pathlib.Path) -> str:
    return f"file://{path}"


def names_in(uri: str) -> set[str]:
    """The names of all files below a prefix, see `plain`."""
    return plain(entry.path.removeprefix(uri).lstrip("/") for entry in entries(uri, below=True))


def names_of(run: Run) -> set[str]:
    """The names of a run's files on the disk, see `plain`."""
    return plain(files_below(run.path))


def plain(names: Iterable[str]) -> set[str]:
    """Names without what depends on the time, and on how often a run was killed."""
    numbered = {re.sub(r"best/ckpt-\d+", "best/ckpt-N", name) for name in names}
    return {name for name in numbered if "tfevents" not in name}


def test_a_run_in_a_store_is_that_of_the_disk(
    data: pathlib.Path,
    local: Run,
    tmp_path: pathlib.Path,
    another_machine: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = uri_of(tmp_path / "run")
    run = train(data, uri)
    assert_equal_weights(run, local)
    assert names_in(uri) == names_of(local)
    for name in ("flags.txt", "schema.toml", "vocabulary/user.txt", "best/checkpoint"):
        assert read_text(f"{uri}/{name}") == (local.path / name).read_text()
    another_machine()
    loaded = tafe_tf.load(uri)
    assert repr(loaded) == f"Run('{uri}')"
    assert metrics_of(loaded) == metrics_of(local)
    rows = str(data / "test.csv")
    np.testing.assert_array_equal(loaded.predict(rows)["ctcvr"], local.predict(rows)["ctcvr"])
    assert not (loaded.path / "checkpoints").exists()  # which only training needs
    capsys.readouterr()
    again = train(data, uri)
    assert_equal_weights(again, local)
    assert f"resuming from {uri}/checkpoints/ckpt-" in capsys.readouterr().out


def test_a_killed_run_goes_on_elsewhere(
    data: pathlib.Path,
    local: Run,
    tmp_path: pathlib.Path,
    another_machine: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = uri_of(tmp_path / "run")
    with pytest.raises(Killed):
        train(data, uri, [_KillAt(9)])
    assert "model.keras" not in names_in(uri)
    another_machine()
    run = train(data, uri)
    assert re.search(rf"resuming from {uri}/checkpoints/ckpt-\d+: epoch 2", capsys.readouterr().out)
    assert_equal_weights(run, local)


# Of about 60 requests that write: the first ones, some of each kind, and the last ones.
MOMENTS = (1, 3, 16, 20, 26, 37, 45, 53, 57)


@pytest.mark.parametrize("moment", map(slow, MOMENTS))
def test_a_run_that_dies_while_it_sends_goes_on(
    data: pathlib.Path,
    local: Run,
    tmp_path: pathlib.Path,
    moment: int,
    another_machine: Callable[[], None],
) -> None:
    uri = uri_of(tmp_path / "run")
    with killed_at(moment):
        train(data, uri)
    another_machine()
    assert_equal_weights(train(data, uri), local)
    another_machine()
    loaded = tafe_tf.load(uri)
    assert_equal_weights(loaded, local)
    assert metrics_of(loaded) == metrics_of(local)
    assert names_in(uri) == names_of(local)


def test_rows_in_memory_are_kept_in_the_store(
    tmp_path: pathlib.Path,
    another_machine: Callable[[], None],
) -> None:
    rows = small_models.rows("shop", 300, 0)
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 64, "verbose": False}
    schema = tafe_tf.schema_toml.parse(tomllib.loads(small_models.SHOP))
    uri = uri_of(tmp_path / "run")
    run = tafe_tf.fit(schema, train=rows, run_dir=uri, model="shared_bottom", **settings)
    another_machine()
    again = tafe_tf.fit(schema, train=rows, run_dir=uri, model="shared_bottom", **settings)
    assert_equal_weights(again, run)
    assert again.directory.rows.train_files() == [f"{uri}/rows/train.parquet"]
    another_machine()
    with pytest.raises(RunError, match=f"^{uri}/rows/train.parquet: holds other rows"):
        tafe_tf.fit(
            schema,
            train=small_models.rows("shop", 300, 1),
            run_dir=uri,
            model="shared_bottom",
            **settings,
        )


@pytest.mark.slow
def test_a_warm_start_goes_on_from_a_run_in_a_store(
    data: pathlib.Path,
    local: Run,
    tmp_path: pathlib.Path,
    another_machine: Callable[[], None],
) -> None:
    first = uri_of(tmp_path / "first")
    train(data, first)
    another_machine()
    run = train(data, uri_of(tmp_path / "second"), warm_start=first)
    other = train(data, tmp_path / "other", warm_start=str(local.path))
    assert_equal_weights(run, other)
    assert first in read_text(uri_of(tmp_path / "second" / "warm_start.json"))


def test_what_differs_is_told_by_the_stores_names(
    data: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    uri = uri_of(tmp_path / "run")
    train(data, uri, epochs=1)
    with pytest.raises(RunError, match=f"^{uri}/flags.txt: this directory holds another run"):
        train(data, uri, learning_rate=0.5)


@pytest.mark.engines
def test_s3_holds_a_run_though_requests_fail(
    shop: str,
    s3_port: int,
    data: pathlib.Path,
    local: Run,
    another_machine: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    uri = f"{shop}/runs/faulty"
    faults = Faults(busy=10, cut=50, late=9, seconds=0.05)
    with object_stores.faulty_store(s3_port, faults):
        with pytest.raises(Killed):
            train(data, uri, [_KillAt(9)])
        another_machine()
        run = train(data, uri)
    assert_equal_weights(run, local)
    assert faults.done["busy"] >= 5
    assert sum("trying again in" in text for text in caplog.messages) >= faults.done["busy"]
    another_machine()
    assert metrics_of(tafe_tf.load(uri)) == metrics_of(local)
    assert names_in(uri) == names_of(local)


@pytest.mark.engines
def test_gcs_holds_a_run_that_was_killed(
    gs_shop: str,
    data: pathlib.Path,
    local: Run,
    another_machine: Callable[[], None],
) -> None:
    uri = f"{gs_shop}/runs/killed"
    with pytest.raises(Killed):
        train(data, uri, [_KillAt(9)])
    another_machine()
    assert_equal_weights(train(data, uri), local)
    another_machine()
    assert metrics_of(tafe_tf.load(uri)) == metrics_of(local)
    assert names_in(uri) == names_of(local)


@pytest.mark.engines
def test_s3_lets_one_process_train(shop: str, data: pathlib.Path) -> None:
    uri = f"{shop}/runs/locked"
    with RunDir(uri).locked(), pytest.raises(LockError, match="give another --run_dir"):
        train(data, uri)


@pytest.mark.engines
def test_a_denied_right_is_one_line(shop: str, s3_port: int, data: pathlib.Path) -> None:
    reader = object_stores.s3_variables(s3_port, key=object_stores.READER_KEY)
    with object_stores.environment(reader), pytest.raises(StoreError) as error:
        train(data, f"{shop}/runs/denied")
    assert str(error.value).startswith("s3://shop/runs/denied/.lock: cannot send it: the store")
    assert "\n" not in str(error.value)
