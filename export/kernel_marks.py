"""Marks in an exported graph: where the native kernel could stand for layers, and with what.

They are stock operations that change nothing and that TensorFlow drops when it runs the graph. An
export never holds an operation of the kernel: `export.kernel_graph` adds it in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import tensorflow as tf

from tafe_tf.export.kernel_graph import GAMMA, SCOPE, SIZES, WEIGHTS, H, T
from tafe_tf.models import TAFE, FunnelModel
from tafe_tf.native import stack

Represent = Callable[[tf.Tensor, tf.Tensor, bool], tf.Tensor]


def marked(model: FunnelModel) -> Represent | None:
    """Makes what computes T from H by a model's layers, between marks.

    Args:
        model: Any model; its constants are those of the graph that is traced.

    Returns:
        A function for `InPieces.native`; None for a model that the kernel cannot stand for.
    """
    if not isinstance(model, TAFE) or stack.reason_against(model):
        return None

    def represent(h: tf.Tensor, gamma: tf.Tensor, training: bool) -> tf.Tensor:
        with tf.name_scope(SCOPE):
            h = tf.identity(h, name=H)
            gamma = tf.identity(gamma, name=GAMMA)
            weights = [tf.convert_to_tensor(weight) for weight in stack.weights_of(model)]
            tf.raw_ops.IdentityN(input=weights, name=WEIGHTS)
            tf.constant(json.dumps(stack.sizes_of(model)), name=SIZES)

        def of_rows(rows: tf.Tensor) -> tf.Tensor:
            return model.represent(rows, gamma, training)

        with model.without_native():
            t = model.in_pieces(of_rows, h)
        with tf.name_scope(SCOPE):
            return tf.identity(t, name=T)

    return represent
