"""Warm-up requests: TensorFlow Serving replays them while it loads a version, before it answers with it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import Rows, requests
from tafe_tf.schema import Schema

FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")
SIZES = (1, 8, 64, 512)


def write(served: SessionModel, schema: Schema, rows: Rows) -> None:
    """Writes requests of several sizes to every signature of a SavedModel into it.

    Args:
        served: the SavedModel.
        schema: its dataset.
        rows: raw columns, [n] or [n, length] with n >= 1; repeated where a size needs more.
    """
    with tf.io.TFRecordWriter(str(served.path / FILE)) as writer:
        for size in SIZES:
            some = {
                name: np.resize(values, (size, *values.shape[1:])) for name, values in rows.items()
            }
            for name, inputs in requests(schema, some, served.signatures):
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name, request.model_spec.signature_name = schema.name, name
                for key, values in inputs.items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
                writer.write(log.SerializeToString(deterministic=True))


def read(path: pathlib.Path) -> Iterator[predict_pb2.PredictRequest]:
    """The warm-up requests of the SavedModel at `path`, if it has any.

    Raises:
        ValueError: if a record holds no Predict request.
        tf.errors.OpError: if the file is damaged.
    """
    if not (path / FILE).exists():
        return
    for number, record in enumerate(
        tf.data.TFRecordDataset(str(path / FILE)).as_numpy_iterator(), start=1
    ):
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except (
            Exception
        ) as error:  # protobuf's DecodeError, whose module depends on its implementation
            raise ValueError(
                f"{path / FILE}: record {number} is no PredictionLog: {error}"
            ) from None
        if log.WhichOneof("log_type") != "predict_log":
            raise ValueError(f"{path / FILE}: record {number} is no Predict request")
        yield log.predict_log.request


def run(served: SessionModel) -> int:
    """Answers all warm-up requests of a SavedModel.

    Returns:
        Their number.

    Raises:
        ValueError: if the file is no warm-up file.
        tf.errors.OpError: what the runtime finds wrong with a request.
    """
    count = 0
    for request in read(served.path):
        name = request.model_spec.signature_name
        if name not in served.signatures:
            raise ValueError(
                f"{served.path / FILE}: names a signature that the model lacks: {name!r}"
            )
        feeds = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        served.run(name, feeds, sorted(served.signatures[name].outputs))
        count += 1
    return count
