"""A running server as the checks of `serving.conformance` see it: by its address alone."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_management_pb2, predict_pb2

from tafe_tf.serving.client import Client
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError

TOLERANCE = 1e-5  # between two batch sizes: float32 kernels differ by as much

Arrays = dict[str, np.ndarray]


class Failure(AssertionError):
    """The server did something else than it must."""


class Target:
    """A server and a model on it.

    Args:
        address: "host:port" of gRPC.
        rest: "host:port" of REST, or "".
        model: the model's name.
        timeout: seconds a call.
        expected: rows and their outputs, if they are known.
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
        self.rest, self.model, self.timeout, self.expected = rest, model, timeout, expected
        self.channel = self.client._channel
        self.methods = self.client._methods
        self.signatures = self.client.signatures()
        self.inputs = dict(self.signatures["serving_default"].inputs)

    def rows(self, count: int, signature: str = "serving_default") -> Arrays:
        """Some values of the right types."""
        made: Arrays = {}
        for name, info in self.signatures[signature].inputs.items():
            dtype = tf.dtypes.as_dtype(info.dtype)
            numbers = np.arange(count) % 24
            values = (
                np.array([b"u %d" % i for i in numbers], object) if dtype == tf.string else numbers
            )
            if signature == "examples":
                values = np.array(
                    [b""] * count, object
                )  # an example without features is one of missing values
            width = [d.size for d in info.tensor_shape.dim][1:]
            shape = (count, *(3 if size < 0 else size for size in width))
            made[name] = np.broadcast_to(values.reshape(count, *(1 for _ in width)), shape).astype(
                dtype.as_numpy_dtype
            )
        return made

    def request(self, arrays: Mapping[str, np.ndarray], **spec: Any) -> predict_pb2.PredictRequest:
        """A Predict request; `spec` names fields of its ModelSpec."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = spec.pop("name", self.model)
        if "version" in spec:
            request.model_spec.version.value = spec.pop("version")
        for field, value in spec.items():
            setattr(request.model_spec, field, value)
        for name, array in arrays.items():
            tensors.encode(array, request.inputs[name])
        return request

    def call(self, method: str, request: Any) -> Any:
        """The response.

        Raises:
            ServingError: the server's error.
        """
        stub = self.methods.get(method) or self.channel.unary_unary(
            f"/tensorflow.serving.ModelService/{method}",
            request_serializer=model_management_pb2.ReloadConfigRequest.SerializeToString,
            response_deserializer=model_management_pb2.ReloadConfigResponse.FromString,
        )
        try:
            return stub(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details()) from None

    def refuses(self, code: str, text: str, request: Any, method: str = "Predict") -> None:
        """The request must fail with a code (or one of several, A|B) and a text that the regular expression finds."""
        codes = code.split("|")
        try:
            self.call(method, request)
        except ServingError as error:
            if error.code.name in codes and re.search(text, error.message):
                return
            raise Failure(f"must answer {code} {text!r}. Received: {error}") from None
        raise Failure(f"must answer {code} {text!r}. Received: an answer")

    def lives(self) -> None:
        """One row must still be answered."""
        self.client.predict(self.rows(1))

    def http(self, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Status code and JSON of a REST call; POST where there is a body."""
        url = f"http://{self.rest}/v1/models/{path}"
        try:
            with urllib.request.urlopen(url, body, timeout=self.timeout) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def must(ok: bool, what: str) -> None:
    """Raises Failure with `what` unless it is so."""
    if not ok:
        raise Failure(what)


def close(
    found: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float = TOLERANCE
) -> None:
    """Outputs must agree."""
    must(set(found) == set(expected), f"outputs are {sorted(found)}, expected {sorted(expected)}")
    for name, values in found.items():
        difference = float(np.max(np.abs(np.asarray(values) - expected[name]), initial=0.0))
        must(difference <= tolerance, f"output {name} differs by {difference:.3g}")
