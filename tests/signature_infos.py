"""Inputs of a signature, made by hand."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2


def tensor_infos(**dtypes: str) -> dict[str, Any]:
    """A signature's `TensorInfo`s, from names of types; "int64s" is a list of int64 a row."""
    made = {}
    for name, dtype in dtypes.items():
        made[name] = meta_graph_pb2.TensorInfo(
            dtype=tf.dtypes.as_dtype(dtype.removesuffix("s")).as_datatype_enum
        )
        for _ in range(1 + dtype.endswith("s")):
            made[name].tensor_shape.dim.add().size = -1
    return made
