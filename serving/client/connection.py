"""How a client reaches a server: the channel, its options, and what both clients share."""

from __future__ import annotations

import json
import time
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2, model_service_pb2_grpc, prediction_service_pb2_grpc

from tafe_tf.serving.client.conversation import Conversation

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


class Connection:
    """What `Client` and `AsyncClient` share; see `Client` for the arguments."""

    _api: Any  # grpc or grpc.aio

    def __init__(
        self,
        target: str,
        model: str = "default",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        rows_per_request: int = 1024,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        if version is not None and label is not None:
            raise ValueError(
                f"`version` and `label` exclude each other. Received: {version} and {label!r}"
            )
        if rows_per_request < 1 or timeout <= 0:
            raise ValueError(
                "`rows_per_request` must be 1 or more and `timeout` above 0. "
                f"Received: rows_per_request={rows_per_request}, timeout={timeout}"
            )
        spec = model_pb2.ModelSpec(name=model)
        if version is not None:
            spec.version.value = version
        if label is not None:
            spec.version_label = label
        self.timeout = timeout
        self._conversation = Conversation(spec, rows_per_request)
        self._channel = open_channel(self._api, target, credentials)
        self._methods = methods_of(self._channel)

    def _deadline(self, timeout: float | None) -> float:
        """When a call that begins now must have ended, on the monotonic clock."""
        return time.monotonic() + (self.timeout if timeout is None else timeout)
