"""The JAX side of `test_jax_training.py`.

It reads FOLDER/<case>.npz, each with a model, its weights and rows, and leaves its answers in
FOLDER/<case>.answer.npz:

    inference, training   logits
    loss                  the model's own, of the training logits
    gradient_<i>          of the loss, by trainable weight
    stepped_<i>           weights and then moments after steps of LazyAdam, a batch each, on
                          `devices` devices
    large                 the operations of a step whose result has the size of an embedding table

FOLDER/attention.npz has the arguments of an attention and the gradient of its result; the answer is
<way>_<i>, the result and the gradients of the arguments, for each way of `benchmarks.jax_speed`
that a CPU has.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.support import jax_attention
from tafe_tf.jax_training import LazyAdam, State, training_step
from tafe_tf.models import FunnelModel  # registers all that a configuration names

Arrays = dict[str, Any]


def answer(case: Arrays) -> Arrays:
    """Outputs and gradients of the model's functions, and its weights after steps."""
    model = keras.saving.deserialize_keras_object(json.loads(str(case["config"])))
    model.set_weights([case[f"weight_{i}"] for i in range(len(model.weights))])
    loss, inputs, labels = model.paper_loss(), rows_of(case), case["labels"]
    weights, others = (
        [v.value for v in part]
        for part in (model.trainable_variables, model.non_trainable_variables)
    )

    def total(weights: list[jax.Array]) -> Any:
        logits, _, further = model.stateless_call(
            weights, others, inputs, training=True, return_losses=True
        )
        return loss(labels, logits) + sum(further), logits

    @jax.jit
    def everything(weights: list[jax.Array]) -> Any:
        inference, _ = model.stateless_call(weights, others, inputs, training=False)
        return inference, *jax.value_and_grad(total, has_aux=True)(weights)

    inference, (value, training), gradients = everything(weights)
    answers = {"inference": inference, "training": training, "loss": value}
    answers |= {f"gradient_{i}": gradient for i, gradient in enumerate(gradients)}
    return answers | (stepped(model, case) if "devices" in case else {})


def rows_of(case: Arrays, rows: slice = slice(None)) -> Any:
    """The model's inputs."""
    inputs = {"ids": case["ids"][rows]}
    if "pooling" in case:
        inputs["weights"] = case["pooling"][rows]
    inputs |= {name: case[name][rows] for name in ("numbers", "vectors") if name in case}
    return inputs if len(inputs) > 1 else case["ids"][rows]


def stepped(model: FunnelModel, case: Arrays) -> Arrays:
    """Weights and moments after a step a batch, and what is large in a step."""
    mesh = Mesh(np.array(jax.devices()[: int(case["devices"])]), ("rows",))
    everywhere, cut = (
        NamedSharding(mesh, PartitionSpec()),
        NamedSharding(mesh, PartitionSpec("rows")),
    )
    optimizer = LazyAdam(float(case["learning_rate"]), epsilon=float(case["epsilon"]))
    state = jax.device_put(State.of(model, optimizer), everywhere)
    step = jax.jit(
        training_step(model, optimizer, model.paper_loss()),
        donate_argnums=0,
        out_shardings=(everywhere, everywhere),
    )
    size = int(case["batch_size"])
    batches = [slice(start, start + size) for start in range(0, len(case["labels"]), size)]
    trace = step.trace(state, rows_of(case, batches[0]), case["labels"][batches[0]])
    shapes = {tuple(layer.table.shape) for layer in model.tables()}
    large = []
    for rows, dim in shapes:
        large += re.findall(rf":f32\[{rows},{dim}\] = (\w+)", str(trace.jaxpr))
    for batch in batches:
        state, _ = step(state, *jax.device_put((rows_of(case, batch), case["labels"][batch]), cut))
    state.assign_to(model, optimizer)
    values = [variable.value for variable in [*model.weights, *optimizer.variables]]
    return {"large": large, **{f"stepped_{i}": value for i, value in enumerate(values)}}


def attended(given: Arrays) -> Arrays:
    """The result and the gradients of each way to compute the attention."""
    answers: Arrays = {}
    arguments = [given[name] for name in ("queries", "keys", "values")]
    elsewhere = {jax_attention.NATIVE, *jax_attention.HALF_PRECISION_ALONE}
    for way in jax_attention.WAYS.keys() - elsewhere:
        learn, infer = jax_attention.WAYS[way]
        mixed, gradients_of = jax.vjp(learn, *arguments)
        np.testing.assert_allclose(infer(*arguments), mixed, atol=1e-6)
        for i, array in enumerate([mixed, *gradients_of(given["upstream"])]):
            answers[f"{way}_{i}"] = array
    return answers


def main(folder: pathlib.Path) -> None:
    """Answers all cases."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as case:
            answers = attended(dict(case)) if path.stem == "attention" else answer(dict(case))
            np.savez(path.with_suffix(".answer.npz"), **answers)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
