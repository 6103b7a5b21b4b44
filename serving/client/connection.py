"""How a client reaches a server: the channel, its options, and the calls it can make."""

from __future__ import annotations

import json
from typing import Any

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

METHODS = ("Predict", "GetModelMetadata", "GetModelStatus", "HandleReloadConfigRequest")

_SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    # Any other failure would either come again or might have had an effect the first time.
    "retryableStatusCodes": ["UNAVAILABLE"],
}
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": service} for service in _SERVICES],
            "retryPolicy": _RETRY,
        }
    ]
}
_OPTIONS: list[tuple[str, Any]] = [
    # No limit: gRPC's own, 4 MiB, is reached by 29,000 rows of 18 integers.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
]


def open_channel(
    api: Any, target: str, credentials: grpc.ChannelCredentials | None = None
) -> grpc.Channel:
    """A channel without limits on messages that tries a server which is UNAVAILABLE again.

    It connects when it is first used.

    Args:
        api: `grpc` for calls that block, `grpc.aio` for asyncio.
        target: "host:port", or "unix:PATH".
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None, the default, for plain text.
    """
    if credentials is None:
        return api.insecure_channel(target, options=_OPTIONS)
    return api.secure_channel(target, credentials, options=_OPTIONS)


def methods_of(channel: grpc.Channel) -> dict[str, Any]:
    """The calls of `METHODS` by name; each takes a request and a `timeout` in seconds."""
    found: dict[str, Any] = {}
    for stub in (
        prediction_service_pb2_grpc.PredictionServiceStub(channel),
        model_service_pb2_grpc.ModelServiceStub(channel),
    ):
        for name in METHODS:
            if hasattr(stub, name):
                found[name] = getattr(stub, name)
    return found
