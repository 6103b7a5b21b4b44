"""Warm-up requests, which TensorFlow Serving replays before a new version answers."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tafe_tf.export.description import FIELDS_SIGNATURE
from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel
from tafe_tf.export.signature_inputs import Rows, signature_inputs
from tafe_tf.schema import Schema

FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")  # within a version
SIZES = (1, 8, 64, 512)  # rows of a request


def write(
    served: SessionModel,
    schema: Schema,
    rows: Rows,
) -> None:
    """Writes requests of several sizes to every signature of a SavedModel into it.

    Args:
        served: The SavedModel.
        schema: Its dataset.
        rows: Raw columns, [n] or [n, length] with n >= 1, repeated where a request needs more, but
            not for the signature `fields`.
    """
    with tf.io.TFRecordWriter(str(served.path / FILE)) as writer:
        for size in SIZES:
            # Shares of values mean something only if no row comes twice.
            once = {FIELDS_SIGNATURE} & set(served.signatures)
            others = set(served.signatures) - once
            first_rows = {name: values[:size] for name, values in rows.items()}
            requests = itertools.chain(
                signature_inputs(schema, _resized(rows, size), others),
                signature_inputs(schema, first_rows, once),
            )
            for signature, inputs in requests:
                log = _log(schema.name, signature, inputs)
                writer.write(log.SerializeToString(deterministic=True))


def _resized(rows: Rows, size: int) -> dict[str, np.ndarray]:
    """The first `size` rows, from the beginning again where there are fewer."""
    resized = {}
    for name, values in rows.items():
        shape = (size, *values.shape[1:])
        resized[name] = np.resize(values, shape)
    return resized


def _log(
    model: str,
    signature: str,
    inputs: Mapping[str, np.ndarray],
) -> prediction_log_pb2.PredictionLog:
    """A request to a signature, as TensorFlow Serving logs and replays it."""
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return log


def read(path: pathlib.Path) -> Iterator[predict_pb2.PredictRequest]:
    """Yields the warm-up requests of the SavedModel at `path`, if it has any.

    Raises:
        ValueError: If a record holds no Predict request.
        tf.errors.OpError: if the file is damaged.
    """
    file = path / FILE
    if not file.exists():
        return
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    for number, record in enumerate(records, start=1):
        log = prediction_log_pb2.PredictionLog()
        try:
            log.ParseFromString(record)
        except Exception as error:  # DecodeError, whose module depends on protobuf's implementation
            raise ValueError(f"{file}: record {number} is no PredictionLog: {error}") from None
        if log.WhichOneof("log_type") != "predict_log":
            raise ValueError(f"{file}: record {number} is no Predict request")
        yield log.predict_log.request


def run(served: SessionModel) -> int:
    """Answers all warm-up requests of a SavedModel.

    Args:
        served: The SavedModel.

    Returns:
        The number of requests.

    Raises:
        ValueError: If the file is no warm-up file.
        tf.errors.OpError: what the runtime finds wrong with a request.
    """
    count = 0
    for request in read(served.path):
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in served.signatures:
            raise ValueError(
                f"{served.path / FILE}: names a signature that the model lacks: {name!r}"
            )
        feeds = {}
        for key, tensor in request.inputs.items():
            feeds[key] = tf.make_ndarray(tensor)
        outputs = sorted(served.signatures[name].outputs)
        served.run(name, feeds, outputs)
        count += 1
    return count
