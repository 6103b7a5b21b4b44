"""Rows beside what training noted, and which differences are more than chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tafe_tf.data.field_counts import JUMP, FieldCounts
from tafe_tf.features.profile import is_list, is_number
from tafe_tf.insight.drift.distances import (
    entropy_noise,
    jensen_shannon,
    l_infinity,
    of_roots,
    population_stability,
    share_noise,
    stability_noise,
)
from tafe_tf.insight.drift.observed import ClusteredCounts, ColumnObserved, RowsObserved
from tafe_tf.schema import Schema

CHANCE = 0.01  # that rows without drift beyond the thresholds raise any alarm
_OWN_ROW = 0.005  # the share of a new value that has a row of its own in a histogram
_REST = object()  # the cell of values that the profile does not name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """How much drift is no alarm.

    Attributes:
        missing: Of the share of rows without a value. Default: 0.1.
        unseen: Of the share of values that are unseen. Default: 0.1.
        l_infinity: Of the share of any value of a column that holds no numbers, and of any length
            of a list. Default: 0.1.
        jensen_shannon: Of the divergence of a column of numbers, in bits. Default: 0.1.
        psi: Of the population stability index of an output's scores. Default: 0.25.
    """

    missing: float = JUMP
    unseen: float = JUMP
    l_infinity: float = 0.1
    jensen_shannon: float = 0.1
    psi: float = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statistic:
    """How far rows are from those of training in one respect.

    Attributes:
        name: "missing", "unseen", "l_infinity", "jensen_shannon", "lengths" or "psi".
        of: The field or the output.
        value: What was found: a distance, or a share.
        before: The share in training; None for a distance.
        noise: How far so few rows may be by chance.
        limit: From which distance on it is drift: the threshold and the noise together; None where
            it is shown only.
        note: What moved most, in words; "" if nothing is to be said.
    """

    name: str
    of: str
    value: float
    before: float | None = None
    noise: float
    limit: float | None
    note: str = ""

    @property
    def distance(self) -> float:
        """How far it is from training."""
        return self.value if self.before is None else abs(self.value - self.before)

    @property
    def is_drift(self) -> bool:
        """Whether it is further than threshold and chance allow."""
        return self.limit is not None and self.distance > self.limit

    def as_json(self) -> dict[str, Any]:
        """All that is known, for a file."""
        return {**dataclasses.asdict(self), "is_drift": self.is_drift}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """What was found of a field or of an output.

    Attributes:
        name: Of the field or the output.
        column: The field's column; "" for an output.
        rows: The rows that were compared.
        independent: How many independent rows they are worth.
        statistics: By name.
        histogram: For pages: the names of cells, and the shares in training and here.
    """

    name: str
    column: str
    rows: int
    independent: float
    statistics: dict[str, Statistic]
    histogram: list[tuple[str, float, float]]

    def as_json(self) -> dict[str, Any]:
        """All but the histogram, for a file."""
        return {
            "name": self.name,
            "column": self.column,
            "rows": self.rows,
            "independent": round(self.independent, 1),
            "statistics": {name: one.as_json() for name, one in self.statistics.items()},
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drift:
    """What was found.

    Attributes:
        rows: The number of rows.
        training_rows: The number of training rows.
        fields: Of each field.
        outputs: Of each output, where scores are known.
    """

    rows: int
    training_rows: int
    fields: list[Part]
    outputs: list[Part]

    @property
    def found(self) -> list[Statistic]:
        """What is drift, the furthest beyond its limit first."""
        found = []
        for part in (*self.fields, *self.outputs):
            found += [one for one in part.statistics.values() if one.is_drift]
        return sorted(found, key=lambda one: -one.distance / (one.limit or 1.0))

    def as_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {
            "rows": self.rows,
            "training_rows": self.training_rows,
            "drift": [[one.of, one.name] for one in self.found],
            "fields": [part.as_json() for part in self.fields],
            "outputs": [part.as_json() for part in self.outputs],
        }


def compare(
    schema: Schema,
    profile: Mapping[str, Any],
    seen: RowsObserved,
    fields: FieldCounts,
    thresholds: Thresholds,
) -> Drift:
    """Compares rows with what training noted.

    Args:
        schema: The dataset's.
        profile: What training noted, see `tafe_tf.features.profile`.
        seen: The rows.
        fields: Their missing and unseen values.
        thresholds: How much drift is no alarm.
    """
    served = {column.name: column for column in schema.served_inputs}
    features = [feature for feature in schema.counted_features if feature.column in served]
    tests = 4 * len(features) + len(seen.scores)
    of_columns = {}
    for name, observed in seen.columns.items():
        judge = _Judge(profile["columns"][name], observed, thresholds, CHANCE / tests)
        of_columns[name] = judge
    unseen = fields.shares("unseen")
    before = profile["fields"].get("unseen", {})
    parts = []
    for feature in features:
        column = served[feature.column]
        judge = of_columns[column.name]
        found = list(judge.statistics(feature.name, is_number(column), is_list(column)))
        if feature.name in before and judge.values.total:
            found.insert(1, judge.unseen(feature.name, unseen[feature.name], before[feature.name]))
        parts.append(
            Part(
                name=feature.name,
                column=column.name,
                rows=seen.rows,
                independent=judge.rows,
                statistics={one.name: one for one in found},
                histogram=judge.histogram(is_number(column)),
            )
        )
    outputs = []
    for name, scores in seen.scores.items():
        if scores.total:
            noted = profile["scores"][name]
            outputs.append(_output(name, noted, scores, thresholds, CHANCE / tests))
    return Drift(rows=seen.rows, training_rows=profile["rows"], fields=parts, outputs=outputs)


class _Judge:
    """Compares a column of some rows with its profile.

    Args:
        profile: Of the column.
        observed: The rows.
        thresholds: How much drift is no alarm.
        chance: That one statistic is beyond its limit by chance.

    Attributes:
        values: The values of the rows.
        rows: How many independent rows these are worth.
    """

    def __init__(
        self,
        profile: Mapping[str, Any],
        observed: ColumnObserved,
        thresholds: Thresholds,
        chance: float,
    ) -> None:
        self._profile = profile
        self._observed = observed
        self._thresholds = thresholds
        self._chance = chance
        self.values = observed.values
        with_values = observed.rows - observed.missing.counts[True]
        self.rows = min(observed.values.effective(), float(max(with_values, 1)))
        self._rows_before = max(profile["rows"] - profile["missing"], 1)
        self._names, self._before, self._here = self._aligned()

    def _aligned(self) -> tuple[list[Any], np.ndarray, np.ndarray]:
        """The cells, and how often each occurred in training and here."""
        counts = self.values.counts
        if "top" not in self._profile:
            key = "counts" if "counts" in self._profile else "cells"
            before = np.array(self._profile[key], np.int64)
            here = np.array([counts[cell] for cell in range(len(before))], np.int64)
            return list(range(len(before))), before, here
        known = dict(self._profile["top"])
        named = [*known]
        others = sum(count for value, count in counts.items() if value not in known)
        before = np.array([*known.values(), self._profile["rest"]["count"]], np.int64)
        here = np.array([*(counts[value] for value in named), others], np.int64)
        return [*named, _REST], before, here

    def statistics(self, field: str, is_number: bool, is_list: bool) -> Iterator[Statistic]:
        """All but the unseen values."""
        yield self._missing(field)
        if not self._before.sum() or not self._here.sum():
            return
        noise = self._share_noise(self._before, self._here, self.rows, self._rows_before)
        value, note = self._largest_move()
        yield Statistic(
            name="l_infinity",
            of=field,
            value=value,
            noise=noise,
            limit=None if is_number else self._thresholds.l_infinity + noise,
            note=note,
        )
        cells = max(int(((self._before + self._here) > 0).sum()), 2)
        of_samples = [
            entropy_noise(cells, rows, self._chance) for rows in (self.rows, self._rows_before)
        ]
        limit = of_roots(self._thresholds.jensen_shannon, *of_samples)
        yield Statistic(
            name="jensen_shannon",
            of=field,
            value=jensen_shannon(self._before, self._here),
            noise=min(of_roots(*of_samples), 1.0),
            limit=limit if is_number else None,
        )
        if is_list:
            yield self._lengths(field)

    def _missing(self, field: str) -> Statistic:
        before = self._profile["missing"] / max(self._profile["rows"], 1)
        here = self._observed.missing
        share = here.counts[True] / max(here.total, 1)
        variance = max(share * (1 - share), before * (1 - before))
        noise = self._noise(variance, 1, here.effective(), max(self._profile["rows"], 1))
        limit = self._thresholds.missing + noise
        return Statistic(
            name="missing", of=field, value=share, before=before, noise=noise, limit=limit
        )

    def unseen(self, field: str, share: float, before: float) -> Statistic:
        """The unseen values of a field.

        Args:
            field: The field.
            share: Of the values here.
            before: Of the values in training.
        """
        variance = max(share * (1 - share), before * (1 - before))
        noise = self._noise(variance, 1, self.rows, self._rows_before)
        limit = self._thresholds.unseen + noise
        return Statistic(
            name="unseen", of=field, value=share, before=before, noise=noise, limit=limit
        )

    def _lengths(self, field: str) -> Statistic:
        before = np.array(self._profile["lengths"], np.int64)
        lengths = self._observed.lengths
        here = np.array([lengths.counts[length] for length in range(len(before))], np.int64)
        rows = lengths.effective()
        noise = self._share_noise(before, here, rows, max(self._profile["rows"], 1))
        means = [counts @ np.arange(len(before)) / counts.sum() for counts in (before, here)]
        return Statistic(
            name="lengths",
            of=field,
            value=l_infinity(before, here),
            noise=noise,
            limit=self._thresholds.l_infinity + noise,
            note=f"{means[0]:.3g} values a row in training, {means[1]:.3g} here",
        )

    def _largest_move(self) -> tuple[float, str]:
        """The L-infinity distance, and the value whose share differs so much.

        Each value counts by itself, also those that the profile does not name. Of these it knows
        that in training they were at most as frequent as the rarest that it names.
        """
        before = self._before / self._before.sum()
        here = self._here / self._here.sum()
        moves = here - before
        names = list(self._names)
        if "top" in self._profile:
            moves, names = moves[:-1], names[:-1]
            rest = self._profile["rest"]["count"]
            at_most = before[-2] if rest and len(before) > 1 else 0.0
            known = set(names)
            for value, count in self.values.counts.items():
                if value not in known:
                    share = count / self.values.total
                    moves = np.append(moves, max(share - at_most, 0.0))
                    names.append(value)
        place = int(np.abs(moves).argmax())
        sign = "more" if moves[place] > 0 else "less"
        return float(abs(moves[place])), f"{self._shown(names[place])}: {sign} than in training"

    def _shown(self, name: Any) -> str:
        if isinstance(name, str):
            return repr(name)
        if "edges" in self._profile:
            return f"numbers {_bucket_name(self._profile['edges'], name)}"
        return f"values of cell {name}"

    def _share_noise(
        self, before: np.ndarray, here: np.ndarray, rows: float, rows_before: float
    ) -> float:
        shares = np.concatenate([before / before.sum(), here / here.sum()])
        variance = float((shares * (1 - shares)).max())
        cells = int(((before + here) > 0).sum())
        return self._noise(variance, cells, rows, rows_before)

    def _noise(self, variance: float, cells: int, rows: float, rows_before: float) -> float:
        parts = [share_noise(variance, cells, n, self._chance) for n in (rows, rows_before)]
        return min(sum(parts), 1.0)

    def histogram(self, is_number: bool) -> list[tuple[str, float, float]]:
        """The cells' names, and their shares in training and here; the most frequent ones."""
        if not self._before.sum() or not self._here.sum() or "cells" in self._profile:
            return []
        before = self._before / self._before.sum()
        here = self._here / self._here.sum()
        names = []
        for name in self._names:
            if name is _REST:
                names.append("all others")
            elif is_number:
                names.append(_bucket_name(self._profile["edges"], name))
            else:
                names.append(str(name))
        rows = list(zip(names, before.tolist(), here.tolist(), strict=True))
        if is_number:
            return rows
        if not self._profile["rest"]["count"]:  # each other value is new
            rows = [*rows[:-1], *self._new_values()]
        return sorted(rows, key=lambda row: -max(row[1], row[2]))

    def _new_values(self) -> Iterator[tuple[str, float, float]]:
        """The rows of a histogram for values that training had none of, the rarest together."""
        known = {value for value, _ in self._profile["top"]}
        rare = 0.0
        for value, count in self.values.counts.items():
            share = count / self.values.total
            if value in known:
                continue
            if share < _OWN_ROW:
                rare += share
            else:
                yield str(value), 0.0, share
        yield "other new values", 0.0, rare


