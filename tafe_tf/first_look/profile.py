"""What is said of one column: how many values it has, which are missing, which are unseen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.first_look.values import Values, as_texts


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """What the training rows have in a column, and how the other rows differ.

    Attributes:
        name: The column's name.
        type: The type that the files have; "text" for all columns of CSV.
        looks_like: What its values are: "flag", "integer", "number", "moment", "text", "bytes",
            "nested", or "none" if all are missing.
        rows: How many training rows were looked at.
        distinct: The number of distinct values in them.
        once: Share of the values that occur in one row only.
        missing: Share of the training rows without a value; for lists, of those that are empty.
        unseen: Share of the values of "valid" and "test" that the training rows do not have.
        lengths: For lists: the least, the median and the largest length.
        cut: For lists: share of them that `max_length` cuts, if a schema says it.
        outside: Share of the values that are not 0 to size - 1, if a schema says the size.
        least: The smallest number, if the values are numbers.
        largest: The largest number.
    """

    name: str
    type: str
    looks_like: str
    rows: int
    distinct: int
    once: float
    missing: float
    unseen: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lengths: tuple[int, int, int] | None = None
    cut: float | None = None
    outside: float | None = None
    least: float | None = None
    largest: float | None = None


def profile(
    splits: Mapping[str, Values],
    max_length: int = 0,
    size: int = 0,
    min_count: int = 1,
) -> ColumnProfile:
    """Describes a column.

    Args:
        splits: Its values by split; "train" must be there.
        max_length: The length to which the schema cuts its lists. Default: 0, there is none.
        size: The number of values that the schema allows, from 0 on. Default: 0, there is none.
        min_count: How often a value must occur in the training rows to be known. Default: 1.
    """
    train = splits["train"]
    least, largest = _range(train)
    others = {split: values for split, values in splits.items() if split != "train"}
    return ColumnProfile(
        name=train.name,
        type=_spoken(train.type),
        looks_like=train.family,
        rows=train.rows,
        distinct=len(train.distinct),
        once=share(train.counts == 1),
        missing=share(train.missing),
        unseen={split: unseen(train, values, min_count) for split, values in others.items()},
        lengths=_lengths(train),
        cut=_cut(train, max_length),
        outside=_outside(train, size),
        least=least,
        largest=largest,
    )


def share(mask: np.ndarray) -> float:
    """The share of true values; 0 of none."""
    return float(mask.mean()) if len(mask) else 0.0


def unseen(
    train: Values,
    other: Values,
    min_count: int = 1,
) -> float:
    """The share of another split's values that the training rows do not have so often."""
    if not len(other.distinct):
        return 0.0
    known = train.distinct.filter(pa.array(train.counts >= min_count))
    values = other.distinct
    if known.type != values.type:
        known = pa.array(as_texts(known), pa.string())
        values = pa.array(other.texts, pa.string())
    is_known = pc.is_in(values, known).to_numpy(zero_copy_only=False)
    return float(other.counts[~is_known].sum() / other.counts.sum())


def _range(values: Values) -> tuple[float | None, float | None]:
    if values.family not in ("integer", "number") or not len(values.distinct):
        return None, None
    return float(np.nanmin(values.numbers)), float(np.nanmax(values.numbers))


def _lengths(values: Values) -> tuple[int, int, int] | None:
    if values.lengths is None or not len(values.lengths):
        return None
    lengths = values.lengths
    return int(lengths.min()), int(np.median(lengths)), int(lengths.max())


def _cut(values: Values, max_length: int) -> float | None:
    if values.lengths is None or not max_length:
        return None
    return share(values.lengths > max_length)


def _outside(values: Values, size: int) -> float | None:
    if not size:
        return None
    numbers = values.numbers
    is_outside = ~((numbers >= 0) & (numbers < size))
    total = values.counts.sum()
    return float(values.counts[is_outside].sum() / total) if total else 0.0


def _spoken(kind: pa.DataType) -> str:
    """An Arrow type as a reader would say it."""
    return str(kind).replace("string", "text").replace("double", "float64")
