"""The client for asyncio."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import grpc

from tafe_tf.serving.client.connection import Connection
from tafe_tf.serving.client.conversation import Answer, Predictions, Steps
from tafe_tf.serving.client.description import Seen
from tafe_tf.serving.wire.errors import ServingError


class AsyncClient(Connection):
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

    async def seen(self, columns: Any, *, timeout: float | None = None) -> Seen:
        """Finds which values of rows are missing, and which are unseen; see `Client.seen`."""
        return await self._run(self._conversation.seen(columns), timeout)

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
