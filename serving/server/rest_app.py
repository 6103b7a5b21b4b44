"""Answers the REST API, as an ASGI application: reads a body, and only then takes a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent import futures
from typing import Any

from tafe_tf.serving.server import rest_answers, rest_body, rest_json
from tafe_tf.serving.server.memory import MemoryLimit, Share
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.rest_body import HungUp, Receive, Refused
from tafe_tf.serving.server.running import RunningCalls

ABORT = "abort"  # in ASGI's state: closes the connection at once
_SEND_SECONDS = 60.0  # until the caller must have read an answer
_PIECE = 1 << 16  # bytes of an answer that are sent at a time

Send = Callable[[dict[str, Any]], Awaitable[None]]


class RestApp:
    """Answers one request after the other for each connection, and many connections at a time.

    Args:
        models: The models that requests ask.
        running: Counts the requests whose body has come, until they are answered.
        threads: The number of requests answered at a time.
    """

    def __init__(self, models: ServedModels, running: RunningCalls, threads: int) -> None:
        self._models = models
        self._running = running
        self._memory = MemoryLimit()
        self._pool = futures.ThreadPoolExecutor(threads)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        with self._memory.share() as share:
            try:
                body = await rest_body.read(scope, receive, share)
            except Refused as refused:
                await _send_refusal(scope, send, refused)
            except HungUp:
                return
            else:
                await self._run(scope, send, body, share)

    async def _run(
        self, scope: Mapping[str, Any], send: Send, body: bytearray, share: Share
    ) -> None:
        """Answers a request whose body is there."""
        is_counted = self._running.begin()
        try:
            loop = asyncio.get_running_loop()
            code, text = await loop.run_in_executor(self._pool, self._answer, scope, body, share)
            await _send(scope, send, code, text, is_last=self._models.is_ending)
        except Refused as refused:
            await _send_refusal(scope, send, refused)
        finally:
            if is_counted:
                self._running.done()

    def _answer(self, scope: Mapping[str, Any], body: bytearray, share: Share) -> tuple[int, bytes]:
        values = rest_json.count_values(body)
        if values > rest_json.MAX_VALUES:
            raise Refused(
                413,
                f"the body has {values} commas and brackets; send fewer rows a request, of at "
                f"most {rest_json.MAX_VALUES}",
            )
        if not share.take(rest_json.bytes_to_read(body, values)):
            raise rest_body.too_busy()
        path = scope["raw_path"].decode("ascii")
        return rest_answers.answer(self._models, scope["method"], path, body)


async def _send_refusal(scope: Mapping[str, Any], send: Send, refused: Refused) -> None:
    text = rest_answers.as_text({"error": refused.text})
    await _send(scope, send, refused.code, text, is_last=True)


async def _send(
    scope: Mapping[str, Any], send: Send, code: int, text: bytes, *, is_last: bool
) -> None:
    """Sends an answer, after the last of which the connection is closed."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(text)).encode()),
    ]
    if is_last:
        headers.append((b"connection", b"close"))
    try:
        async with asyncio.timeout(_SEND_SECONDS):
            await send({"type": "http.response.start", "status": code, "headers": headers})
            for start in range(0, len(text), _PIECE):
                piece = text[start : start + _PIECE]
                has_more = start + _PIECE < len(text)
                await send({"type": "http.response.body", "body": piece, "more_body": has_more})
    except TimeoutError:
        scope["state"][ABORT]()
