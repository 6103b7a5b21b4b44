"""Single values and lists of many rows, cut and joined without a loop over rows.

Shapes: n rows, m features, S single fields, L lists.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tafe_tf.data.public.ali_ccp.text import FeatureLists

MISSING = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lists:
    """The lists of n rows; list l of row i is cell i L + l.

    Attributes:
        offsets: Where each cell begins and, at last, where all end; int64 [n L + 1].
        ids: The ids of all cells, int64.
        values: One for each id, float32.
    """

    offsets: np.ndarray
    ids: np.ndarray
    values: np.ndarray

    def cells(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where some cells begin, and their sizes."""
        starts = self.offsets[index]
        ends = self.offsets[index + 1]
        return starts, ends - starts


def single_values(
    features: FeatureLists,
    fields: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The first id of each of the first `fields` fields, -1 where there is none.

    Args:
        features: The features of n rows.
        fields: S, the number of fields.

    Returns:
        int64 [n, S], and bool [n]: whether a row has several ids of one field.
    """
    shape = (features.rows, fields)
    field = features.field
    mask = (field >= 0) & (field < fields)
    cell = features.owner[mask] * fields
    cell += field[mask]
    ids = features.ids[mask]
    cells = features.rows * fields
    found = np.full(cells, MISSING, np.int64)
    # The last feature first: of equal cells the last assignment stays, which is the first id.
    found[cell[::-1]] = ids[::-1]
    counts = np.bincount(cell, minlength=cells)
    is_again = counts.reshape(shape) > 1
    several = np.logical_or.reduce(is_again, axis=1)
    return found.reshape(shape), several


def join_single(
    own: np.ndarray,
    common: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Joins the rows' own ids with those of their common rows.

    Args:
        own: The rows' own ids, which come first, [n, S].
        common: Those of their common rows, [n, S].

    Returns:
        As `single_values`.
    """
    present = own != MISSING
    both = present & (common != MISSING)
    joined = np.where(present, own, common)
    return joined, both.any(axis=1)


def to_lists(
    features: FeatureLists,
    first: int,
    limits: np.ndarray,
) -> Lists:
    """The lists of the fields from index `first` on, in the order of the text.

    Args:
        features: The features of n rows.
        first: The index of the first field that is a list.
        limits: How many ids, those of the largest values, to keep in each list; int64 [L].
    """
    lists = len(limits)
    place = np.flatnonzero(features.field >= first)
    index = features.field[place] - first
    cell = features.owner[place] * lists + index
    order = np.argsort(cell, kind="stable")
    place = place[order]
    cell = cell[order]
    limit_of_cell = np.tile(limits, features.rows)
    kept = largest(cell, features.values[place], limit_of_cell)
    place = place[kept]
    cells = features.rows * lists
    counts = np.bincount(cell[kept], minlength=cells)
    return Lists(
        offsets=_offsets(counts),
        ids=features.ids[place],
        values=features.values[place],
    )


def largest(
    cell: np.ndarray,
    values: np.ndarray,
    limits: np.ndarray,
) -> np.ndarray:
    """Which values are among the largest of their cell; of equal ones the earlier wins.

    Args:
        cell: The cell of each value, ascending, int64 [m].
        values: float32 [m].
        limits: How many to keep in each cell, int64 [cells].

    Returns:
        bool [m].
    """
    kept = np.ones(len(cell), bool)
    counts = np.bincount(cell, minlength=len(limits))
    is_long = counts > limits
    if not is_long.any():
        return kept
    place = np.flatnonzero(is_long[cell])
    keys = (-values[place], cell[place])
    place = place[np.lexsort(keys)]  # stable
    sizes = counts[is_long]
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(len(place))
    rank -= np.repeat(starts, sizes)
    is_beyond = rank >= limits[cell[place]]
    kept[place[is_beyond]] = False
    return kept


def join_list(
    own: Lists,
    common: Lists,
    rows: np.ndarray,
    users: np.ndarray,
    index: int,
    limits: np.ndarray,
) -> Lists:
    """One list of some rows: their own ids, then those of their common rows, cut as in `to_lists`.

    Args:
        own: The lists of a block.
        common: The lists of all common rows.
        rows: The places of the rows in the block, int64 [n].
        users: Their common rows, int64 [n].
        index: Which list, 0 to L - 1.
        limits: As in `to_lists`.
    """
    own_start, own_size = own.cells(rows * len(limits) + index)
    common_start, common_size = common.cells(users * len(limits) + index)
    counts = own_size + common_size
    offsets = _offsets(counts)
    ids = np.empty(offsets[-1], np.int64)
    values = np.empty(offsets[-1], np.float32)
    for lists, start, size, begin in (
        (own, own_start, own_size, offsets[:-1]),
        (common, common_start, common_size, offsets[:-1] + own_size),
    ):
        source = _spread(start, size)
        target = _spread(begin, size)
        ids[target] = lists.ids[source]
        values[target] = lists.values[source]
    limit = np.full(len(rows), limits[index])
    if (counts > limit).any():
        places = np.arange(len(rows))
        row = np.repeat(places, counts)
        kept = largest(row, values, limit)
        kept_counts = np.bincount(row[kept], minlength=len(rows))
        offsets = _offsets(kept_counts)
        ids = ids[kept]
        values = values[kept]
    return Lists(offsets=offsets, ids=ids, values=values)


def _offsets(counts: np.ndarray) -> np.ndarray:
    start = np.zeros(1, np.int64)
    ends = np.cumsum(counts)
    return np.concatenate([start, ends])


def _spread(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """For each pair, the numbers start, start + 1, ..., start + size - 1."""
    ends = np.cumsum(sizes)
    total = ends[-1] if len(ends) else 0
    before = ends - sizes
    shifts = np.repeat(starts - before, sizes)
    return shifts + np.arange(total)
