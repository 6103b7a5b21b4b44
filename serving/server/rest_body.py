"""The body of a REST request: it must end in time, and fit in memory beside all others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tafe_tf.serving.server.memory import Share

BODY_BYTES = 1 << 26  # of a request at most
BODY_SECONDS = 60.0  # until the last byte of a body must have come

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Refused(Exception):
    """A request is answered without looking into it, and its connection is closed.

    Attributes:
        code: HTTP's status code.
        text: What is wrong.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class HungUp(Exception):
    """The caller has closed the connection, so nobody waits for an answer."""


async def read(
    scope: Mapping[str, Any], receive: Receive, share: Share, seconds: float = BODY_SECONDS
) -> bytearray:
    """Reads the body of a request.

    Args:
        scope: ASGI's description of the request.
        receive: Waits for the next part of the body, as ASGI defines it.
        share: What the body's bytes are taken from.
        seconds: Until the last byte must have come; 60 by default.

    Raises:
        Refused: If it is not clear where the body ends, it is too large or too slow, or all
            requests together hold too much.
        HungUp: If the caller has closed the connection.
    """
    _check_headers(scope)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, share)
    except TimeoutError:
        raise Refused(408, f"the body did not come within {seconds:g} seconds") from None


def _check_headers(scope: Mapping[str, Any]) -> None:
    """Refuses what the headers alone show to be wrong; that a length is a number is known."""
    headers = dict(scope["headers"])
    is_chunked = b"transfer-encoding" in headers
    has_length = b"content-length" in headers
    if is_chunked and (has_length or scope["http_version"] != "1.1"):
        raise Refused(400, "the request says in two ways where its body ends")
    length = int(headers.get(b"content-length", b"0"))
    if length > BODY_BYTES:
        raise _too_large(length)


async def _read(receive: Receive, share: Share) -> bytearray:
    """Reads to the end, so that the caller reads the answer too, but keeps only what fits."""
    body = bytearray()
    length = 0
    fits = True
    is_last = False
    while not is_last:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        part = message.get("body", b"")
        is_last = not message.get("more_body", False)
        length += len(part)
        if length > BODY_BYTES:
            raise _too_large(length)
        fits = fits and share.take(len(part))
        if fits:
            body += part
        else:
            body.clear()
            share.give_back()
    if not fits:
        raise too_busy()
    return body


def _too_large(length: int) -> Refused:
    return Refused(413, f"a body has at most {BODY_BYTES} bytes. Received: {length} or more")


def too_busy() -> Refused:
    """The answer to a request that would fit in memory alone, but not beside the others."""
    return Refused(503, "the requests that run take all memory; ask again")
