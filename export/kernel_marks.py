"""Marks in an exported graph: where the native kernel could stand for layers, and with what.

They are stock operations that change nothing and that TensorFlow drops when it runs the graph. An
export never holds an operation of the kernel: `export.kernel_graph` adds it in memory.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import tensorflow as tf

from tafe_tf.export.kernel_graph import GAMMA, SCOPE, SIZES, WEIGHTS, H, T
from tafe_tf.models import TAFE, FunnelModel
from tafe_tf.models.pieces import Native
from tafe_tf.native import stack


@contextlib.contextmanager
def used(model: FunnelModel) -> Iterator[None]:
    """Sets marks in the graphs that are traced meanwhile, if the kernel can stand for the model.

    What computes between them stays what it is: the layers, or the model's `native`.

    Args:
        model: Any model, whose dense weights are constants of the graph.
    """
    if not isinstance(model, TAFE) or stack.reason_against(model):
        yield
        return
    with model.with_native(_marked(model, model.native)):
        yield


def _marked(model: TAFE, between: Native | None) -> Native:
    """Makes what computes T from H between marks; None stands for the layers."""

    def represent(h: tf.Tensor, gamma: tf.Tensor, training: bool) -> tf.Tensor:
        with tf.name_scope(SCOPE):
            h = tf.identity(h, name=H)
            gamma = tf.identity(gamma, name=GAMMA)
            weights = [tf.convert_to_tensor(weight) for weight in stack.weights_of(model)]
            tf.raw_ops.IdentityN(input=weights, name=WEIGHTS)
            tf.constant(json.dumps(stack.sizes_of(model)), name=SIZES)
        if between is not None:
            t = between(h, gamma, training)
        else:
            with model.without_native():
                t = model.in_pieces(lambda rows: model.represent(rows, gamma, training), h)
        with tf.name_scope(SCOPE):
            return tf.identity(t, name=T)

    return represent
