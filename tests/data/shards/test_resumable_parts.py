"""Files cut into parts, from any part on."""

from __future__ import annotations

import itertools
import pathlib

import pytest
from small_files import EXTENSIONS, GOOD, SCHEMA

from tafe_tf.data.bad_rows import Dropped
from tafe_tf.data.errors import BadRowError
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards.resumable_parts import merge, read_parts


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_parts_are_the_same_wherever_reading_starts(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"train.{extension}"
    columns = {name: (values * 3)[:11] for name, values in GOOD.items()} | {"item": [*range(11)]}
    columns["buy"][5] = 1  # without a click: row 6 is bad
    write(path, columns)

    def cuts(first: int, stop: int | None) -> list[tuple[int, list[int], int, bool, bool]]:
        found = read_parts(str(path), SCHEMA, 4, "drop", first, stop, block_rows=2)
        return [(c.part, c.block.row.tolist(), c.dropped, c.ends, c.last) for c in found]

    parts = [
        [(0, [1, 2], 0, False, False), (0, [3, 4], 0, True, False)],
        [(1, [5], 1, False, False), (1, [7, 8], 0, True, False)],
        [(2, [9, 10], 0, False, False), (2, [11], 0, True, True)],
    ]
    for first in range(3):
        for stop in range(first + 1, 4):
            assert cuts(first, stop) == [*itertools.chain(*parts[first:stop])]
        assert cuts(first, None) == [*itertools.chain(*parts[first:])]
    with pytest.raises(BadRowError, match="row 6, column 'buy'"):
        list(read_parts(str(path), SCHEMA, 4, "raise", 1, 2, block_rows=2))


def test_reasons_are_told_once() -> None:
    reasons = [
        Dropped(column=c, rule="r", rows=n, first=f"{c}{n}")
        for c, n in (("a", 2), ("b", 1), ("a", 3))
    ]
    assert [(r.column, r.rows, r.first) for r in merge(reasons)] == [("a", 5, "a2"), ("b", 1, "b1")]
