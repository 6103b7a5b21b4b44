"""Tables in half precision, from the layer through training and resumption to the export."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver

from tafe_tf import flags, schema_toml, train  # noqa: F401  (flags)
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.export import model_card
from tafe_tf.export.gate import check
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.table_storage import StoredTable
from tafe_tf.layers import FusedEmbedding
from tafe_tf.models import BY_NAME
from tafe_tf.training.loop import Trainer
from tafe_tf.training.run_dir import RunDir

HALF = ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)]
FLAGS = absl_flags.FLAGS


def table(table_dtype: Any, **kwargs: Any) -> FusedEmbedding:
    keras.utils.set_random_seed(4)
    layer = FusedEmbedding([30, 20], 8, table_dtype=table_dtype, **kwargs)
    layer.build()
    return layer


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_table_starts_as_the_float32_one_rounded_and_takes_half_the_memory(
    dtype: str, policy: str
) -> None:
    half, full = table(dtype, dtype=policy), table(None, dtype=policy)
    assert (half.table.dtype, full.table.dtype) == (dtype, "float32")
    np.testing.assert_array_equal(
        half.table.numpy(), full.table.numpy().astype(half.table.numpy().dtype)
    )
    assert half.table.numpy().nbytes * 2 == full.table.numpy().nbytes == 50 * 8 * 4
    ids = np.array([[0, 0], [29, 19]])
    assert half(ids).dtype == full(ids).dtype == half.compute_dtype
    np.testing.assert_allclose(
        tf.cast(half(ids), "float32"), tf.cast(full(ids), "float32"), rtol=2**-7, atol=1e-6
    )


def test_float32_is_what_there_was_and_configs_go_round() -> None:
    np.testing.assert_array_equal(table("float32").table.numpy(), table(None).table.numpy())
    assert table(None, dtype="float64").table.dtype == "float64"
    again = FusedEmbedding.from_config(table("bfloat16").get_config())
    assert again.table_dtype == "bfloat16"
    with pytest.raises(ValueError, match=r"`table_dtype` must be .*Received: table_dtype='int8'"):
        table("int8")


@pytest.mark.parametrize("name", ["tafe", "single_task", "esm2"])
def test_every_model_keeps_all_its_tables_so_and_is_saved_so(
    name: str, tmp_path: pathlib.Path
) -> None:
    made: Any = BY_NAME[name]
    model = made([5, 7], 2, 4, embedding_dtype="bfloat16")
    dtypes = {weight.path.split("/")[-1]: weight.dtype for weight in model.trainable_variables}
    assert dtypes.pop("table") == "bfloat16" and set(dtypes.values()) == {"float32"}
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config()["embedding_dtype"] == "bfloat16"
    for one, other in zip(model.variables, again.variables, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.array(one), np.array(other))


REPLICAS = """
import keras, numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tafe_tf.models import SharedBottom
from tafe_tf.optimizers import LazyAdam
rng, tables = np.random.default_rng(0), []
ids, labels = rng.integers(0, 9, (80, 2)), (rng.random((80, 1)) < [0.5, 0.2]).astype("float32")
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        sizes = {"bottom_units": [4], "tower_units": [4]}
        model = SharedBottom([9, 9], 2, 4, embedding_dtype="bfloat16", **sizes)
        model.compile(optimizer=LazyAdam(0.01), loss=model.paper_loss())
    start = np.array(model.embedding.table, "float32")
    model.fit(ids, labels, batch_size=20, verbose=0, shuffle=False)
    tables.append(np.array(model.embedding.table, "float32"))
assert np.abs(tables[0] - start).max() > 0.01
# Sums of gradients differ in their last bits.
np.testing.assert_allclose(tables[1], tables[0], rtol=2**-7)
print("equal")
"""


@pytest.mark.slow
def test_replicas_sum_its_gradients() -> None:
    """In a process of its own: devices are chosen once."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.endswith("equal\n"), done.stderr[-3000:]


# The jobs.


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A funnel, and flags for a small model."""
    root = tmp_path_factory.mktemp("jobs")
    synthetic = SyntheticFunnel(rates=(0.3, 0.1), fields=4, values=30)
    (root / "schema.toml").write_text(schema_toml.dump(synthetic.schema()))
    synthetic.write(root / "train.parquet", 20_000, stream=0)
    synthetic.write(root / "test.parquet", 10_000, stream=1)
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(
        data_dir=str(root),
        model="shared_bottom",
        embedding_dim=8,
        batch_size=128,
        epochs=2,
        learning_rate=4e-4,
    ):
        yield root


def trained(root: pathlib.Path, name: str, dtype: str) -> RunDir:
    run = root / name
    with flagsaver.flagsaver(run_dir=str(run), embedding_dtype=dtype):
        train.train()
    return RunDir(run)


@pytest.fixture(scope="module")
def runs(jobs: pathlib.Path) -> Callable[[str], RunDir]:
    """A run of a precision, trained once."""
    return functools.cache(lambda dtype: trained(jobs, dtype, dtype))


def metrics(run: RunDir) -> dict[str, float]:
    found: dict[str, float] = json.loads((run.path / "metrics.json").read_text())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_learns_what_float32_learns(
    runs: Callable[[str], RunDir], dtype: str
) -> None:
    half, full = metrics(runs(dtype)), metrics(runs("float32"))
    assert full["auc/ctr"] > 0.65
    for name in ("auc/ctr", "auc/ctcvr"):
        assert half[name] == pytest.approx(full[name], abs=2e-3)  # seeds differ by more
    assert half["log_loss/ctr"] == pytest.approx(full["log_loss/ctr"], abs=1e-3)
    assert {variable.dtype for variable in runs(dtype).load_best().variables} == {"float32", dtype}


@pytest.mark.slow
def test_interrupted_it_ends_the_same(
    runs: Callable[[str], RunDir], jobs: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    save, saves = Trainer._save, []

    def stop(trainer: Trainer, state: Any) -> None:
        save(trainer, state)
        saves.append(state)
        if len(saves) == 2:
            raise Stop

    with flagsaver.flagsaver(checkpoint_steps=40):
        monkeypatch.setattr(Trainer, "_save", stop)
        with pytest.raises(Stop):
            trained(jobs, "stopped", "bfloat16")
        monkeypatch.setattr(Trainer, "_save", save)
        resumed = trained(jobs, "stopped", "bfloat16")
    for one, other in zip(
        resumed.load_best().variables, runs("bfloat16").load_best().variables, strict=True
    ):
        np.testing.assert_array_equal(np.array(one), np.array(other))


@pytest.mark.parametrize("dtype", HALF)
def test_the_export_serves_the_table_as_it_was_trained(
    runs: Callable[[str], RunDir], dtype: str, tmp_path: pathlib.Path
) -> None:
    run = runs(dtype)
    path = publish(run, tmp_path, ExportConfig(version=1))
    assert check(path)
    assert json.loads((path / model_card.FILE).read_text())["embedding_storage"] == dtype
    assert dtype in {d.name for d in variables(path)}
    (layer,) = run.load_best().tables()
    rows, values = np.arange(20), layer.table.numpy()[:20].astype(np.float32)
    small = StoredTable(layer.table, "int8")
    assert (
        np.abs(small(rows).numpy() - values)
        <= np.abs(values).max(axis=1, keepdims=True) / 254 * 1.00001
    ).all()
    assert {variable.dtype for variable in small.variables} == {tf.int8, tf.float32}


def variables(path: pathlib.Path) -> list[tf.DType]:
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    return list(reader.get_variable_to_dtype_map().values())
