"""How a body is read: in time, within the limits, and beside others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tafe_tf.serving.server import rest_body
from tafe_tf.serving.server.memory import SMALL_BYTES, MemoryLimit, Share
from tafe_tf.serving.server.rest_body import BODY_BYTES, HungUp, Refused

Parts = list[dict[str, Any]]


def scope(version: str = "1.1", **headers: str) -> dict[str, Any]:
    """ASGI's description of a request with some headers."""
    pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return {"http_version": version, "headers": pairs}


def read(
    parts: Iterable[dict[str, Any]], share: Share, seconds: float = 5.0, **headers: str
) -> bytes:
    """What is read of a body that comes in parts; after the last one nothing comes."""
    left = iter(parts)

    async def receive() -> dict[str, Any]:
        for part in left:
            return {"type": "http.request", **part}
        await asyncio.sleep(60.0)
        raise AssertionError("read on after a minute")

    return bytes(asyncio.run(rest_body.read(scope(**headers), receive, share, seconds)))


def endless(size: int) -> Iterator[dict[str, Any]]:
    while True:
        yield {"body": b"x" * size, "more_body": True}


def test_parts_are_joined() -> None:
    share = MemoryLimit(100).share()
    parts: Parts = [{"body": b"ab", "more_body": True}, {"more_body": True}, {"body": b"c"}]
    assert read(parts, share, content_length="3") == b"abc"
    assert share.held == 3


def test_a_body_that_drips_in_ends_in_time() -> None:
    share = MemoryLimit(100).share()
    with pytest.raises(Refused, match=r"did not come within 0.1 seconds") as refused:
        read([{"body": b"a", "more_body": True}], share, seconds=0.1)
    assert refused.value.code == 408


def test_a_body_has_a_largest_size() -> None:
    share = MemoryLimit().share()
    with pytest.raises(Refused, match="at most 67108864 bytes") as refused:
        read([], share, content_length=str(BODY_BYTES + 1))
    assert refused.value.code == 413
    with pytest.raises(Refused, match="at most 67108864 bytes") as refused:
        read(endless(1 << 22), share, transfer_encoding="chunked")
    assert refused.value.code == 413


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("1.1", {"content_length": "3", "transfer_encoding": "chunked"}),
        ("1.0", {"transfer_encoding": "chunked"}),
    ],
)
def test_two_ends_are_refused(version: str, headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        rest_body._check_headers(scope(version, **headers))
    assert refused.value.code == 400


def test_all_requests_together_have_a_limit() -> None:
    """What does not fit is read to its end, but not kept, and its share is free again."""
    limit = MemoryLimit(100)
    first, second = limit.share(), limit.share()
    assert first.take(60)
    parts: Parts = [{"body": b"x" * 30, "more_body": True}, {"body": b"x" * 30}]
    with pytest.raises(Refused, match="ask again") as refused:
        read(parts, second)
    assert refused.value.code == 503
    assert second.held == 0
    first.give_back()
    assert read(parts, second) == b"x" * 60


def test_large_requests_leave_room_for_small_ones() -> None:
    limit = MemoryLimit(8 * SMALL_BYTES)
    large, small = limit.share(), limit.share()
    assert large.take(6 * SMALL_BYTES)
    assert not large.take(1)
    assert small.take(SMALL_BYTES)
    assert not small.take(1)  # it is no longer small
    with large:
        pass
    assert small.take(1)


def test_a_caller_who_hangs_up_is_no_error() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(HungUp):
        asyncio.run(rest_body.read(scope(), receive, MemoryLimit().share()))
