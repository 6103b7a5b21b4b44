"""Every model on JAX, without TensorFlow, against TensorFlow's outputs, gradients and steps."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from marks import all_slow_but
from registry import MODELS, make
from without_tensorflow import run_module

from tafe_tf import jax_training
from tafe_tf.losses import ExponentialDelay, FunnelLoss
from tafe_tf.models import ESMM, FunnelModel
from tafe_tf.optimizers import LazyAdam

ROWS, N, D, SLOTS = [23, 5, 9], 3, 4, [1, 3, 2]
B, BATCHES = 8, 5
# With an epsilon of 1e-7 the rounding of a gradient that is 0 would decide over a whole step.
ADAM: dict[str, Any] = {"learning_rate": 2e-3, "epsilon": 1e-4}
Arrays = dict[str, Any]
TABLES_IN_PARTS = {23, 14}  # rows of the two tables that ROWS are cut into
LISTS = {"mmoe+dselect_k"}  # the models whose last two fields hold lists
# Some of the models whose code has a part for pairs of steps, with one step alone.
ONE_STEP = {f"{name}, one step": name for name in ("tafe", "aitm", "escm2+dr", "esm2")}
# Some of the models with an amount behind the last step.
AMOUNTS = {f"{name}, amount": name for name in ("tafe+deep", "escm2+dr", "hm3")}
# One of the models with numbers and vectors beside its ids.
NUMBERS = {"shared_bottom, numbers and vectors": "shared_bottom"}
FURTHER = ("numbers", "vectors")  # what such a model reads beside ids
ENCODERS: list[dict[str, Any]] = [
    {"kind": "number", "embedding": "linear"},
    {"kind": "number", "embedding": "autodis", "buckets": 3},
    {"kind": "vector", "length": 3},
]
# Some of the models with a field whose lists are a history, by how the first field reads it.
SEQUENCES = {
    "tafe, history": ("tafe", "din"),
    "single_task, history": ("single_task", "dot"),
    "esmm, history": ("esmm", "transformer"),
}
# One in which the last field uses the first one's rows, and the second one's are not trained.
SHARED = {"tafe, shared rows": "tafe"}
ROWS_OF = {case: [23, 9, 23] for case in SHARED}
_NORMAL = np.random.default_rng(7).standard_normal
ATTENTION: Arrays = {  # B = 2, M = 2, K = 4, F = 3, d = 6, e = 3
    name: _NORMAL(shape).astype(np.float32)
    for name, shape in {
        "queries": (2, 8, 6),
        "keys": (2, 3, 6),
        "values": (2, 2, 3, 3),
        "upstream": (2, 2, 4, 3),
    }.items()
}
CASES = [*MODELS, *ONE_STEP, *AMOUNTS, *SEQUENCES, *SHARED, *NUMBERS]
QUICK = {"tafe", "tafe, history"}
STEPPED = {
    "tafe": 1,
    "tafe, history": 1,
    "tafe, shared rows": 1,
    "tafe+parts": 1,
    "single_task": 2,
    "mmoe+dselect_k": 2,
}  # on as many devices


def made(case: str, rng: np.random.Generator) -> FunnelModel:
    """A model whose weights are all random, biases and norms too."""
    plain = {**ONE_STEP, **AMOUNTS, **SHARED, **NUMBERS}.get(case, case)
    name, attention = SEQUENCES.get(case, (plain, ""))
    num_tasks = 1 if case in ONE_STEP else N
    own: Arrays = {"slots": SLOTS if has_lists(case) else None, "amount": case in AMOUNTS}
    if case in NUMBERS:
        own["encoders"] = ENCODERS
    if attention:
        sequence = {"kind": "sequence", "features": [1], "query": [0], "attention": attention}
        own["encoders"] = [sequence]
    if case in SHARED:
        own |= {"shares": [0, 1, 0], "frozen": [1]}
    model = make(name, ROWS_OF.get(case, ROWS), num_tasks, D, **own)
    for variable in model.weights:
        if variable.dtype == "float32":
            variable.assign(rng.normal(scale=0.7, size=variable.shape))
    return model


def has_lists(case: str) -> bool:
    return case in LISTS or case in SEQUENCES


def rows(case: str, rng: np.random.Generator) -> Arrays:
    """Ids, pooling weights where there are lists, and labels of the funnel and of two actions."""
    slots = SLOTS if has_lists(case) else [1] * len(ROWS)
    sizes = ROWS_OF.get(case, ROWS)
    ids = [rng.integers(0, size, (B * BATCHES, n)) for size, n in zip(sizes, slots, strict=True)]
    depth = rng.integers(0, N + 1, (B * BATCHES, 1))
    labels = np.concatenate([np.arange(N) < depth, rng.random((B * BATCHES, 2)) < 0.4], axis=1)
    if case in AMOUNTS:
        amounts = np.where(depth == N, rng.lognormal(size=depth.shape), 0.0)
        labels = np.concatenate([labels, amounts], axis=1)
    given: Arrays = {"ids": np.concatenate(ids, axis=1), "labels": labels.astype(np.float32)}
    if case in NUMBERS:
        for name, width in zip(FURTHER, (2, 3), strict=True):
            given[name] = rng.normal(size=(len(labels), width)).astype(np.float32)
            given[name][rng.random(len(labels)) < 0.3] = np.nan
    pooling = rng.uniform(-1, 1, given["ids"].shape).astype(np.float32)
    if case in SEQUENCES:  # an entry is there or not, and some rows have no entry
        pooling = np.ones_like(pooling)
        pooling[:, 1:4] = rng.random((B * BATCHES, 3)) < 0.5
    return {**given, "pooling": pooling} if max(slots) > 1 else given


def inputs_of(given: Arrays, at: slice = slice(None)) -> Any:
    inputs = {"ids": given["ids"][at]}
    if "pooling" in given:
        inputs["weights"] = given["pooling"][at]
    inputs |= {name: given[name][at] for name in FURTHER if name in given}
    return inputs if len(inputs) > 1 else given["ids"][at]


def differentiate(model: FunnelModel, given: Arrays, at: slice = slice(None)) -> tuple[Any, ...]:
    """Logits, the model's own loss and its gradients, of training."""
    with tf.GradientTape() as tape:
        logits = model(inputs_of(given, at), training=True)
        loss = model.paper_loss()(given["labels"][at], logits) + sum(model.losses)
    return (
        logits,
        loss,
        tape.gradient(loss, [variable.value for variable in model.trainable_variables]),
    )


