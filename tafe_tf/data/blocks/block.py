"""A block: consecutive rows of one file, as NumPy arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block:
    """Consecutive rows of one file; n rows, N tasks.

    Attributes:
        columns: The columns by name; [n] of int64, float32, float64 or object (str, or bytes from
            TFRecord: TensorFlow takes both), or [n, max_length] for lists, which are padded with
            the dtype's `schema.ABSENT`, and weights with 0.
        labels: 0, 1 or `schema.UNKNOWN`, int8 [n, N]; [n, 0] if labels were not asked for.
        row: The numbers of the rows inside the file, from 1, int64 [n].
        file: The index of the file, int32 [n].
        raw_rows: How many rows the block had before bad ones were dropped; CSV rows of a wrong
            width do not count.
        time: The column `Schema.time`, if it was read, with all of its bits, [n]: int64, float64,
            or datetime64[ns] where the file has dates or times, see `time_column.times`. It stands
            among the columns as well only if the schema reads it for something else.
        ends: Whether a block of as many rows as were asked for ends with this one; heavy rows come
            in parts. Default: True.
        kept: The columns that were asked for as Arrow arrays, by name, [n]. Default: none.
    """

    columns: dict[str, np.ndarray]
    labels: np.ndarray
    row: np.ndarray
    file: np.ndarray
    raw_rows: int
    time: np.ndarray | None = None
    ends: bool = True
    kept: dict[str, pa.Array] = dataclasses.field(default_factory=dict)

    def take(self, good: np.ndarray) -> Block:
        """The rows that a mask [n] picks; `raw_rows` stays as it is."""
        mask = pa.array(good)
        kept = {}
        for name, array in self.kept.items():
            kept[name] = array.filter(mask)
        return Block(
            columns={name: values[good] for name, values in self.columns.items()},
            labels=self.labels[good],
            row=self.row[good],
            file=self.file[good],
            raw_rows=self.raw_rows,
            time=None if self.time is None else self.time[good],
            ends=self.ends,
            kept=kept,
        )
