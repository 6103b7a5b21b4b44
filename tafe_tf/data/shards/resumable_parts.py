"""A file's rows in parts of a fixed size, from any part on: where a killed job goes on."""

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
        part: The number of its part, from 0.
        block: Rows of the part, without bad ones.
        dropped: The number of bad rows.
        reasons: Why they are bad, and which were repaired.
        ends: Whether the part ends with this block.
        last: Whether the file does.
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
        path: The file.
        schema: What to read of it.
        part_rows: The raw rows of a part; CSV rows of a wrong width do not count.
        policy: "raise" at bad rows, or "drop" them.
        first: The part to start at. Default: 0.
        stop: The part to stop before. Default: None, read to the end.
        **settings: Further arguments of `read_blocks`; `block_rows` must divide `part_rows`.

    Raises:
        DataError: As `read_blocks`.
    """
    bad_rows = BadRows(policy)
    start = first * part_rows
    blocks = read_blocks(
        [path],
        schema,
        bad_rows=bad_rows,
        start_row=start,
        **settings,
    )
    noted = ((block, bad_rows.take()) for block in blocks)
    for (block, bad), last in mark_last(noted):
        dropped, reasons = bad
        part = start // part_rows
        start += block.raw_rows
        if part == stop:
            break
        ends = last or start % part_rows == 0
        yield Cut(
            part,
            block,
            dropped,
            reasons,
            ends=ends,
            last=last,
        )


def merge(reasons: Iterable[Dropped]) -> list[Dropped]:
    """Adds up reasons of consecutive blocks or parts of one file, so that each is there once."""
    found: dict[tuple[str, str, str], Dropped] = {}
    for reason in reasons:
        key = (reason.column, reason.rule, reason.verdict)
        known = found.get(key)
        if known is None:
            found[key] = reason
        else:
            rows = known.rows + reason.rows
            found[key] = dataclasses.replace(known, rows=rows)
    return list(found.values())
