"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import grpc

from tafe_tf.serving.client.answers import Predictions
from tafe_tf.serving.client.connection import Connection, failure
from tafe_tf.serving.client.conversation import asked
from tafe_tf.serving.client.deadline import Answer, Call, Deadline, Pause, Steps, persistent
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
        deadline = self._deadline(timeout)
        steps = self._conversation.predict(columns, signature, outputs, deadline.check)
        return await self._run(steps, deadline)

    async def seen(self, columns: Any, *, timeout: float | None = None) -> Seen:
        """Finds which values of rows are missing, and which are unseen; see `Client.seen`."""
        deadline = self._deadline(timeout)
        return await self._run(self._conversation.seen(columns, deadline.check), deadline)

    async def status(self) -> dict[int, str]:
        """The state of each version by its number; see `Client.status`."""
        return await self._run(self._conversation.status(), self._deadline(None))

    async def signatures(self) -> dict[str, Any]:
        """The model's `SignatureDef`s by name; see `Client.signatures`."""
        return await self._run(self._conversation.signatures(), self._deadline(None))

    async def call(self, method: str, request: Any, *, timeout: float | None = None) -> Any:
        """Sends one request as it is; see `Client.call`."""
        return await self._run(asked(method, request), self._deadline(timeout))

    async def _run(self, steps: Steps[Answer], deadline: Deadline) -> Answer:
        """Carries out a conversation."""
        is_logged = self._is_logged()
        actions = persistent(steps, deadline)
        try:
            action = next(actions)
            while True:
                try:
                    result = await self._do(action)
                except ServingError as error:
                    action = actions.throw(error)
                else:
                    if is_logged and isinstance(action, Call):
                        self._note(action, result)
                    action = actions.send(result)
        except StopIteration as end:
            answer: Answer = end.value
            return answer

    async def _do(self, action: Call | Pause) -> Any:
        if isinstance(action, Pause):
            return await asyncio.sleep(action.seconds)
        try:
            return await self._methods[action.method](action.request, timeout=action.timeout)
        except (grpc.RpcError, grpc.aio.BaseError, ValueError) as error:
            raise failure(error) from None

    async def close(self) -> None:
        """Closes the connection, once what waits for the log is written."""
        await self._channel.close()
        await asyncio.to_thread(self._close_log)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
