"""A client of TensorFlow Serving, or of `serving.server`: columns in, NumPy out.

client = Client("localhost:8500", "shop")
client.predict({"user": ["u1", "u1"], "item": [7, 8], "hour": [3, 3], "price": [9.5, None], "tags": [["red"], []]})

python -m serving.client --target=localhost:8500 --model_name=shop --input=rows.csv
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2, model_service_pb2_grpc, prediction_service_pb2_grpc

from tafe_tf.serving.client.conversation import Answer, Conversation, Predictions, Steps
from tafe_tf.serving.wire.errors import ServingError

_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],  # nothing else is safe, or of use, to say again
}
_SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", -1),  # no limit: 4 MiB, which gRPC sets, are 29,000 rows of 18 integers
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{"service": s} for s in _SERVICES],
                                                          "retryPolicy": _RETRY}]})),
]  # fmt: skip


class _Caller:
    """What both clients share; see `Client`."""

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
        if credentials is None:
            self._channel = self._api.insecure_channel(target, options=_OPTIONS)
        else:
            self._channel = self._api.secure_channel(target, credentials, options=_OPTIONS)
        stubs = (
            prediction_service_pb2_grpc.PredictionServiceStub(self._channel),
            model_service_pb2_grpc.ModelServiceStub(self._channel),
        )
        names = ("Predict", "GetModelMetadata", "GetModelStatus")
        self._methods = {
            name: getattr(stub, name) for stub in stubs for name in names if hasattr(stub, name)
        }


class Client(_Caller):
    """Blocks until the answer is there; may be used from many threads.

    Every method raises ServingError with the code and the text of what went wrong. UNAVAILABLE alone is tried again,
    with back-off, while the deadline lasts.

    Args:
        target: "host:port".
        model: the model's name.
        version: to ask for; by default the latest.
        label: to ask for, instead of a version.
        timeout: seconds that one call may take in all.
        rows_per_request: longer calls are sent in pieces, all answered by the same version.
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None for none.
    """

    _api = grpc

    def predict(
        self,
        columns: Any,
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Predictions:
        """Scores rows.

        Args:
            columns: a mapping from names to sequences, a pandas DataFrame or a pyarrow Table; [n] or [n, any length]
                each. Further columns are left alone. None is a missing value.
            signature: the signature to ask. For "rank" the user's columns have one row.
            outputs: names of those wanted; by default all.
            timeout: seconds, instead of the client's own.

        Returns:
            Outputs by name, [n] each.
        """
        return self._run(self._conversation.predict(columns, signature, outputs), timeout)

    def status(self) -> dict[int, str]:
        """State of each version by its number, such as {3: "AVAILABLE"}."""
        return self._run(self._conversation.status(), None)

    def signatures(self) -> dict[str, Any]:
        """The model's `SignatureDef`s by name."""
        return self._run(self._conversation.signatures(), None)

    def _run(self, steps: Steps[Answer], timeout: float | None) -> Answer:
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            method, request = next(steps)
            while True:
                try:
                    answer = self._methods[method](
                        request, timeout=max(deadline - time.monotonic(), 0.0)
                    )
                except grpc.RpcError as error:
                    method, request = steps.throw(ServingError(error.code(), error.details()))
                else:
                    method, request = steps.send(answer)
        except StopIteration as end:
            result: Answer = end.value
            return result

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(_Caller):
    """The same for asyncio; made, used and closed inside one event loop. Arguments and methods as `Client`'s."""

    _api = grpc.aio

    async def predict(
        self,
        columns: Any,
        *,
        signature: str = "serving_default",
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Predictions:
        """Scores rows; see `Client.predict`."""
        return await self._run(self._conversation.predict(columns, signature, outputs), timeout)

    async def status(self) -> dict[int, str]:
        """State of each version by its number."""
        return await self._run(self._conversation.status(), None)

    async def signatures(self) -> dict[str, Any]:
        """The model's `SignatureDef`s by name."""
        return await self._run(self._conversation.signatures(), None)

    async def _run(self, steps: Steps[Answer], timeout: float | None) -> Answer:
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        try:
            method, request = next(steps)
            while True:
                try:
                    answer = await self._methods[method](
                        request, timeout=max(deadline - time.monotonic(), 0.0)
                    )
                except grpc.RpcError as error:
                    method, request = steps.throw(ServingError(error.code(), error.details()))
                else:
                    method, request = steps.send(answer)
        except StopIteration as end:
            result: Answer = end.value
            return result

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
