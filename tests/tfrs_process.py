"""The models as TensorFlow Recommenders models.

`test_tfrs.py` runs this in a process of its own, with legacy Keras.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf
from registry import make
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from tafe_tf import schema, schema_toml
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.export.publish import in_python
from tafe_tf.losses import FunnelLoss
from tafe_tf.models import MMOE, TAFE, FunnelModel
from tafe_tf.tfrs import FunnelRecommender
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.loop import Trainer
from tafe_tf.training.run_dir import RunDir

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
ROWS, D, N = [4, 3, 50], 4, 3
FUNNEL = """
name = "loans"
sample_weight = "weight"
[[tasks]]
name = "view"
[[tasks]]
name = "apply"
weight = 2.0
via = "ask"
[[tasks]]
name = "fund"
weight = 0.5
[[features]]
name = "user"
kind = "vocabulary"
"""


def made(name: str) -> FunnelModel:
    """A model of the registry, some with dropout."""
    dropout = 0.2 if name in ("tafe", "cross_stitch") else 0.0
    return make(name, ROWS, N, D, dropout=dropout)


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> schema.Schema:
    """A funnel of three steps with weights of tasks and rows, and an action between two steps."""
    path = tmp_path_factory.mktemp("loans") / "schema.toml"
    path.write_text(FUNNEL)
    return schema_toml.load(path)


# One loss of the funnel alone, and one of further columns: the wrapper is the same for all models.
WRAPPED = ("tafe", "esm2+action")


@pytest.fixture(params=WRAPPED)
def model(request: pytest.FixtureRequest) -> FunnelModel:
    """Each of these models."""
    keras.utils.set_random_seed(1)
    return made(request.param)


def batch(rows: int, seed: int = 0) -> dict[str, Any]:
    """Ids, labels that the first field decides, an action and weights."""
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, n, rows) for n in ROWS], axis=1).astype(np.int32)
    reached = rng.random((rows, 1)) < np.cumprod([0.2, 0.6, 0.6]) * (1 + ids[:, :1])
    view, apply, fund = reached.astype(np.int64).T
    ask = view * rng.integers(0, 2, rows)
    weight = rng.uniform(0.5, 2.0, rows).astype(np.float32)
    return {"ids": ids, "view": view, "apply": apply, "fund": fund, "ask": ask, "weight": weight}


def labels_of(columns: dict[str, Any]) -> np.ndarray:
    return np.stack([columns[name] for name in ("view", "apply", "fund", "ask")], axis=1).astype(
        np.float32
    )


def batches(columns: dict[str, Any], size: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(columns).batch(size)


def copy(model: FunnelModel) -> FunnelModel:
    """Another one with the same weights and the same seeds of its random layers."""
    twin: FunnelModel = type(model).from_config(model.get_config())
    for variable, value in zip(twin.variables, model.variables, strict=True):
        variable.assign(value)
    return twin


def assert_equal_weights(one: FunnelModel, other: FunnelModel, tolerance: float = 1e-6) -> None:
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=tolerance, err_msg=a.path)


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_the_papers(model: FunnelModel, loans: schema.Schema, training: bool) -> None:
    columns, twin = batch(40), copy(model)
    recommender = FunnelRecommender(model, loans)
    loss = twin.paper_loss([1.0, 2.0, 0.5])
    logits = twin({"ids": columns["ids"]}, training=training)
    expected = loss(labels_of(columns), logits, sample_weight=columns["weight"])
    np.testing.assert_allclose(
        recommender.compute_loss(columns, training=training), expected, rtol=1e-6
    )
    np.testing.assert_allclose(recommender.losses, twin.losses, rtol=1e-6)


@pytest.mark.parametrize("name", WRAPPED)
def test_an_amount_is_part_of_the_loss_and_of_the_answers(name: str, loans: schema.Schema) -> None:
    with_amount = dataclasses.replace(loans, amount=schema.Amount(name="spend", weight=0.5))
    model = make(name, ROWS, N, D, amount=True)
    columns = batch(40)
    columns["spend"] = np.where(columns["fund"] == 1, 7.5, np.nan)
    recommender = FunnelRecommender(model, with_amount)
    loss = model.paper_loss([1.0, 2.0, 0.5], amount_weight=0.5)
    amounts = np.nan_to_num(columns["spend"])[:, None].astype(np.float32)
    labels = np.concatenate([labels_of(columns), amounts], axis=1)
    outputs = model({"ids": columns["ids"]}, training=False)
    expected = loss(labels, outputs, sample_weight=columns["weight"])
    found = recommender.compute_loss(columns, training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    answers = recommender({"ids": columns["ids"]})
    assert tuple(answers) == with_amount.output_names
    product = answers["p_fund"] * answers["amount_given_fund"]
    np.testing.assert_allclose(answers["expected_amount"], product, rtol=1e-5)


@pytest.mark.parametrize("spelled", [-1.0, np.nan])
def test_labels_that_are_unknown_have_their_expectation(
    model: FunnelModel, loans: schema.Schema, spelled: float
) -> None:
    tasks = tuple(dataclasses.replace(task, may_be_unknown=True) for task in loans.tasks)
    unsure = dataclasses.replace(loans, tasks=tasks)
    columns, twin = batch(40), copy(model)
    unknown = {name: columns[name].astype(np.float32) for name in ("view", "apply", "fund", "ask")}
    unknown["fund"][::3] = np.where(unknown["apply"][::3] == 1, -1.0, 0.0)
    for values in unknown.values():
        values[:5] = -1.0  # rows that know nothing
    given = {name: np.where(values < 0, spelled, values) for name, values in unknown.items()}
    recommender = FunnelRecommender(model, unsure)
    loss = twin.paper_loss([1.0, 2.0, 0.5], may_be_unknown=True)
    logits = twin({"ids": columns["ids"]}, training=False)
    expected = loss(labels_of(unknown), logits, sample_weight=columns["weight"])
    found = recommender.compute_loss({**columns, **given}, training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["tafe", "esm2"])
def test_one_step_is_a_task_alone(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    path.write_text("""
name = "views"
sample_weight = "weight"
[[tasks]]
name = "view"
weight = 2.0
[[features]]
name = "user"
kind = "vocabulary"
""")
    recommender = FunnelRecommender(make(name, ROWS, 1, D), schema_toml.load(path))
    columns = batch(40)
    logits = recommender.model({"ids": columns["ids"]}).numpy()
    weight = columns["weight"]
    loss = log_loss(columns["view"], expit(logits[:, 0]), sample_weight=weight) * weight.mean()
    np.testing.assert_allclose(recommender.compute_loss(columns), 2.0 * loss, rtol=1e-5)
    recommender.compile(tf.keras.optimizers.legacy.Adam(0.01))
    recommender.fit(batches(columns, 20), verbose=0)
    assert list(recommender({"ids": columns["ids"]})) == ["ctr"]


def test_tasks_are_cross_entropies_and_the_rest_is_l_d(loans: schema.Schema) -> None:
    model, columns = made("shared_bottom"), batch(40)
    recommender = FunnelRecommender(
        model, loans, loss=FunnelLoss([1.0, 2.0, 0.5], dependence_weight=0.3)
    )
    logits, labels, weight = (
        model({"ids": columns["ids"]}).numpy(),
        labels_of(columns)[:, :N],
        columns["weight"],
    )
    error = expit(logits) - labels
    l_d = 0.3 * np.mean(weight * ((error[:, :-1] - error[:, 1:]) ** 2).sum(axis=1))
    tasks = []
    for i, task in enumerate(recommender.tasks):
        tasks.append(float(task(labels[:, [i]], logits[:, [i]], sample_weight=weight)))
        # scikit-learn divides by the sum of the weights, Keras by the number of rows
        expected = log_loss(labels[:, i], expit(logits[:, i]), sample_weight=weight) * weight.mean()
        np.testing.assert_allclose(tasks[i], expected, rtol=1e-6)
    np.testing.assert_allclose(
        recommender.compute_loss(columns), tasks @ np.array([1.0, 2.0, 0.5]) + l_d, rtol=1e-6
    )
    recommender._task_weights = [0.0] * N
    np.testing.assert_allclose(recommender.compute_loss(columns), l_d, rtol=1e-6)


def test_fit_learns_what_keras_3_learns(model: FunnelModel, loans: schema.Schema) -> None:
    columns, twin = batch(64), copy(model)
    recommender = FunnelRecommender(model, loans)
    in_a_graph = isinstance(
        model, (TAFE, MMOE)
    )  # which have a state and losses of layers; the others in less time
    recommender.compile(tf.keras.optimizers.SGD(0.2), run_eagerly=not in_a_graph)
    history = recommender.fit(batches(columns, 32), epochs=4, verbose=0).history
    assert history["total_loss"][-1] < history["total_loss"][0]

    twin.compile(keras.optimizers.SGD(0.2), loss=twin.paper_loss([1.0, 2.0, 0.5]), run_eagerly=True)
    inputs, weight = {"ids": columns["ids"]}, columns["weight"]
    twin.fit(
        inputs,
        labels_of(columns),
        sample_weight=weight,
        batch_size=32,
        epochs=4,
        shuffle=False,
        verbose=0,
    )
    # A graph and single calls sum in other orders; after eight steps 4e-6 was seen on one CPU.
    assert_equal_weights(model, twin, tolerance=1e-5)


def test_gradients_of_tables_are_sparse(model: FunnelModel, loans: schema.Schema) -> None:
    recommender = FunnelRecommender(model, loans)
    with tf.GradientTape() as tape:
        loss = recommender.compute_loss(batch(7), training=True)
    gradients = tape.gradient(loss, recommender.trainable_variables)
    sparse = [isinstance(gradient, tf.IndexedSlices) for gradient in gradients]
    assert sparse == [variable.path.endswith("table") for variable in model.trainable_variables]
    assert sum(sparse) == len(model.tables())


def test_adagrad_leaves_rows_alone_that_are_in_no_batch(loans: schema.Schema) -> None:
    model, columns = made("tafe"), batch(7)
    before = model.embedding.table.numpy()
    recommender = FunnelRecommender(model, loans)
    recommender.compile(tf.keras.optimizers.Adagrad(0.1), run_eagerly=True)
    recommender.fit(batches(columns, 7), verbose=0)
    moved = np.flatnonzero((model.embedding.table.numpy() != before).any(axis=1))
    assert set(moved) == set((columns["ids"] + np.cumsum([0, *ROWS[:-1]])).ravel())


def test_legacy_adam_takes_sparse_gradients_as_dense_ones(loans: schema.Schema) -> None:
    columns, model = batch(40), made("esmm")
    twin = FunnelRecommender(copy(model), loans)
    recommender = FunnelRecommender(model, loans)
    recommender.compile(tf.keras.optimizers.Adam(0.01, epsilon=1e-3), run_eagerly=True)
    recommender.fit(batches(columns, 10), verbose=0)
    moments = [[np.zeros(v.shape), np.zeros(v.shape)] for v in twin.trainable_variables]
    for step, rows in enumerate(batches(columns, 10), start=1):
        with tf.GradientTape() as tape:
            loss = twin.compute_loss(rows, training=True)
        gradients = tape.gradient(loss, twin.trainable_variables)
        for variable, gradient, moment in zip(
            twin.trainable_variables, gradients, moments, strict=True
        ):
            g = tf.convert_to_tensor(gradient).numpy()  # with the rows of an id summed
            moment[:] = [0.9 * moment[0] + 0.1 * g, 0.999 * moment[1] + 0.001 * g**2]
            rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            variable.assign_sub((rate * moment[0] / (np.sqrt(moment[1]) + 1e-3)).astype(np.float32))
    assert_equal_weights(model, twin.model)


def test_frozen_layers_stay(loans: schema.Schema) -> None:
    model = made("esmm")
    recommender = FunnelRecommender(model, loans)
    model.embedding.trainable = False
    table, kernel = model.embedding.table.numpy(), model.heads.kernel.numpy()
    recommender.compile(tf.keras.optimizers.SGD(0.1), run_eagerly=True)
    recommender.fit(batches(batch(32), 32), verbose=0)
    np.testing.assert_array_equal(model.embedding.table.numpy(), table)
    assert (model.heads.kernel.numpy() != kernel).any()


@pytest.mark.parametrize("file", ["weights", "weights.h5"])
def test_weights_are_saved_and_restored_exactly(
    file: str, loans: schema.Schema, tmp_path: pathlib.Path
) -> None:
    model, other = made("tafe"), made("tafe")
    recommender = FunnelRecommender(model, loans)
    assert recommender.count_params() == sum(int(np.prod(v.shape)) for v in model.variables)
    recommender.save_weights(tmp_path / file)
    restored = FunnelRecommender(other, loans)
    restored.load_weights(tmp_path / file)
    assert_equal_weights(other, model, tolerance=0)


def test_auc_is_scikit_learns_in_bins_of_a_tenth(loans: schema.Schema) -> None:
    keras.utils.set_random_seed(0)
    model = make("shared_bottom", ROWS, N, D, bottom_units=[7], tower_units=[4])
    columns = batch(3000)
    for variable in model.trainable_variables:
        variable.assign(variable.value * 3.0)  # probabilities of all sizes
    # Some are rare. Rows whose units are all shut have these logits, none at the edge of a bin.
    model.shift_logits(np.array([0.05, -2.95, -5.95], np.float32))
    recommender = FunnelRecommender(model, loans)
    recommender.compile()
    found = recommender.evaluate(batches(columns, 700), verbose=0, return_dict=True)
    logits, labels = model({"ids": columns["ids"]}).numpy(), labels_of(columns)
    assert logits.min() > -16.0 and logits.max() < 12.0
    for i, name in enumerate(loans.step_names):
        exact = roc_auc_score(labels[:, i], logits[:, i], sample_weight=columns["weight"])
        binned = roc_auc_score(
            labels[:, i], np.floor(logits[:, i] * 10), sample_weight=columns["weight"]
        )
        assert abs(binned - exact) < 0.005
        np.testing.assert_allclose(
            found[f"auc/{name}"], binned, atol=1e-5
        )  # sums of float32 weights


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """An untrained run with raw columns of every kind."""
    return small_models.make_run(tmp_path_factory.mktemp("shop"), "shop")


def raw(run: RunDir) -> dict[str, Any]:
    """All training rows in one batch."""
    files = [str(run.path.parent / "data" / "train.parquet")]
    data = FunnelData(files=files, schema=run.schema(), batch_size=600)
    (rows,) = data.training_batches(Position())
    return {**rows.inputs, **dict(zip(run.schema().labels, rows.labels.T, strict=True))}


def test_fit_on_raw_columns_learns_what_the_training_loop_learns(
    shop: RunDir, tmp_path: pathlib.Path
) -> None:
    model, features, columns = shop.load_best(), shop.features(), raw(shop)
    twin = copy(model)
    recommender = FunnelRecommender(model, shop.schema(), features)
    recommender.compile(tf.keras.optimizers.SGD(0.1))
    history = recommender.fit(batches(columns, 600), epochs=4, verbose=0).history
    assert history["loss"] == sorted(history["loss"], reverse=True)

    files = [str(shop.path.parent / "data" / "train.parquet")]
    data = FunnelData(files=files, schema=shop.schema(), batch_size=600)
    trainer = Trainer(
        twin,
        features,
        optimizer=keras.optimizers.SGD(0.1),
        loss=twin.paper_loss(),
        config=TrainingConfig(epochs=4, intercept_rows=0),
        run=RunDir(tmp_path),
    )
    trainer.fit(data, data)
    assert_equal_weights(model, twin)


def test_a_fitted_model_is_saved_in_its_run_and_predicts_what_is_served(shop: RunDir) -> None:
    model, columns = shop.load_best(), raw(shop)
    recommender = FunnelRecommender(model, shop.schema(), shop.features())
    recommender.compile(tf.keras.optimizers.SGD(0.1), run_eagerly=True)
    recommender.fit(batches(columns, 600), verbose=0)
    shop.save_best(model)
    inputs = {column.name: columns[column.name] for column in shop.schema().inputs}
    served = in_python(shop.load_best(), shop.features(), None)(inputs)
    predicted = recommender.predict(batches(inputs, 100), verbose=0)  # without labels
    assert predicted.keys() == served.keys() == {"ctr", "ctcvr", "cvr"}
    for name, values in served.items():
        np.testing.assert_allclose(predicted[name], values, rtol=1e-5)
        one = recommender({name: column[:1] for name, column in inputs.items()})[name]
        np.testing.assert_allclose(one, values[:1], rtol=1e-5)


def test_training_can_stop_early_by_a_tasks_auc(loans: schema.Schema) -> None:
    recommender = FunnelRecommender(made("esmm"), loans, loss=FunnelLoss())
    recommender.compile(tf.keras.optimizers.SGD(0.0), run_eagerly=True)
    stop = tf.keras.callbacks.EarlyStopping("val_auc/p_apply", mode="max", patience=1)
    rows = batches(batch(64), 64)
    history = recommender.fit(
        rows, validation_data=rows, epochs=5, callbacks=[stop], verbose=0
    ).history
    assert len(history["val_auc/p_apply"]) == 2  # no better than the first time


def test_the_two_stages_of_the_example(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("two_stage", EXAMPLES / "two_stage.py")
    assert spec is not None and spec.loader is not None
    two_stage = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(two_stage)
    worth = two_stage.run(tmp_path, users=80, items=200, rows=15_000, retrieved=30)
    any_item, first, second, best_retrieved, best = worth.values()
    assert any_item < first < second < best_retrieved <= best
    assert f"{second:.4f}" in capsys.readouterr().out
