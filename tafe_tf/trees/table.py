"""Rows of a funnel as a table of numbers for trees, made by the feature graph of all models.

A field becomes the columns that trees take it best as:

    a number            the number itself, as the files hold it; NaN where it is missing
    a category          its id in the run's vocabulary, as a category; unseen values and missing
                        ones are categories too, 0 and 1, as they are for the networks
    a vector            each of its numbers; NaN where it is missing
    a list of numbers   their mean or sum, as the schema pools them; NaN where there is none
    a list of           for each of the most frequent values its pooling weight in the row, 0 where
    categories          the list does not hold it

A list has one more column, the number of its values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tafe_tf.data.batches.batch import Batch
from tafe_tf.features.graph import Features
from tafe_tf.metrics import weights_of_steps
from tafe_tf.schema import MISSING, Feature

Listed = dict[str, list[int]]  # the ids that have a column of their own, by field


@dataclasses.dataclass(frozen=True, kw_only=True)
class TreeRows:
    """Rows as the trees read them; n rows, C columns, N steps.

    Attributes:
        table: float64 [n, C].
        labels: bool [n, N].
        weight: Of each row's steps, float32 [n, N]; 0 where a label is unknown, see
            `weights_of_steps`.
        conditional_weight: The same of each step given the one before, float32 [n, N].
        group: The values of the schema's group column, [n]; None where it has none or the rows are
            trained on.
    """

    table: np.ndarray
    labels: np.ndarray
    weight: np.ndarray
    conditional_weight: np.ndarray
    group: np.ndarray | None = None


class TreeTable:
    """Makes the table of raw rows.

    Args:
        features: The run's feature graph.
        listed: The ids of the values of lists that get columns, by field; see `frequent_ids`.

    Attributes:
        names: The names of the C columns: a field's name, or `FIELD.ID` and `FIELD.count`.
        categories: The places of the columns that hold categories.
    """

    def __init__(self, features: Features, listed: Mapping[str, Sequence[int]]) -> None:
        self._features = features
        self._listed = listed
        self.names: list[str] = []
        self.categories: list[int] = []
        for feature in features.schema.features:
            is_category = feature.has_ids and not feature.is_numeric
            if feature.max_length == 0 and is_category:
                self.categories.append(len(self.names))
            self.names += self._names_of(feature)

    def _names_of(self, feature: Feature) -> list[str]:
        if feature.kind == "vector":
            return [f"{feature.name}.{place}" for place in range(feature.length)]
        if feature.max_length == 0:
            return [feature.name]
        count = f"{feature.name}.count"
        if feature.is_numeric:
            return [feature.name, count]
        values = [f"{feature.name}.{value}" for value in self._listed[feature.name]]
        return [*values, count]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The table of some rows, float64 [n, C].

        Args:
            inputs: The raw columns by name, [n] or [n, max_length].
        """
        ids, weights = self.look_up(inputs)
        return self.columns(inputs, ids, weights)

    def look_up(self, inputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The ids and the pooling weights of all fields, [n, S] each, of raw columns by name.

        Behind the ids stands which numbers and vectors are missing, see `Features.counted_ids`.
        """
        return _ids_and_weights(self._features, inputs)

    def columns(
        self,
        inputs: Mapping[str, np.ndarray],
        ids: np.ndarray,
        weights: np.ndarray,
    ) -> np.ndarray:
        """The table of rows whose ids and pooling weights `look_up` gave, float64 [n, C]."""
        parts: list[np.ndarray] = []
        slots_of = {feature.name: slots for feature, slots in _slots(self._features)}
        for feature in self._features.schema.features:
            if not feature.has_ids:
                parts.append(inputs[feature.column])
                continue
            slots = slots_of[feature.name]
            own_ids = ids[:, slots]
            if feature.max_length:
                own_weights = weights[:, slots]
                parts += self._list_columns(feature, inputs, own_ids, own_weights)
            elif feature.is_numeric:
                parts.append(_numbers(inputs[feature.column][:, None], own_ids)[:, 0])
            else:
                parts.append(own_ids[:, 0])
        return np.column_stack(parts).astype(np.float64)

    def _list_columns(
        self,
        feature: Feature,
        inputs: Mapping[str, np.ndarray],
        ids: np.ndarray,
        weights: np.ndarray,
    ) -> list[np.ndarray]:
        """The columns of a field with lists, of its ids and pooling weights [n, max_length]."""
        is_present = ids != MISSING
        count = is_present.sum(axis=1)
        if not feature.is_numeric:
            of_values = []
            for value in self._listed[feature.name]:
                is_value = ids == value
                of_values.append((weights * is_value).sum(axis=1))
            return [*of_values, count]
        numbers = _numbers(inputs[feature.column][:, : feature.max_length], ids)
        products = np.where(is_present, weights * numbers, 0.0)
        pooled = products.sum(axis=1)
        return [np.where(count > 0, pooled, np.nan), count]

    @property
    def slots(self) -> tuple[int, ...]:
        """The number of ids of each field, see `Features.counted_slots`."""
        return self._features.counted_slots

    def rows(self, batches: Iterable[Batch], group: str = "") -> TreeRows:
        """All rows of some batches.

        Args:
            batches: Of `FunnelData`.
            group: The schema's group column, to be kept too. Default: none.
        """
        tasks = len(self._features.schema.tasks)
        tables = [np.zeros((0, len(self.names)))]
        labels = [np.zeros((0, tasks), np.bool_)]
        unknown = [np.zeros(0, np.int64)]
        weights: list[np.ndarray] = []
        groups: list[np.ndarray] = []
        for batch in batches:
            tables.append(self(batch.inputs))
            of_steps = batch.labels[:, :tasks]  # actions may follow
            labels.append(of_steps > 0)
            unknown.append((of_steps < 0).sum(axis=1))
            weights.append(batch.weight)
            if group:
                groups.append(batch.extra[group])
        happened = np.concatenate(labels)
        depth = happened.sum(axis=1)
        given = np.concatenate(weights or [np.zeros(0, np.float32)])
        if given.ndim == 2:
            given = given[:, :tasks]
        known = (depth, np.concatenate(unknown), given, tasks)
        weight = weights_of_steps(*known)
        of_conditionals = weights_of_steps(*known, of_conditionals=True)
        return TreeRows(
            table=np.concatenate(tables),
            labels=happened,
            weight=weight.astype(np.float32),
            conditional_weight=of_conditionals.astype(np.float32),
            group=np.concatenate(groups) if groups else None,
        )


def frequent_ids(
    features: Features,
    batches: Iterable[Batch],
    most: int,
) -> Listed:
    """The most frequent ids of each field with lists of categories, the most frequent first.

    Args:
        features: The run's feature graph.
        batches: The training rows; they are read only if there is such a field.
        most: Number of ids of a field, at most.
    """
    counts: dict[str, np.ndarray] = {}
    rows_of_table = dict(zip(_names(features), features.rows, strict=True))
    for feature in features.schema.features:
        if feature.max_length and feature.has_ids and not feature.is_numeric:
            counts[feature.name] = np.zeros(rows_of_table[feature.name], np.int64)
    if not counts:
        return {}
    for batch in batches:
        ids, _ = _ids_and_weights(features, batch.inputs)
        for feature, slots in _slots(features):
            if feature.name in counts:
                of_field = counts[feature.name]
                of_field += np.bincount(ids[:, slots].ravel(), minlength=len(of_field))
    return {name: _most_frequent(of_field, most) for name, of_field in counts.items()}


def _most_frequent(counts: np.ndarray, most: int) -> list[int]:
    """The ids that occur, without that of missing values; of equal counts the smaller id first."""
    counts = counts.copy()
    counts[MISSING] = 0
    order = np.argsort(-counts, kind="stable")
    occurring = order[counts[order] > 0]
    found: list[int] = occurring[:most].tolist()
    return found


def _names(features: Features) -> list[str]:
    return [feature.name for feature in features.schema.id_features]


def _slots(features: Features) -> list[tuple[Feature, slice]]:
    """Each field and the places of its ids."""
    found = []
    start = 0
    for feature in features.schema.id_features:
        found.append((feature, slice(start, start + feature.slots)))
        start += feature.slots
    return found


def _ids_and_weights(
    features: Features,
    inputs: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """The ids and the pooling weights of raw rows, [n, S] each, see `Features.counted_ids`."""
    made = features(inputs)
    ids = features.counted_ids(made).numpy()
    weights = np.ones(ids.shape)
    if "weights" in made:
        weights = made["weights"].numpy()
    return ids, weights


def _numbers(raw: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Raw numbers, NaN where the feature graph finds them missing."""
    return np.where(ids == MISSING, np.nan, raw.astype(np.float64))
