"""Iterators that work while their items are in use."""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_END: Any = object()


def read_ahead(items: Iterator[T], size: int) -> Generator[T, None, None]:
    """The same items, drawn in a thread up to `size` ahead; an error comes when its item's turn does."""
    with ThreadPoolExecutor(1) as pool:
        waiting: collections.deque[Future[T]] = collections.deque()
        try:
            waiting.extend(pool.submit(next, items, _END) for _ in range(size))
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(pool.submit(next, items, _END))
                yield item
        finally:
            for future in waiting:
                future.cancel()


def mark_last(items: Iterator[T]) -> Iterator[tuple[T, bool]]:
    """Each item, and whether it is the last; an error in drawing the next one comes after this one was given."""
    item = next(items, _END)
    while item is not _END:
        following, error = _END, None
        try:
            following = next(items, _END)
        except Exception as caught:
            error = caught
        yield item, following is _END and error is None
        if error is not None:
            raise error
        item = following


def in_order(
    function: Callable[[T], R], items: Iterator[T], threads: int = 2
) -> Generator[R, None, None]:
    """Computes a result for each item in threads, and gives the results in the order of the items.

    An error in computing a result comes when its item's turn does.

    Args:
        function: What to compute; it runs in several threads at a time.
        items: Its arguments, drawn in the caller's thread.
        threads: The number of threads, and of items that are under way while a result is in use.
            Default: 2.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque[Future[R]] = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
