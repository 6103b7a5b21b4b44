"""Every model as a plain `keras.Model`: fit, evaluate, predict, save and go on, callbacks too."""

from __future__ import annotations

import csv
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from marks import all_slow_but
from registry import MODELS, make

from tafe_tf.keras_metrics import funnel_metrics
from tafe_tf.metrics import FunnelMetrics
from tafe_tf.models import TAFE, FunnelModel
from tafe_tf.optimizers import LazyAdam

ROWS, N, B = [4, 9, 5], 2, 32
NAMES = (("ctr", "ctcvr"), ("cvr",))
COMMON: dict[str, Any] = {"embedding_stddev": 0.5, "dropout": 0.1}
LISTS = {"tafe", "single_task"}  # these get dicts: the second field holds lists of up to two


def rows(name: str, count: int = 96, seed: int = 0) -> tuple[Any, np.ndarray, np.ndarray]:
    """Inputs, labels (two actions last) and weights; the first field decides the steps."""
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, n, count) for n in ROWS], axis=1)
    depth = rng.binomial(N, (ids[:, :1] + 1) / 5)
    labels = np.concatenate([depth > np.arange(N), depth > 1, depth > 2], axis=1).astype(np.float32)
    inputs: Any = ids
    if name in LISTS:
        more = rng.integers(0, ROWS[1], (count, 1))
        weights = np.c_[np.ones(count), rng.uniform(0, 1, (count, 2)), np.ones(count)].astype(
            np.float32
        )
        inputs = {"ids": np.concatenate([ids[:, :2], more, ids[:, 2:]], axis=1), "weights": weights}
    return inputs, labels, rng.uniform(0.5, 2, count).astype(np.float32)


# With the registry's deeper layers, logits lie so close together after two epochs that the AUC in
# bins cannot tell them apart.
WIDE_APART: dict[str, dict[str, Any]] = {
    "shared_bottom": {"bottom_units": [4], "tower_units": [4]},
    "ple": {"num_levels": 2, "expert_units": [6]},
    "cross_stitch": {"tower_units": [4, 4]},
}


def compiled(name: str, **kwargs: Any) -> FunnelModel:
    keras.utils.set_random_seed(1)
    slots = [1, 2, 1] if name in LISTS else None
    sizes = {**WIDE_APART.get(name, {}), **COMMON, **kwargs}
    model = make(name, ROWS, N, slots=slots, **sizes)
    model.compile(
        optimizer=LazyAdam(0.02), loss=model.paper_loss(), weighted_metrics=funnel_metrics(*NAMES)
    )
    return model


def state(model: FunnelModel) -> dict[str, np.ndarray]:
    """All weights, seeds and moments."""
    variables = [*model.variables, *model.optimizer.variables]
    return {f"{i} {variable.path}": np.array(variable) for i, variable in enumerate(variables)}


def assert_same(one: FunnelModel, other: FunnelModel, atol: float = 0.0) -> None:
    for (name, a), b in zip(state(one).items(), state(other).values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=name)


QUICK = {"tafe", "escm2+dr"}


