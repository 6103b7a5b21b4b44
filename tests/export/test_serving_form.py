"""The form in which an export computes TAFE, beside TAFE's layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import node_def_pb2, op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from tafe_tf.export import serving_form
from tafe_tf.export.session_model import SessionModel
from tafe_tf.models import TAFE
from tafe_tf.training.run_dir import RunDir

TOLERANCE = 2e-6  # of the largest number of T, which is 2 to 4
CASES: dict[str, dict[str, Any]] = {
    "one task, one layer, one head": {"num_tasks": 1, "num_heads": 1, "num_layers": 1},
    "hidden selector": {"num_tasks": 3, "num_inducing": 5, "selector_hidden": [7], "num_layers": 2},
}


def small(**arguments: Any) -> TAFE:
    """A small TAFE whose weights are all drawn, the norms' too, and which cuts requests in two."""
    keras.utils.set_random_seed(4)
    model = TAFE(field_rows=[10, 20, 5], **{"embedding_dim": 6, "gamma_start": 1.0, **arguments})
    random = np.random.default_rng(4)
    for variable in model.trainable_variables:
        drawn = random.normal(scale=0.5, size=variable.shape)
        variable.assign(variable + drawn)
    model.pieces = 2
    return model


def represent(model: TAFE) -> Any:
    """The form's T of a graph, as an export has it."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 6], tf.float32)])
    def by_form(h: tf.Tensor) -> tf.Tensor:
        with serving_form.used(model):
            assert model.native is not None
            return model.native(h, model.gamma.value(), False)

    return by_form


@pytest.mark.parametrize("case", CASES)
def test_the_form_is_the_layers(case: str) -> None:
    model = small(**CASES[case])
    by_form = represent(model)
    random = np.random.default_rng(5)
    for size in (0, 1, 2, 101):
        h = tf.constant(random.normal(size=(size, 3, 6)), tf.float32)
        want = model.represent(h, model.gamma.value(), training=False)
        largest = np.max(np.abs(want), initial=0.0)
        np.testing.assert_allclose(by_form(h), want, rtol=0, atol=TOLERANCE * largest)


@pytest.mark.parametrize(
    "arguments",
    [{"use_asrg": False}, {"use_tsa": False}, {"dtype": "mixed_bfloat16"}],
    ids=str,
)
def test_other_models_are_served_by_their_layers(arguments: dict[str, Any]) -> None:
    model = small(num_tasks=2, num_layers=1, num_inducing=3, **arguments)
    with serving_form.used(model):
        assert model.native is None


def test_a_model_is_left_as_it_was() -> None:
    model = small(num_tasks=2, num_layers=1, num_inducing=3)
    model.native = kernel = model.represent
    with serving_form.used(model):
        assert isinstance(model.native, serving_form.ServingForm)
    assert model.native is kernel


def test_one_row_computes_no_second_half() -> None:
    model = small(num_tasks=2, num_layers=1, num_inducing=3)
    by_form = represent(model)
    computed = by_form.get_concrete_function().graph.as_graph_def()
    always = norms(computed.node)
    in_branches = sum(norms(function.node_def) for function in computed.library.function)
    assert (always, in_branches) == (2, 2)  # the block's norm and the adapter's


def norms(nodes: Iterable[node_def_pb2.NodeDef]) -> int:
    """The number of layer norms among operations."""
    return sum(node.op == "Rsqrt" for node in nodes)


def test_every_operation_is_of_tensorflow_itself(served: tuple[RunDir, SessionModel]) -> None:
    _, model = served
    registered = op_def_pb2.OpList.FromString(
        pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    )
    known = {operation.name for operation in registered.op}
    known = {name for name in known if not name.startswith("Tafe")}
    graph = model.graph.as_graph_def()
    used = {node.op for node in graph.node}
    for function in graph.library.function:
        used.update(node.op for node in function.node_def)
    assert {"If", "StatelessIf"} & used  # the form is in use: it computes a half if there is one
    assert not {name for name in used if name.startswith("FusedBatchNorm")}  # see BUILD_NOTES.md
    assert used <= known
