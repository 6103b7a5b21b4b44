"""One row means one thing, by whatever way it comes."""

from __future__ import annotations

import pathlib

import every_way


def test_every_way_means_the_same(tmp_path: pathlib.Path) -> None:
    counts = every_way.compare(seed=0, rows=300, directory=tmp_path)
    print(every_way.count_table(counts))
    assert all(cells >= 10_000 for cells, _ in counts.values())
    assert {way: differing for way, (_, differing) in counts.items() if differing} == {}
