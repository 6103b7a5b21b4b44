"""The server's gRPC door: PredictionService and ModelService."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tafe_tf.serving.server.loader import Loader
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.predict import metadata, predict
from tafe_tf.serving.wire.errors import ServingError, invalid

MESSAGE_BYTES = (1 << 31) - 1  # TensorFlow Serving's limit; gRPC's own default is 4 MiB
_TEXT_LIMIT = 1024  # characters of an error, as in TensorFlow Serving: headers carry it

_CHANNEL = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a second server on the same port fails at once, not by chance
]


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict and GetModelMetadata; the other methods, for other models, UNIMPLEMENTED."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models

    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Scores rows."""
        return _answer(context, lambda: predict(self._models, request))

    def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Tells a version's signatures."""
        return _answer(context, lambda: metadata(self._models, request))


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Answers GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, models: ServedModels, loader: Loader) -> None:
        self._models = models
        self._loader = loader

    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Tells a model's versions and their states."""
        return _answer(context, lambda: self._status(request))

    def _status(self, request: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        versions = self._models.status(request.model_spec)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=versions)

    def HandleReloadConfigRequest(
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serves other models, versions or labels from now on."""
        return _answer(context, lambda: self._reload(request))

    def _reload(self, request: Any) -> Any:
        self._loader.reload(request.config)
        return model_management_pb2.ReloadConfigResponse()


def _answer(context: grpc.ServicerContext, make: Callable[[], Any]) -> Any:
    """Makes the answer, or ends the call with an error; computes nothing after the deadline."""
    remaining = context.time_remaining()  # None without a deadline
    if not context.is_active() or remaining == 0.0:
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    try:
        return make()
    except ServingError as error:
        text = error.message
        if len(text) > _TEXT_LIMIT:
            text = text[:_TEXT_LIMIT] + "...TRUNCATED"
        context.abort(error.code, text)
    except Exception as error:
        traceback.print_exc()
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"[:_TEXT_LIMIT])


def build(models: ServedModels, loader: Loader, *, threads: int) -> grpc.Server:
    """A server with both services, to which addresses must be added before it is started.

    Args:
        models: The models that requests ask.
        loader: What changes them.
        threads: The number of requests answered at a time.
    """
    server = grpc.server(futures.ThreadPoolExecutor(threads), options=_CHANNEL)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models, loader), server)
    return server
