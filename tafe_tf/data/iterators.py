"""Iterators over what is read: cut to size, marked at the end, or drawn ahead in threads."""

from __future__ import annotations

import collections
import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=Sized)
_END: Any = object()


class Span(NamedTuple, Generic[S]):
    """Consecutive rows of a piece, which is left as it is.

    Attributes:
        piece: The piece.
        start: Its first row that belongs to the span, from 0.
        stop: The row after the last one.
    """

    piece: S
    start: int
    stop: int


def rechunk(
    pieces: Iterable[S],
    size: int,
    *,
    skip: int = 0,
    first: int = 0,
) -> Iterator[list[Span[S]]]:
    """Deals the rows of all pieces into chunks of a fixed number of rows, the last one shorter.

    Args:
        pieces: See `cut`.
        size: The rows of a chunk, 1 or more.
        skip: Rows to pass over before the first chunk. Default: 0.
        first: The rows of the first chunk. Default: 0, which means `size`.

    Yields:
        As `cut`.
    """
    sizes = itertools.chain([first] if first else [], itertools.repeat(size))
    return cut(pieces, sizes, skip)


def cut(
    pieces: Iterable[S],
    sizes: Iterator[int],
    skip: int = 0,
) -> Iterator[list[Span[S]]]:
    """Deals the rows of all pieces into chunks of given numbers of rows, the last one shorter.

    No row is copied, and no piece is drawn before its first row is needed.

    Args:
        pieces: Anything with a length, which is its number of rows; pieces may be empty.
        sizes: The rows of each chunk, 1 or more; it must not end before the pieces.
        skip: Rows to pass over before the first chunk. Default: 0.

    Yields:
        For each chunk the spans that it consists of, in order, none of them empty.
    """
    chunk: list[Span[S]] = []
    wanted = next(sizes)
    for piece in pieces:
        start = min(skip, len(piece))
        skip -= start
        while start < len(piece):
            stop = min(start + wanted, len(piece))
            chunk.append(Span(piece, start, stop))
            wanted -= stop - start
            start = stop
            if wanted == 0:
                yield chunk
                chunk = []
                wanted = next(sizes)
    if chunk:
        yield chunk


def mark_last(items: Iterator[T]) -> Iterator[tuple[T, bool]]:
    """Gives each item, and whether it is the last.

    An error in drawing the next item is raised after this one was given, with False.
    """
    item = next(items, _END)
    while item is not _END:
        following, error = _END, None
        try:
            following = next(items, _END)
        except Exception as caught:
            error = caught
        is_last = following is _END and error is None
        yield item, is_last
        if error is not None:
            raise error
        item = following


def read_ahead(items: Iterator[T], size: int) -> Generator[T, None, None]:
    """Gives the same items, drawn in a thread up to `size` ahead of the one in use.

    An error in drawing an item is raised when its turn comes.
    """

    def draw(_: int) -> T:
        return next(items, _END)

    drawn = in_order(
        draw,
        itertools.count(),
        threads=1,
        ahead=size,
    )
    with contextlib.closing(drawn):
        yield from itertools.takewhile(lambda item: item is not _END, drawn)


def in_order(
    function: Callable[[T], R],
    items: Iterator[T],
    threads: int = 2,
    ahead: int | None = None,
) -> Generator[R, None, None]:
    """Computes a result for each item in threads, and gives the results in the order of the items.

    An error in computing a result is raised when its item's turn comes.

    Args:
        function: What to compute; it runs in several threads at a time.
        items: Its arguments, drawn in the caller's thread.
        threads: The number of threads. Default: 2.
        ahead: How many items are under way while a result is in use. Default: None, as many as
            there are threads.
    """
    ahead = threads if ahead is None else ahead
    with ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque[Future[R]] = collections.deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