@pytest.mark.parametrize("name", all_slow_but(QUICK, MODELS))
def test_fit_evaluate_save_and_go_on(name: str, tmp_path: pathlib.Path) -> None:
    model, (x, y, w) = compiled(name), rows(name)
    settings: dict[str, Any] = {"batch_size": B, "shuffle": False, "verbose": 0}
    history = model.fit(
        x, y, sample_weight=w, validation_data=rows(name, 40, 1), epochs=2, **settings
    ).history
    assert set(history) == {
        f"{v}{k}" for v in ("", "val_") for k in ("loss", *(m.name for m in funnel_metrics(*NAMES)))
    }

    logits = model.predict(x, batch_size=B, verbose=0)
    assert logits.shape == (96, N)
    given = model.evaluate(x, y, sample_weight=w, batch_size=B, verbose=0, return_dict=True)
    loss = float(model.paper_loss()(y, model(x), w)) + sum(float(own) for own in model.losses)
    assert given["loss"] == pytest.approx(loss, rel=1e-4)
    exact = FunnelMetrics(*NAMES)
    exact.update(logits, y[:, :N], w)
    for key, value in exact.result().items():
        if key in given:
            # Keras counts in 200 bins, and of the few pairs of so small a model many share one.
            bound = 0.06 if key.startswith("auc") else 0.0
            assert given[key] == pytest.approx(value, rel=1e-4, abs=bound), key

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(model) and type(again.optimizer) is LazyAdam
    assert_same(again, model)
    np.testing.assert_array_equal(again(x), model(x))
    losses = [
        one.fit(x, y, sample_weight=w, epochs=1, **settings).history["loss"]
        for one in (model, again)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0][0] < history["loss"][0]
    # Two traces of PLE's step may add up the many gradients of an embedding in another order.
    assert_same(again, model, atol=1e-6 if name == "ple" else 0.0)
    assert int(again.optimizer.iterations) == 9
    if isinstance(again, TAFE):
        assert int(again.gamma.step) == 9


@pytest.mark.slow
def test_callbacks_over_tf_data(tmp_path: pathlib.Path) -> None:
    model, (x, y, w) = compiled("tafe"), rows("tafe")
    train = tf.data.Dataset.from_tensor_slices((x, y, w)).shuffle(96, seed=0).batch(B)
    valid = tf.data.Dataset.from_tensor_slices(rows("tafe", 400, 1)).batch(100)
    best = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.EarlyStopping("val_auc/ctcvr", patience=3, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(best, "val_auc/ctcvr", save_best_only=True),
        keras.callbacks.ReduceLROnPlateau(
            "val_log_loss/cvr", factor=0.5, patience=0, min_delta=9.0
        ),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "board"),
    ]
    history = model.fit(
        train, validation_data=valid, epochs=40, verbose=0, callbacks=callbacks
    ).history
    seen = history["val_auc/ctcvr"]
    assert (
        4 <= len(seen) < 40 and len(seen) - 1 - int(np.argmax(seen)) == 3
    )  # larger is better, by itself
    assert history["learning_rate"][:3] == pytest.approx([0.02, 0.02, 0.01])
    again = model.evaluate(valid, verbose=0, return_dict=True)
    assert again["auc/ctcvr"] == max(seen)
    assert keras.models.load_model(best).evaluate(valid, verbose=0, return_dict=True) == again
    with (tmp_path / "log.csv").open() as file:
        assert [float(line["val_auc/ctcvr"]) for line in csv.DictReader(file)] == pytest.approx(
            seen
        )
    assert board(tmp_path / "board" / "validation", "epoch_auc/ctcvr") == pytest.approx(seen)


def board(path: pathlib.Path, tag: str) -> list[float]:
    """A curve of TensorBoard's files."""
    events = [
        event
        for file in path.glob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
    ]
    values = [
        (event.step, value) for event in events for value in event.summary.value if value.tag == tag
    ]
    return [
        float(tf.make_ndarray(value.tensor))
        for _, value in sorted(values, key=lambda pair: pair[0])
    ]


@pytest.mark.parametrize("name", all_slow_but({"esm2+action"}, ["tafe", "esm2+action"]))
def test_weights_travel_and_models_are_cloned(name: str, tmp_path: pathlib.Path) -> None:
    model, (x, y, _) = compiled(name), rows(name)
    model.fit(x, y, batch_size=B, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    slots = [1, 2, 1] if name in LISTS else None
    plain = make(name, ROWS, N, slots=slots, **{**COMMON, "dropout": 0.0})
    for other in (clone, plain):  # dropout is no weight
        assert np.abs(np.array(other(x)) - np.array(model(x))).max() > 0.1
        other.load_weights(tmp_path / "model.weights.h5")
        np.testing.assert_array_equal(other(x), model(x))
    assert clone.get_config() == model.get_config()
    np.testing.assert_array_equal(
        np.array(clone(x, training=True)), np.array(model(x, training=True))
    )
