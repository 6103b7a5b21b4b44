"""A file's rows in parts of a fixed number of rows, from any part on: what a job that was killed goes on with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tafe_tf.data.bad_rows import BadRows, Dropped, Policy
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.iterators import mark_last
from tafe_tf.schema import Schema


class Cut(NamedTuple):
    """A block, and where it belongs.

    Attributes:
        part: number of its part, from 0.
        block: rows of the part, without bad ones.
        dropped: number of bad rows.
        reasons: why they are bad.
        ends: whether the part ends with this block.
        last: whether the file does.
    """

    part: int
    block: Block
    dropped: int
    reasons: list[Dropped]
    ends: bool
    last: bool


def read_parts(
    path: str,
    schema: Schema,
    part_rows: int,
    policy: Policy,
    first: int = 0,
    stop: int | None = None,
    **settings: Any,
) -> Iterator[Cut]:
    """Reads some parts of a file, the same ones wherever reading starts.

    Args:
        path: the file.
        schema: the dataset.
        part_rows: raw rows a part; CSV rows of a wrong width do not count.
        policy: "raise" at bad rows, or "drop" them.
        first: part to start at.
        stop: part to stop before; None for all.
        **settings: `block_rows`, which divides `part_rows`, and others of `read_blocks`.

    Raises:
        DataError: as `read_blocks`.
    """
    bad_rows = BadRows(policy)
    start = first * part_rows
    blocks = read_blocks([path], schema, bad_rows=bad_rows, start_row=start, **settings)
    for (block, noted), last in mark_last((block, bad_rows.take()) for block in blocks):
        part, start = start // part_rows, start + block.raw_rows
        if part == stop:
            break
        yield Cut(part, block, *noted, ends=last or start % part_rows == 0, last=last)


def merge(reasons: Iterable[Dropped]) -> list[Dropped]:
    """Reasons of consecutive blocks or parts of one file, each once."""
    found: dict[tuple[str, str], Dropped] = {}
    for reason in reasons:
        key = (reason.column, reason.rule)
        known = found.get(key)
        found[key] = (
            reason if known is None else dataclasses.replace(known, rows=known.rows + reason.rows)
        )
    return list(found.values())