def expected(model: FunnelModel, given: Arrays) -> Arrays:
    """What TensorFlow answers."""
    inference = model(inputs_of(given), training=False)
    training, loss, gradients = differentiate(model, given)
    answers = {
        f"gradient_{i}": tf.convert_to_tensor(gradient).numpy()
        for i, gradient in enumerate(gradients)
    }
    return {
        "inference": np.array(inference),
        "training": np.array(training),
        "loss": np.array(loss),
        **answers,
    }


def stepped(model: FunnelModel, given: Arrays) -> Arrays:
    """Weights and moments after TensorFlow's steps."""
    optimizer = LazyAdam(**ADAM)
    for start in range(0, B * BATCHES, B):
        _, _, gradients = differentiate(model, given, slice(start, start + B))
        optimizer.apply(gradients, model.trainable_variables)
    return {
        f"stepped_{i}": variable.numpy()
        for i, variable in enumerate([*model.weights, *optimizer.variables])
    }


def attended() -> Arrays:
    """The result of an attention, by its formula, and the gradients of its arguments."""
    given = {name: tf.constant(array) for name, array in ATTENTION.items()}
    queries, keys, values = given["queries"], given["keys"], given["values"]
    with tf.GradientTape() as tape:
        tape.watch([queries, keys, values])
        weights = tf.nn.softmax(tf.einsum("bnd,bfd->bnf", queries, keys))
        of_heads = tf.reshape(weights, [2, 2, 4, 3])  # [B, M, K, F]
        mixed = tf.einsum("bmkf,bmfe->bmke", of_heads, values)
    gradients = tape.gradient(mixed, [queries, keys, values], given["upstream"])
    return {str(i): array.numpy() for i, array in enumerate([mixed, *gradients])}


@pytest.fixture(scope="module")
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Arrays, ...]]:
    """By case that is asked for, what TensorFlow and what JAX answer."""
    folder = tmp_path_factory.mktemp("jax")
    wanted = {}
    asked = {
        item.callspec.params.get("case")
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    for number, case in enumerate(CASES):
        if case not in asked:
            continue
        rng = np.random.default_rng(number)
        model, given = made(case, rng), rows(case, rng)
        config = json.dumps(keras.saving.serialize_keras_object(model))
        weights = {f"weight_{i}": weight for i, weight in enumerate(model.get_weights())}
        steps: Arrays = (
            {"devices": STEPPED[case], "batch_size": B, **ADAM} if case in STEPPED else {}
        )
        np.savez(folder / f"{case}.npz", config=config, **given, **weights, **steps)
        wanted[case] = expected(model, given)
        if case in STEPPED:
            model.set_weights(list(weights.values()))  # the step of gamma's schedule too
            wanted[case] |= stepped(model, given)
    np.savez(folder / "attention.npz", **ATTENTION)
    wanted["attention"] = attended()
    run_module("jax_twin", str(folder))
    return {
        case: (want, dict(np.load(folder / f"{case}.answer.npz"))) for case, want in wanted.items()
    }


@pytest.mark.parametrize("case", all_slow_but(QUICK, CASES))
def test_same_weights_give_the_same_logits_and_gradients(case: str, answers: Any) -> None:
    want, got = answers[case]
    assert want.keys() == got.keys() - {"large"}
    for name in (name for name in want if not name.startswith("stepped")):
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-5, err_msg=name)
    assert np.ptp(want["inference"], axis=0).min() > 0.01
    smallest = 1e-6 if case in ONE_STEP else 1e-4  # one step alone has smaller ones in some layers
    assert all(
        np.abs(values).max() > smallest
        for name, values in want.items()
        if name.startswith("gradient")
    )


