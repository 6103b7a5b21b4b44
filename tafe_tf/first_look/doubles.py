"""What stands in two splits: rows, and users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tafe_tf.data.hashing import finalize
from tafe_tf.first_look.profile import unseen
from tafe_tf.first_look.values import Values

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MANY = 0.01  # share of doubled rows from which a warning is due
_FEW = 0.01  # share of test rows of known groups below which training should be judged without them
_ENOUGH = 50  # groups of which a tenth can be held out; of few groups a tenth may be none

Columns = Mapping[str, Values]


def warnings(
    splits: Mapping[str, Columns],
    group: str,
    *,
    has_all: bool,
) -> tuple[str, ...]:
    """A line for each split that shares rows or users with the training rows.

    Args:
        splits: The columns of each split; "train" must be there.
        group: The column of the user; "" if there is none.
        has_all: Whether all training rows were read: only then is a user that is not among them
            one that training does not know.
    """
    found = []
    train = splits["train"]
    for split, columns in splits.items():
        if split == "train":
            continue
        doubled = doubled_rows(train, columns)
        if doubled > _MANY:
            found.append(f"{doubled:.1%} of the {split} rows are training rows as well")
        if group in train and group in columns:
            has_group = float(np.mean(~columns[group].missing)) if columns[group].rows else 0.0
            known = has_group * (1.0 - unseen(train[group], columns[group]))
            line = f"{known:.1%} of the {split} rows have a {group!r} of the training rows"
            is_advised = has_all and split == "test" and "valid" not in splits
            groups = np.unique(train[group].codes).size
            is_of_others = known < _FEW and has_group > 1.0 - _FEW
            if is_advised and is_of_others and groups >= _ENOUGH:
                line += "; --valid_split=group holds out such rows too"
            found.append(line)
    return tuple(found)


def doubled_rows(train: Columns, other: Columns) -> float:
    """The share of another split's rows that equal a training row in all columns they share."""
    names = sorted(train.keys() & other.keys())
    if not names:
        return 0.0
    known = row_hashes([train[name] for name in names])
    return float(np.isin(row_hashes([other[name] for name in names]), known).mean())


def row_hashes(columns: list[Values]) -> np.ndarray:
    """A number for each row that tells rows apart, in this process only, uint64 [n]."""
    total = np.zeros(columns[0].rows, np.uint64)
    for place, values in enumerate(columns, start=1):
        hashes = [hash(text) for text in values.texts]
        by_code = np.array([*hashes, 0], np.int64).view(np.uint64)  # the last one is for code -1
        shift = finalize(np.array([place], np.uint64) * _GOLDEN)
        cells = finalize(by_code[values.codes] + shift)
        if values.lengths is not None:
            cells = _of_lists(cells, values.lengths)
        total += cells
    return total


def _of_lists(cells: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """One number for each list, of those of its entries."""
    ends = np.cumsum(lengths)
    sums = np.append(np.uint64(0), np.cumsum(cells))
    return sums[ends] - sums[ends - lengths]
