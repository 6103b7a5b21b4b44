"""Tensors on the wire, against TensorFlow's own codec."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from tafe_tf.serving.wire import tensors

ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.array([1.5, np.nan, np.inf, -0.0], np.float32),
    np.array([[1e300]]),
    np.array([True, False]),
    np.array([-1, 127], np.int8),
    np.array([2**63 + 1], np.uint64),
    np.array([b"a", "é", b"\xff\x00"], object),
    np.array(["red", "blue"]),
    np.array(7),
    np.zeros((0,), np.float32),
    np.zeros((0, 3), np.int64),
    np.array([], object),
]


@pytest.mark.parametrize("as_fields", [False, True])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{list(a.shape)}")
def test_tensorflow_reads_what_we_write_and_the_reverse(array: np.ndarray, as_fields: bool) -> None:
    proto = tensor_pb2.TensorProto()
    tensors.encode(array, proto, as_fields=as_fields)
    np.testing.assert_array_equal(tf.make_ndarray(proto), tensors.decode(proto))
    theirs = tf.make_tensor_proto(array)
    np.testing.assert_array_equal(tensors.decode(theirs), tf.make_ndarray(theirs))
    assert tensors.decode(theirs).shape == array.shape


def test_few_values_stand_for_many() -> None:
    for values in ([], [1.5], [1.5, 2.5]):
        proto = tensor_pb2.TensorProto(dtype=1, float_val=values)
        proto.tensor_shape.dim.add().size = 4
        np.testing.assert_array_equal(tensors.decode(proto), tf.make_ndarray(proto))


def proto(dtype: int, *shape: int, **fields: Any) -> tensor_pb2.TensorProto:
    made = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        made.tensor_shape.dim.add().size = size
    return made


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (proto(1, 2, tensor_content=b"1234567"), r"7 bytes are no float32 of shape \[2\]"),
        (proto(7, 1, tensor_content=b"1234"), "bytes are no object"),
        (proto(1, 1, float_val=[1, 2]), "2 values are no tensor of 1 elements"),
        (
            proto(9, 1 << 62, int64_val=[1]),
            "1 values are no tensor of 4611686018427387904 elements",
        ),  # would be 2^65 bytes
        (proto(9, -1, int64_val=[1]), r"shape \[-1\] is not known"),
        (proto(0, 1), "type 0 is not supported"),
        (proto(20, 1), "type 20 is not supported"),
        (proto(6, 1, int_val=[300]), "out of bounds"),
    ],
)
def test_what_is_no_tensor(wrong: tensor_pb2.TensorProto, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        tensors.decode(wrong)


def test_other_values_are_not_sent() -> None:
    with pytest.raises(TypeError, match="cannot send values of type complex128"):
        tensors.encode(np.array([1j]), tensor_pb2.TensorProto())
