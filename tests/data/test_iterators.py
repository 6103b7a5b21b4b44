"""Iterators: the same items or rows, errors in their turn, and nothing read without bound."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from tafe_tf.data.iterators import in_order, mark_last, read_ahead, rechunk


def numbers(count: int, drawn: list[int], error: Exception | None = None) -> Iterator[int]:
    for number in range(count):
        drawn.append(number)
        yield number
    if error:
        raise error


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_same_items(count: int) -> None:
    assert list(read_ahead(numbers(count, []), 2)) == list(range(count))
    assert list(mark_last(numbers(count, []))) == [(n, n == count - 1) for n in range(count)]


def test_no_further_ahead_than_asked() -> None:
    drawn: list[int] = []
    stop = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            if number == 3:
                stop.set()  # the second item, and two ahead of it
            yield number

    ahead = read_ahead(items(), 2)
    assert [next(ahead), next(ahead)] == [0, 1]
    assert stop.wait(10)
    ahead.close()
    assert drawn == [0, 1, 2, 3]


def test_errors_come_in_their_turn() -> None:
    for wrap in (
        lambda items: read_ahead(items, 2),
        lambda items: (item for item, _ in mark_last(items)),
    ):
        found = []
        with pytest.raises(OSError, match="disk"):
            for item in wrap(numbers(3, [], OSError("disk"))):
                found.append(item)
        assert found == [0, 1, 2]
    marks = mark_last(numbers(1, [], OSError("disk")))
    assert next(marks) == (0, False)  # what follows is not known, but it is not the end


def test_results_come_in_order_and_two_at_a_time() -> None:
    both = threading.Barrier(2, timeout=10)  # passes only where two threads wait at once

    def square(number: int) -> int:
        both.wait()
        return number * number

    assert list(in_order(square, iter(range(20)))) == [number**2 for number in range(20)]


def test_an_error_in_a_result_comes_in_its_turn() -> None:
    results = in_order(lambda number: 6 // number, iter([3, 2, 0, 1]))
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("pieces", [["abc", "", "defgh", "i"], ["abcdefghi"], list("abcdefghi")])
@pytest.mark.parametrize("size", [1, 2, 4, 9, 20])
@pytest.mark.parametrize("skip", [0, 1, 3, 4, 9, 12])
@pytest.mark.parametrize("first", [0, 1, 3])
def test_chunks_are_slices_of_the_whole(
    pieces: list[str], size: int, skip: int, first: int
) -> None:
    chunks = list(rechunk(pieces, size, skip=skip, first=first))
    found = ["".join(piece[start:stop] for piece, start, stop in chunk) for chunk in chunks]
    rest = "abcdefghi"[skip:]
    cuts = [0, *range(first or size, len(rest), size), len(rest)]
    assert found == [rest[a:b] for a, b in itertools.pairwise(cuts) if a < b]
    assert all(start < stop for chunk in chunks for _, start, stop in chunk)


def test_a_piece_is_not_drawn_before_it_is_needed() -> None:
    drawn = []

    def pieces() -> Iterator[str]:
        for piece in ("abc", "def", "g"):
            drawn.append(piece)
            yield piece

    chunks = rechunk(pieces(), 2)
    next(chunks)
    assert drawn == ["abc"]
    next(chunks)
    assert drawn == ["abc", "def"]
    assert next(chunks) == [("def", 1, 3)] and drawn == ["abc", "def"]
