"""How a client reaches a server: the channel, its options, and what both clients share."""

from __future__ import annotations

import os
from typing import Any

import grpc

from tafe_tf.serving.client.conversation import Conversation
from tafe_tf.serving.client.deadline import Call, Deadline
from tafe_tf.serving.request_log import RequestLog
from tafe_tf.serving.request_log.log import DEFAULT_SAMPLE
from tafe_tf.serving.request_log.records import DESCRIBE
from tafe_tf.serving.wire import messages
from tafe_tf.serving.wire.errors import ServingError, failed_precondition, invalid

METHODS = tuple(messages.METHODS)

_OPTIONS: list[tuple[str, Any]] = [
    # No limit: gRPC's own, 4 MiB, is reached by 29,000 rows of 18 integers.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


def open_channel(
    api: Any, target: str, credentials: grpc.ChannelCredentials | None = None
) -> grpc.Channel:
    """A channel without limits on messages, which connects when it is first used.

    Args:
        api: `grpc` for calls that block, `grpc.aio` for asyncio.
        target: "host:port", or "unix:PATH".
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None, the default, for plain text.
    """
    if credentials is None:
        return api.insecure_channel(target, options=_OPTIONS)
    return api.secure_channel(target, credentials, options=_OPTIONS)


def methods_of(channel: grpc.Channel) -> dict[str, Any]:
    """The calls of `METHODS` by name; each takes a request and a `timeout`, and gives bytes."""
    found: dict[str, Any] = {}
    for name, method in messages.METHODS.items():
        found[name] = channel.unary_unary(method.path, request_serializer=_serialized)
    return found


def _serialized(request: Any) -> bytes:
    content: bytes = request.SerializeToString()
    return content


def failure(error: Exception) -> ServingError:
    """The error for what gRPC raised: a failed call, or a call of a client that was closed."""
    if isinstance(error, grpc.RpcError):
        return ServingError(error.code(), error.details() or "")
    return failed_precondition(f"the client cannot send: {error}")


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
        timeout: float = 30.0,
        rows_per_request: int = 1024,
        credentials: grpc.ChannelCredentials | None = None,
        log: str | os.PathLike[str] | RequestLog | None = None,
        sample: float = DEFAULT_SAMPLE,
    ) -> None:
        if version is not None and label is not None:
            raise ValueError(
                f"`version` and `label` exclude each other. Received: {version} and {label!r}"
            )
        if rows_per_request < 1 or not timeout > 0:
            raise ValueError(
                "`rows_per_request` must be 1 or more and `timeout` above 0. "
                f"Received: rows_per_request={rows_per_request}, timeout={timeout}"
            )
        spec = messages.ModelSpec(name=model)
        if version is not None:
            spec.version.value = version
        if label is not None:
            spec.version_label = label
        self.timeout = timeout
        self._conversation = Conversation(spec, rows_per_request)
        self._owns_log = not isinstance(log, RequestLog)
        self._log = RequestLog(log, sample) if isinstance(log, str | os.PathLike) else log
        self._channel = open_channel(self._api, target, credentials)
        self._methods = methods_of(self._channel)

    def _is_logged(self) -> bool:
        """Whether the call that begins now goes into the log."""
        return self._log is not None and self._log.draws()

    def _note(self, call: Call, answer: bytes) -> None:
        """Hands what was asked and answered to the log, if it was for rows."""
        if self._log is None or call.method != "Predict":
            return
        if call.request.model_spec.signature_name != DESCRIBE:
            self._log.add(_serialized(call.request), answer)

    def _close_log(self) -> None:
        """Writes what waits, unless the log is another's to close."""
        if self._log is not None and self._owns_log:
            self._log.close()

    def _deadline(self, timeout: float | None) -> Deadline:
        """The deadline of a call that begins now."""
        seconds = self.timeout if timeout is None else timeout
        if not seconds > 0:
            raise invalid(f"`timeout` must be above 0. Received: {seconds}")
        return Deadline(seconds)
