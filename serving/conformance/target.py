"""A running server as the checks see it: by its address alone."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tafe_tf.serving.client import Client
from tafe_tf.serving.client.connection import open_channel
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError

TOLERANCE = 1e-5  # between two batch sizes: float32 kernels differ by as much
PREDICT = "/tensorflow.serving.PredictionService/Predict"

Arrays = dict[str, np.ndarray]


class Failure(AssertionError):
    """The server did something else than it must."""


class Target:
    """A model on a running server.

    Args:
        address: The server's gRPC address, "host:port".
        rest: The server's REST address, "host:port", or "" if REST is not asked.
        model: The model's name on the server.
        timeout: Seconds that one call may take.
        expected: Rows and the outputs that they must get, or None if these are not known.

    Attributes:
        client: A client of the model.
        signatures: The model's `SignatureDef`s by name.
        inputs: The `TensorInfo`s of "serving_default" by name.

    Raises:
        ServingError: If the server cannot be asked for the signatures.
    """

    def __init__(
        self,
        address: str,
        rest: str,
        model: str,
        timeout: float,
        expected: tuple[Arrays, Mapping[str, Any]] | None,
    ) -> None:
        self.client = Client(address, model, timeout=timeout)
        self.rest = rest
        self.model = model
        self.timeout = timeout
        self.expected = expected
        self.signatures = self.client.signatures()
        self.inputs = dict(self.signatures["serving_default"].inputs)
        self._channel = open_channel(grpc, address)

    def rows(self, count: int, signature: str = "serving_default") -> Arrays:
        """Some values of the right types and shapes.

        Args:
            count: The number of rows.
            signature: The signature that takes them, "serving_default" by default.
        """
        numbers = np.arange(count) % 24
        texts = np.array([b"u %d" % number for number in numbers], object)
        no_features = np.array([b""] * count, object)  # an example in which every value is missing
        made: Arrays = {}
        for name, info in self.signatures[signature].inputs.items():
            dtype = tf.dtypes.as_dtype(info.dtype)
            values = texts if dtype == tf.string else numbers
            if signature == "examples":
                values = no_features
            width = [3 if dim.size < 0 else dim.size for dim in info.tensor_shape.dim][1:]
            column = values.reshape(count, *[1] * len(width))
            made[name] = np.broadcast_to(column, (count, *width)).astype(dtype.as_numpy_dtype)
        return made

    def request(self, arrays: Mapping[str, np.ndarray], **spec: Any) -> predict_pb2.PredictRequest:
        """A Predict request.

        Args:
            arrays: Its inputs, right or wrong.
            **spec: Fields of its `ModelSpec`, such as `version=3`.
        """
        request = predict_pb2.PredictRequest()
        request.model_spec.name = spec.pop("name", self.model)
        if "version" in spec:
            request.model_spec.version.value = spec.pop("version")
        for field, value in spec.items():
            setattr(request.model_spec, field, value)
        for name, array in arrays.items():
            tensors.encode(array, request.inputs[name])
        return request

    def send_bytes(self, request: bytes, method: str = PREDICT) -> bytes:
        """Sends bytes in place of a request.

        Args:
            request: The bytes.
            method: The method's path; Predict's by default.

        Raises:
            grpc.RpcError: the server's error.
        """
        answer: bytes = self._channel.unary_unary(method)(request, timeout=self.timeout)
        return answer

    def refuses(self, code: str, text: str, request: Any, method: str = "Predict") -> None:
        """Checks that a request fails.

        Args:
            code: The name of the code that it must fail with, or of several, "A|B".
            text: A regular expression, which must be found in the error.
            request: The request.
            method: Its method, "Predict" by default.

        Raises:
            Failure: If it is answered, or fails in another way.
        """
        try:
            self.client.call(method, request)
        except ServingError as error:
            if error.code.name in code.split("|") and re.search(text, error.message):
                return
            raise Failure(f"must answer {code} {text!r}. Received: {error}") from None
        raise Failure(f"must answer {code} {text!r}. Received: an answer")

    def lives(self) -> None:
        """Checks that one row is still answered."""
        self.client.predict(self.rows(1))

    def http(self, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """The status code and the JSON of a REST call; it is a POST if there is a body."""
        url = f"http://{self.rest}/v1/models/{path}"
        try:
            with urllib.request.urlopen(url, body, timeout=self.timeout) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def close(self) -> None:
        """Closes the connections."""
        self._channel.close()
        self.client.close()


Check = Callable[[Target], None]


def must(ok: bool, what: str) -> None:
    """Raises Failure with the text `what` unless `ok` is true."""
    if not ok:
        raise Failure(what)


def close(
    found: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float = TOLERANCE
) -> None:
    """Raises Failure unless outputs have the expected names, and values up to a tolerance."""
    must(set(found) == set(expected), f"outputs are {sorted(found)}, expected {sorted(expected)}")
    for name, values in found.items():
        difference = float(np.max(np.abs(np.asarray(values) - expected[name]), initial=0.0))
        must(difference <= tolerance, f"output {name} differs by {difference:.3g}")
