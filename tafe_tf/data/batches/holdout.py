"""Which rows of the training files are held out for validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.hashing import finalize
from tafe_tf.schema import Schema

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's increment, 2^64 over the golden ratio


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holdout:
    """Which rows of the training files are held out for validation.

    Attributes:
        fraction: The share of the rows, drawn by a hash of the row's place in the files; 0 holds
            out none, 1 all. Default: 0.
        time: If not None, the rows with a time of this or later are held out instead, whatever
            `fraction` is: nanoseconds since 1970-01-01 UTC if the files hold dates or times, and
            otherwise a number as they hold it. Default: None.
    """

    fraction: float = 0.0
    time: int | float | None = None

    def mask(self, block: Block) -> np.ndarray:
        """True for the rows of a block that are held out, [n].

        Raises:
            ValueError: If rows are held out by their time, and the block has none.
        """
        if self.time is not None:
            if block.time is None:
                raise ValueError("rows are held out by their time, which was not read")
            return np.asarray(_as_numbers(block.time) >= self.time)
        file = block.file.astype(np.uint64) << np.uint64(40)
        row = block.row.astype(np.uint64)
        hashes = finalize(file + row + _GOLDEN)  # 0 to 2^53 - 1
        return hashes < np.uint64(self.fraction * 2.0**53)


def time_holdout(
    files: Sequence[str | ArrowRows],
    schema: Schema,
    fraction: float,
    bad_rows: BadRows,
) -> Holdout:
    """Holds out the latest rows, where rows of one moment stay together.

    Args:
        files: The training files.
        schema: Names the column with the time.
        fraction: The share of the rows to hold out.
        bad_rows: What to do with bad rows.

    Raises:
        DataError: If a file cannot be read, or some files hold dates or times and some numbers.
    """
    times = []
    kinds: dict[str, int] = {}
    for block in read_blocks(files, schema, bad_rows=bad_rows, columns=[schema.time]):
        if block.time is None or not len(block.time):
            continue
        is_moment = block.time.dtype.kind == "M"
        kinds.setdefault("dates or times" if is_moment else "numbers", int(block.file[0]))
        times.append(_as_numbers(block.time))
    if len(kinds) > 1:
        found = " and ".join(f"{kind} in {files[file]}" for kind, file in kinds.items())
        raise DataError(f"column {schema.time!r}: must be of one kind in all files, but is {found}")
    ordered = np.sort(np.concatenate(times))
    last = len(ordered) - 1
    rank = round((1.0 - fraction) * last)
    earliest = ordered[rank].item()
    return Holdout(fraction=fraction, time=earliest)


def _as_numbers(times: np.ndarray) -> np.ndarray:
    """Times as numbers, dates and times as nanoseconds since 1970, [n]."""
    return times.astype(np.int64) if times.dtype.kind == "M" else times
