"""Builds and calls the registry's layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from registry import LayerCase, normal


def build(case: LayerCase, **kwargs: Any) -> keras.layers.Layer:
    """The layer built, with weights that differ from zero and one everywhere."""
    layer = case.make(**kwargs)
    tensors = tuple(argument for argument in case.arguments if not isinstance(argument, float))
    layer.build(*keras.tree.map_structure(lambda x: (None, *x.shape[1:]), tensors))
    weights = layer.get_weights()
    layer.set_weights([normal(*w.shape, seed=i) for i, w in enumerate(weights)])
    return layer


def call(layer: keras.layers.Layer, arguments: Any, dtype: str = "float32") -> Any:
    """The layer's output; integers stay integers, and scalars are tensors."""

    def tensor(x: Any) -> Any:
        return tf.constant(x, "int32" if np.asarray(x).dtype.kind == "i" else dtype)

    return layer(*keras.tree.map_structure(tensor, arguments))
