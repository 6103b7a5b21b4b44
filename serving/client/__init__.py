"""Clients of TensorFlow Serving and of `serving.server`: columns in, NumPy arrays out.

`Client` blocks until the answer is there; `AsyncClient` is the same for asyncio. The command
`python -m serving.client` scores a file.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2

from tafe_tf.serving.client.connection import methods_of, open_channel
from tafe_tf.serving.client.conversation import Answer, Conversation, Predictions, Steps
from tafe_tf.serving.wire.errors import ServingError

__all__ = ["AsyncClient", "Client", "Predictions", "ServingError"]


class _Caller:
    """What both clients share; see `Client` for the arguments."""

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


class Client(_Caller):
    """Asks one model of a server, and blocks until the answer is there.

    A client may be used from many threads. It connects at the first call. A server that is
    UNAVAILABLE is asked again, with growing pauses, as long as the call's timeout lasts; no other
    failure is tried again.

    Args:
        target: the server, "host:port" or "unix:PATH".
        model: the model's name on the server, "default" by default.
        version: the number of the version to ask. By default the latest one answers.
        label: the label of the version to ask, instead of its number.
        timeout: seconds that one call may take in all, 10 by default.
        rows_per_request: rows that one request carries at most, 1024 by default. A longer call is
            sent in pieces, which are all answered by the same version.
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None, the default, for plain text.

    Raises:
        ValueError: if both a version and a label are given, or a number is out of its range.

    Example:
        The columns are those of the model's schema; `None` is a missing value.

        >>> from tafe_tf.serving.client import Client
        >>> client = Client("localhost:8500", "shop", timeout=2.0)
        >>> rows = {"user": ["u1", "u1"], "item": [7, 8], "price": [9.5, None]}
        >>> predictions = client.predict(rows)  # doctest: +SKIP
        >>> predictions["ctr"]  # doctest: +SKIP
        array([0.31, 0.12], dtype=float32)
        >>> predictions.version  # doctest: +SKIP
        3
        >>> client.close()
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
            columns: a mapping from names to sequences, a pandas DataFrame or a pyarrow Table. A
                column has shape [n], or [n, any length] where the model takes lists. Columns that
                the model does not take are left out. None is a missing value.
            signature: the signature to ask, "serving_default" by default. "rank" takes one row of
                the user's columns and n rows of the others.
            outputs: names of the outputs to return. By default all are returned.
            timeout: seconds that this call may take, instead of the client's own timeout.

        Returns:
            The outputs by name, [n] each, and the version that computed them.

        Raises:
            ServingError: with the code and the text of what went wrong.
        """
        return self._run(self._conversation.predict(columns, signature, outputs), timeout)

    def status(self) -> dict[int, str]:
        """The state of each version by its number, such as `{3: "AVAILABLE", 2: "END"}`.

        Raises:
            ServingError: with the code and the text of what went wrong.
        """
        return self._run(self._conversation.status(), None)

    def signatures(self) -> dict[str, Any]:
        """The model's `SignatureDef`s by name.

        Raises:
            ServingError: with the code and the text of what went wrong.
        """
        return self._run(self._conversation.signatures(), None)

    def call(self, method: str, request: Any, *, timeout: float | None = None) -> Any:
        """Sends one request as it is: neither its model nor its columns are filled in or checked.

        Args:
            method: a name of `connection.METHODS`, such as "Predict".
            request: the method's request, such as a `PredictRequest`.
            timeout: seconds that this call may take, instead of the client's own timeout.

        Returns:
            The method's response, such as a `PredictResponse`.

        Raises:
            ServingError: with the code and the text of the server's error.
        """
        seconds = self.timeout if timeout is None else timeout
        try:
            return self._methods[method](request, timeout=seconds)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details()) from None

    def _run(self, steps: Steps[Answer], timeout: float | None) -> Answer:
        """Carries out a conversation."""
        deadline = self._deadline(timeout)
        try:
            method, request = next(steps)
            while True:
                remaining = max(deadline - time.monotonic(), 0.0)
                try:
                    response = self.call(method, request, timeout=remaining)
                except ServingError as error:
                    method, request = steps.throw(error)
                else:
                    method, request = steps.send(response)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

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
    """`Client` for asyncio, with the same arguments and methods.

    It must be made, used and closed inside one event loop.

    Example:
        >>> import asyncio
        >>> from tafe_tf.serving.client import AsyncClient
        >>> async def ask(items):
        ...     async with AsyncClient("localhost:8500", "shop") as client:
        ...         requests = [client.predict({"user": ["u1"], "item": [i]}) for i in items]
        ...         return await asyncio.gather(*requests)
        >>> answers = asyncio.run(ask([7, 8]))  # doctest: +SKIP
    """

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
        """The state of each version by its number; see `Client.status`."""
        return await self._run(self._conversation.status(), None)

    async def signatures(self) -> dict[str, Any]:
        """The model's `SignatureDef`s by name; see `Client.signatures`."""
        return await self._run(self._conversation.signatures(), None)

    async def call(self, method: str, request: Any, *, timeout: float | None = None) -> Any:
        """Sends one request as it is; see `Client.call`."""
        seconds = self.timeout if timeout is None else timeout
        try:
            return await self._methods[method](request, timeout=seconds)
        except grpc.RpcError as error:
            raise ServingError(error.code(), error.details()) from None

    async def _run(self, steps: Steps[Answer], timeout: float | None) -> Answer:
        """Carries out a conversation."""
        deadline = self._deadline(timeout)
        try:
            method, request = next(steps)
            while True:
                remaining = max(deadline - time.monotonic(), 0.0)
                try:
                    response = await self.call(method, request, timeout=remaining)
                except ServingError as error:
                    method, request = steps.throw(error)
                else:
                    method, request = steps.send(response)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

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