@pytest.mark.parametrize("case", all_slow_but(QUICK, STEPPED))
def test_steps_of_lazy_adam_end_with_the_same_weights(case: str, answers: Any) -> None:
    want, got = answers[case]
    names = [name for name in want if name.startswith("stepped")]
    for name in names:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-6, atol=1e-6, err_msg=name)
    assert len(names) > 15


@pytest.mark.parametrize("case", all_slow_but(QUICK, STEPPED))
def test_a_step_makes_nothing_of_the_vocabularys_size_but_each_table_and_its_moments(
    case: str, answers: Any
) -> None:
    want, got = answers[case]
    tables = [name for name in want if name.startswith("gradient") and want[name].shape[1:] == (D,)]
    sizes = {want[name].shape[0] for name in tables} & {sum(ROWS), *TABLES_IN_PARTS}
    assert len(sizes) == (2 if case == "tafe+parts" else 1)
    count = N if case == "single_task" else len(sizes)
    assert list(got["large"]) == ["scatter"] * (3 * count)


def test_a_table_in_half_precision_is_refused() -> None:
    model = ESMM(ROWS, N, embedding_dtype="bfloat16")
    with pytest.raises(
        ValueError, match=r"a table must be float32. Received: embedding_dtype='bfloat16'"
    ):
        jax_training.training_step(model, jax_training.LazyAdam(), model.paper_loss())


def test_delays_are_refused() -> None:
    loss = FunnelLoss()
    loss.delay = ExponentialDelay([0.0, 3600.0])
    with pytest.raises(ValueError, match="on JAX a loss must have no `delay`"):
        jax_training.training_step(ESMM(ROWS, 2), jax_training.LazyAdam(), loss)


def test_every_way_to_compute_the_attention_is_that_of_the_layers(answers: Any) -> None:
    want, got = answers["attention"]
    assert {name.partition("_")[0] for name in got} == {"layers", "recomputed", "library"}
    for name, array in got.items():
        np.testing.assert_allclose(array, want[name[-1]], atol=2e-6, err_msg=name)


@pytest.mark.slow
def test_the_benchmark_prints_its_rates_beside_the_papers(tmp_path: pathlib.Path) -> None:
    out = tmp_path / "speed.json"
    said = run_module(
        "benchmarks.jax_speed",
        "--model=tafe/embedding_dim=2/num_inducing=2/num_layers=1",
        "--devices=2",
        "--batch_sizes=16",
        "--precision=bfloat16",
        *("--attention=layers", "--attention=recomputed", "--attention=cudnn"),
        *("--ids=0", "--steps=2", "--quick", "--profile"),
        f"--out={out}",
    ).splitlines()
    found = json.loads(said[-1])
    assert json.loads(out.read_text()) == found
    assert (found["device"], found["devices"], found["backend"]) == ("cpu", 2, "cpu")
    assert all(limit > 0 for limit in found["limits"].values())
    [left_out] = found["left_out"]
    assert left_out["attention"] == "cudnn" and "cuDNN is not detected" in left_out["reason"]
    layers, recomputed = found["cases"]
    assert (layers["attention"], recomputed["attention"]) == ("layers", "recomputed")
    assert layers["first_loss"] == pytest.approx(recomputed["first_loss"], rel=1e-2)
    product = 1e6 * found["limits"]["product_bfloat16_tflops"]  # in MFLOP/s
    for case in found["cases"]:
        for figure, paper in (("train_sps", 38e6 / 1177), ("infer_sps", 4.2e6 / 47)):  # 32 k, 89 k
            rate = case[figure]
            assert 0 < rate["least"] <= rate["median"] <= rate["most"]
            assert rate["times_paper"] == pytest.approx(rate["median"] / paper, abs=0.01)
            share = rate["median"] * rate["mflop_a_row"] / product / 2  # of two devices
            assert rate["share_of_product"] == pytest.approx(share, abs=1e-4)
            table = 4 * 2 * 1_283_000  # its bytes: float32, d = 2
            copies = 3 if figure == "train_sps" else 1  # with its moments
            assert rate["mib"] >= copies * table // 2**20
    fastest = max(found["cases"], key=lambda case: case["train_sps"]["median"])
    assert found["best"] == fastest
    assert found["profile"]["case"]["attention"] == fastest["attention"]
    assert sum(operation["share"] for operation in found["profile"]["operations"]) > 0.9
