"""The server's gRPC door: PredictionService and ModelService."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from tafe_tf.serving.server.loader import Loader
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.predict import metadata, predict
from tafe_tf.serving.server.running import RunningCalls
from tafe_tf.serving.wire.errors import ServingError, invalid

MESSAGE_BYTES = 1 << 28  # of a request or an answer; gRPC's own default is 4 MiB
_TEXT_LIMIT = 1024  # characters of an error, as in TensorFlow Serving: headers carry it
_PREDICTION = "tensorflow.serving.PredictionService"
_MODEL = "tensorflow.serving.ModelService"

_CHANNEL = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a second server on the same port fails at once, not by chance
]

Answer = Callable[[Any], Any]  # makes an answer of a request, or raises ServingError


def build(
    models: ServedModels, loader: Loader, running: RunningCalls, *, threads: int
) -> grpc.Server:
    """A server with both services, to which addresses must be added before it is started.

    Predict, GetModelMetadata, GetModelStatus and HandleReloadConfigRequest are answered; the other
    methods, for other models, are UNIMPLEMENTED.

    Args:
        models: The models that requests ask.
        loader: What changes them.
        running: Counts the requests that run.
        threads: The number of requests answered at a time.
    """

    def status(request: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        versions = models.status(request.model_spec)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=versions)

    def reload(request: Any) -> Any:
        models.check_open()
        loader.reload(request.config)
        return model_management_pb2.ReloadConfigResponse()

    services: dict[str, dict[str, tuple[type, Answer]]] = {
        _PREDICTION: {
            "Predict": (predict_pb2.PredictRequest, lambda request: predict(models, request)),
            "GetModelMetadata": (
                get_model_metadata_pb2.GetModelMetadataRequest,
                lambda request: metadata(models, request),
            ),
        },
        _MODEL: {
            "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, status),
            "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, reload),
        },
    }
    server = grpc.server(futures.ThreadPoolExecutor(threads), options=_CHANNEL)
    for name, methods in services.items():
        server.add_generic_rpc_handlers((_handlers(name, methods, running),))
    return server


def _handlers(
    service: str, methods: Mapping[str, tuple[type, Answer]], running: RunningCalls
) -> grpc.GenericRpcHandler:
    """What gRPC calls for each method of a service.

    The generated code would let gRPC read the request, which answers bytes that are no request with
    INTERNAL and a traceback in the log.
    """
    handlers = {}
    for name, (kind, answer) in methods.items():
        handlers[name] = grpc.unary_unary_rpc_method_handler(
            _behavior(kind, answer, running),
            response_serializer=lambda response: response.SerializeToString(),
        )
    return grpc.method_handlers_generic_handler(service, handlers)


def _behavior(
    kind: type, answer: Answer, running: RunningCalls
) -> Callable[[bytes, grpc.ServicerContext], Any]:
    """Answers a request that comes as bytes, and counts it until its answer is on its way."""

    def behave(request: bytes, context: grpc.ServicerContext) -> Any:
        if running.begin() and not context.add_callback(running.done):
            running.done()  # the caller has gone
        return _answer(context, lambda: answer(_read(kind, request)))

    return behave


def _read(kind: type, request: bytes) -> Any:
    """A request of a kind.

    Raises:
        ServingError: If the bytes are none.
    """
    try:
        return kind.FromString(request)  # type: ignore[attr-defined]
    except DecodeError as error:
        raise invalid(f"the bytes are no {kind.__name__}: {error}") from None


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