def _bucket_name(edges: list[float], place: int) -> str:
    if not edges:
        return "of any size"
    if place == 0:
        return f"up to {edges[0]:.4g}"
    if place == len(edges):
        return f"above {edges[-1]:.4g}"
    return f"above {edges[place - 1]:.4g}, up to {edges[place]:.4g}"


def _output(
    name: str,
    noted: Mapping[str, Any],
    scores: ClusteredCounts,
    thresholds: Thresholds,
    chance: float,
) -> Part:
    before = np.array(noted["counts"], np.int64)
    here = np.array([scores.counts[cell] for cell in range(len(before))], np.int64)
    rows = scores.effective()
    cells = max(len(before), 2)
    of_samples = [stability_noise(cells, n, chance) for n in (rows, max(noted["rows"], 1))]
    statistic = Statistic(
        name="psi",
        of=name,
        value=population_stability(before, here),
        noise=of_roots(*of_samples),
        limit=of_roots(thresholds.psi, *of_samples),
    )
    shares = zip(before / before.sum(), here / here.sum(), strict=True)
    histogram = []
    for place, (first, second) in enumerate(shares):
        histogram.append((_bucket_name(noted["edges"], place), float(first), float(second)))
    return Part(
        name=name,
        column="",
        rows=scores.total,
        independent=rows,
        statistics={"psi": statistic},
        histogram=histogram,
    )
