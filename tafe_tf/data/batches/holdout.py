"""Which rows of the training files are held out for validation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.times import as_numbers, times_of
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.to_column import is_present
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.hashing import of_places, of_texts
from tafe_tf.schema import Schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holdout:
    """Which rows of the training files are held out for validation.

    Attributes:
        fraction: The share of the rows, drawn by a hash of the row's place in the files; 0 holds
            out none, 1 all. Default: 0.
        group: If not empty, the column by whose values rows are drawn, so that all rows of a user
            are held out or none; `fraction` is then a share of the users. Rows without a value are
            drawn one by one. Default: "".
        time: If not None, the rows with a time of this or later are held out instead, whatever
            `fraction` is: nanoseconds since 1970-01-01 UTC if the files hold dates or times, and
            otherwise a number as they hold it. With `group` as well, the rows of the groups that
            are drawn are held out if their time is this or later; their earlier rows and the later
            rows of the other groups are neither held out nor trained on, so that training knows
            neither a group that is held out nor anything of its time. Default: None.
    """

    fraction: float = 0.0
    group: str = ""
    time: int | float | None = None

    def mask(self, block: Block) -> np.ndarray:
        """True for the rows of a block that are held out, [n].

        Raises:
            ValueError: If rows are held out by their time, and the block has none.
        """
        if self.time is None:
            return self._is_drawn(block)
        is_late = self._is_late(block)
        return is_late & self._is_drawn(block) if self.group else is_late

    def training_mask(self, block: Block) -> np.ndarray:
        """True for the rows of a block that are trained on, [n].

        Raises:
            ValueError: As `mask`.
        """
        if self.time is None:
            return ~self._is_drawn(block)
        is_early = ~self._is_late(block)
        return is_early & ~self._is_drawn(block) if self.group else is_early

    @property
    def training_share(self) -> float:
        """About which share of the rows are trained on."""
        has_both = self.time is not None and self.group
        left = 1.0 - self.fraction
        return left * left if has_both else left

    def _is_late(self, block: Block) -> np.ndarray:
        """Which rows have the time or a later one, [n]."""
        if block.time is None:
            raise ValueError("rows are held out by their time, which was not read")
        return np.asarray(as_numbers(block.time) >= self.time)

    def _is_drawn(self, block: Block) -> np.ndarray:
        """Which rows are drawn by the hash of their place or their group, [n]."""
        hashes = of_places(block.file, block.row)
        if self.group:
            users = block.columns[self.group]
            hashes = np.where(is_present(users), of_texts(users), hashes)
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
    ordered = np.sort(as_numbers(times_of(files, schema, bad_rows)))
    last = len(ordered) - 1
    rank = round((1.0 - fraction) * last)
    earliest = ordered[rank].item()
    return Holdout(fraction=fraction, time=earliest)
