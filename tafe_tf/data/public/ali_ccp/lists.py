"""Single values and lists of many rows, cut and joined without a loop over rows. n rows, S single fields, L lists."""

from __future__ import annotations

import dataclasses

import numpy as np

from tafe_tf.data.public.ali_ccp.text import Features

MISSING = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lists:
    """The lists of n rows; list l of row i is cell i L + l.

    Attributes:
        offsets: where each cell begins and, at last, the end, int64 [n L + 1].
        ids: int64.
        values: float32, one for each id.
    """

    offsets: np.ndarray
    ids: np.ndarray
    values: np.ndarray

    def cells(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where some cells begin, and their sizes."""
        starts = self.offsets[index]
        return starts, self.offsets[index + 1] - starts


def single_values(features: Features, fields: int) -> tuple[np.ndarray, np.ndarray]:
    """The first id of each of the first `fields` fields, -1 where there is none.

    Returns:
        int64 [n, fields], and bool [n]: whether a row has several ids of one field.
    """
    mask = (features.field >= 0) & (features.field < fields)
    cell, ids = features.owner[mask] * fields + features.field[mask], features.ids[mask]
    found = np.full(features.rows * fields, MISSING, np.int64)
    found[cell[::-1]] = ids[::-1]  # of equal places the last assignment stays: the first id
    is_again = np.bincount(cell, minlength=len(found)) > 1
    several = np.logical_or.reduce(is_again.reshape(features.rows, fields), axis=1)
    return found.reshape(features.rows, fields), several


def join_single(own: np.ndarray, common: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows' own ids [n, S] before those of their common rows [n, S]; as `single_values`."""
    present = own != MISSING
    return np.where(present, own, common), (present & (common != MISSING)).any(axis=1)


def to_lists(features: Features, first: int, limits: np.ndarray) -> Lists:
    """The lists of the fields from index `first` on, each cut to the largest values, in the order of the text.

    Args:
        features: of n rows.
        first: index of the first field that is a list.
        limits: ids to keep in each of the L lists, int64 [L].
    """
    at = np.flatnonzero(features.field >= first)
    cell = features.owner[at] * len(limits) + (features.field[at] - first)
    order = np.argsort(cell, kind="stable")
    at, cell = at[order], cell[order]
    kept = largest(cell, features.values[at], np.tile(limits, features.rows))
    at, cell = at[kept], cell[kept]
    counts = np.bincount(cell, minlength=features.rows * len(limits))
    return Lists(offsets=_offsets(counts), ids=features.ids[at], values=features.values[at])


def largest(cell: np.ndarray, values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Which values are among the largest of their cell, the earlier of equals first.

    Args:
        cell: ascending, int64 [m].
        values: float32 [m].
        limits: how many to keep in each cell, int64 [cells].

    Returns:
        bool [m].
    """
    kept = np.ones(len(cell), bool)
    counts = np.bincount(cell, minlength=len(limits))
    if (counts <= limits).all():
        return kept
    at = np.flatnonzero((counts > limits)[cell])
    at = at[np.lexsort((-values[at], cell[at]))]  # stable
    sizes = counts[counts > limits]
    rank = np.arange(len(at)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept[at[rank >= limits[cell[at]]]] = False
    return kept


def join_list(
    own: Lists, common: Lists, rows: np.ndarray, users: np.ndarray, index: int, limits: np.ndarray
) -> Lists:
    """List `index` of some rows: their own ids, then those of their common rows, cut to the largest values.

    Args:
        own: of a block.
        common: of all common rows.
        rows: places of the rows in the block, int64 [n].
        users: their common rows, int64 [n].
        index: of the list, 0 to L - 1.
        limits: as in `to_lists`.
    """
    step = len(limits)
    start, size = own.cells(rows * step + index)
    common_start, common_size = common.cells(users * step + index)
    counts = size + common_size
    offsets = _offsets(counts)
    ids, values = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.float32)
    to = offsets[:-1]
    for part, begin, many, at in (
        (own, start, size, to),
        (common, common_start, common_size, to + size),
    ):
        source, target = _spread(begin, many), _spread(at, many)
        ids[target], values[target] = part.ids[source], part.values[source]
    limit = np.full(len(rows), limits[index])
    if (counts > limit).any():
        row = np.repeat(np.arange(len(rows)), counts)
        kept = largest(row, values, limit)
        offsets = _offsets(np.bincount(row[kept], minlength=len(rows)))
        ids, values = ids[kept], values[kept]
    return Lists(offsets=offsets, ids=ids, values=values)


def _offsets(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _spread(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """start, start + 1, ..., size numbers of each."""
    ends = np.cumsum(sizes)
    return np.repeat(starts - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)
