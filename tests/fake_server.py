"""A server that answers as a test wants it to, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tafe_tf.serving.wire import tensors

Behave = Callable[[predict_pb2.PredictRequest, grpc.ServicerContext], None]


class Fake(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Answers each row with twice its item; `behave` sees every request first, `twist` the answer.

    With a `description` it has the signature `describe`, which answers it as JSON, and `fields`.
    """

    def __init__(self) -> None:
        self.description: dict[str, Any] = {}
        self.descriptions = 0  # how often it was asked
        self.version, self.inputs = 1, ["item"]
        self.requests: list[predict_pb2.PredictRequest] = []
        self.behave: Behave = lambda request, context: None
        self.twist: Callable[[Any], None] = lambda response: None
        self.metadata_calls = 0

    def Predict(self, request: Any, context: Any) -> Any:
        if request.model_spec.signature_name == "describe":
            return self._describe()
        self.requests.append(request)
        self.behave(request, context)
        if (
            request.model_spec.HasField("version")
            and request.model_spec.version.value != self.version
        ):
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific")
        if set(request.inputs) != set(self.inputs):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "input size does not match signature")
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = self.version
        if request.model_spec.signature_name == "fields":
            item = tensors.decode(request.inputs["item"])[:, None]
            tensors.encode(np.ones(item.shape, np.float32), response.outputs["values"])
            tensors.encode((item == -1).astype(np.float32), response.outputs["missing"])
            tensors.encode((item > 9).astype(np.float32), response.outputs["unseen"])
            return response
        items = tensors.decode(request.inputs["item"])
        tensors.encode(2.0 * items.astype(np.float32), response.outputs["twice"], as_fields=True)
        tensors.encode(np.full(len(items), self.version), response.outputs["version"])
        self.twist(response)
        return response

    def _describe(self) -> Any:
        self.descriptions += 1
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = self.version
        text = np.array([json.dumps(self.description)], object)
        tensors.encode(text, response.outputs["description"])
        return response

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        status = response.model_version_status.add(version=self.version)
        status.state = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        self.metadata_calls += 1
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for signature in ("serving_default", "rank"):
            for name in self.inputs:
                _state(signatures.signature_def[signature].inputs[name], types_pb2.DT_INT64, -1)
            outputs = signatures.signature_def[signature].outputs
            _state(outputs["twice"], types_pb2.DT_FLOAT, -1)
            _state(outputs["version"], types_pb2.DT_INT64, -1)
        if self.description:
            fields = signatures.signature_def["fields"]
            for name in self.inputs:
                _state(fields.inputs[name], types_pb2.DT_INT64, -1)
            for name in ("values", "missing", "unseen"):
                _state(fields.outputs[name], types_pb2.DT_FLOAT, -1, 1)
            describe = signatures.signature_def["describe"]
            _state(describe.inputs["describe"], types_pb2.DT_STRING, -1)
            _state(describe.outputs["description"], types_pb2.DT_STRING, -1)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        return response


def _state(info: Any, dtype: int, *sizes: int) -> None:
    """Says what an input or an output is."""
    info.dtype = dtype
    for size in sizes:
        info.tensor_shape.dim.add().size = size


def start(
    fake: Fake, address: str, credentials: grpc.ServerCredentials | None = None
) -> grpc.Server:
    limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=limits)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(fake, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(fake, server)
    if credentials is None:
        server.add_insecure_port(address)
    else:
        server.add_secure_port(address, credentials)
    server.start()
    return server
