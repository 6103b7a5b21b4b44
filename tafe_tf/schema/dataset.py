"""What a dataset is: its features, its funnel of tasks and its special columns."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Literal

from tafe_tf.input_names import input_names
from tafe_tf.schema.amounts import EXPECTED, GIVEN, Amount
from tafe_tf.schema.columns import Column, Dtype
from tafe_tf.schema.features import FIRST, MOST_ROWS, Feature
from tafe_tf.schema.rules import (
    check,
    check_distinct,
    check_name,
    check_one_of,
    check_texts,
    tuple_of,
)
from tafe_tf.schema.scores import Score
from tafe_tf.schema.sequences import SequenceField
from tafe_tf.schema.tasks import Task

# What tables write where they have no value. An empty text is always missing.
MISSING_TEXTS = (
    "NA",
    "N/A",
    "NaN",
    "nan",
    "NaT",
    "<NA>",
    "null",
    "NULL",
    "None",
)
ORDERS = ("", "raise", "drop", "repair")
# What features that read one column have in common, by the attribute of `Column`.
_MUST_AGREE = {
    "dtype": "dtype must agree",
    "max_length": "max_length must agree",
    "separator": "separator must agree",
    "is_exact": "both must be vectors or neither",
    "keep": "both must keep the same values of longer lists: the first, unless a sequence takes "
    'the list and its `newest` is "last"',
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """A dataset: what training reads of its files and what the served model takes.

    Attributes:
        name: The dataset's name: letters, digits and underscores, starting with a letter.
        features: The fields, one or more, with distinct names.
        tasks: The funnel in order, one step or more, with distinct names. A later label may be 1
            only in rows where the earlier ones are, see `order`.
        amount: What the last step brings, such as its revenue. Default: none.
        score: What the export's signature `score` computes of its outputs. Default: none.
        sequences: Fields that are made of histories, with distinct names. Default: none.
        sample_weight: A column with non-negative row weights. Default: none, all rows count alike.
        group: A column such as the user, for grouped AUC. Default: none.
        time: A column with a time, or a number that grows with time, for chronological splits.
            Default: none.
        order: What to do with a row whose later step happened without the earlier one. "repair":
            the earlier one is taken to have happened as well. "drop": the row is left out. "raise":
            it is an error. Such rows are counted. Default: "", as `on_bad_row` says of any bad row.
        missing: The texts that mean a missing value in every column, beside the empty text.
            Default: `MISSING_TEXTS`, what tables write where they have no value.
        delimiter: The character between the cells of a CSV file. Default: "", a tab in files that
            end in .tsv, and otherwise what the header line shows.
        quote: The character around a CSV cell that holds a delimiter or a line break; "" if there
            is none. Default: '"'.

    Raises:
        SchemaError: If an attribute breaks its rule, or two columns cannot be read together.

    Example:
        >>> from tafe_tf.schema import Feature, Schema, Task
        >>> schema = Schema(
        ...     name="shop",
        ...     features=(
        ...         Feature(name="user", kind="vocabulary", dtype="int64", side="user"),
        ...         Feature(name="price", kind="log_round"),
        ...     ),
        ...     tasks=(Task(name="click"), Task(name="buy")),
        ...     group="user",
        ... )
        >>> [column.name for column in schema.inputs], schema.labels
        (['user', 'price'], ('click', 'buy'))
        >>> schema.step_names, schema.conditional_names
        (('ctr', 'ctcvr'), ('cvr',))
    """

    name: str
    features: tuple[Feature, ...]
    tasks: tuple[Task, ...]
    amount: Amount | None = None
    score: Score | None = None
    sequences: tuple[SequenceField, ...] = ()
    sample_weight: str = ""
    group: str = ""
    time: str = ""
    order: Literal["", "raise", "drop", "repair"] = ""
    missing: tuple[str, ...] = MISSING_TEXTS
    delimiter: str = ""
    quote: str = '"'

    def __post_init__(self) -> None:
        check_name(self.name, "name")
        check_texts(self, "")
        self._check_texts_of_files()
        object.__setattr__(
            self,
            "features",
            tuple_of(Feature, self.features, "features"),
        )
        object.__setattr__(
            self,
            "tasks",
            tuple_of(Task, self.tasks, "tasks"),
        )
        object.__setattr__(
            self,
            "sequences",
            tuple_of(SequenceField, self.sequences, "sequences"),
        )
        self._check_features()
        self._find_owners()
        self._check_rows()
        self._check_sequences()
        self._check_tasks()
        roles = self._targets()
        self._check_inputs(roles)
        self._check_group_and_time(roles)
        if self.score is not None:
            served = tuple(column.input for column in self.served_inputs)
            self.score.check_names(self.output_names, served)

    def _check_texts_of_files(self) -> None:
        check_one_of(self.order, ORDERS, "order")
        object.__setattr__(
            self,
            "missing",
            tuple_of(str, self.missing, "missing"),
        )
        for key in ("delimiter", "quote"):
            value = getattr(self, key)
            check(len(value) <= 1, key, "must be one character, or empty", value)

    def _check_features(self) -> None:
        count = len(self.features)
        check(
            count > 0,
            "features",
            "must hold at least one feature",
            count,
        )
        check_distinct("feature", [feature.name for feature in self.features])
        kinds = [feature.kind for feature in self.features]
        has_ids = any(feature.has_ids for feature in self.features)
        rule = 'must hold a feature of another kind than "number" and "vector", such as "quantile"'
        check(has_ids, "features", rule, kinds)
        self._check_files()

    def _find_owners(self) -> None:
        """Gives features that use another one's rows what they have from it."""
        by_name = {feature.name: feature for feature in self.features}
        found = []
        for feature in self.features:
            if not feature.shares:
                found.append(feature)
                continue
            key = f"feature {feature.name!r}: shares"
            owner = by_name.get(feature.shares)
            rule = f"must be the name of another feature, one of {list(by_name)}"
            is_other = owner is not None and owner is not feature
            check(is_other, key, rule, feature.shares)
            assert owner is not None
            rule = f"must be a feature with rows of its own, {owner.shares!r}"
            check(not owner.shares, key, rule, feature.shares)
            found.append(feature.with_rows_of(owner))
        object.__setattr__(self, "features", tuple(found))

    def _check_files(self) -> None:
        """Checks that vocabularies have files of their own, even where case makes no difference."""
        known: dict[str, str] = {}
        for feature in self.features:
            has_file = feature.kind == "vocabulary" or feature.is_scaled
            if not has_file or feature.shares:
                continue
            first = known.setdefault(feature.name.lower(), feature.name)
            rule = f"must differ from {first!r} in more than case: their files are named by it"
            check(first == feature.name, f"feature {feature.name!r}: name", rule, feature.name)

    def _check_rows(self) -> None:
        """Checks that the rows of the table can be numbered, as far as the schema knows them."""
        owners = [feature for feature in self.features if not feature.shares]
        largest = max(owners, key=Feature.rows)
        total = sum(feature.rows() for feature in owners)
        rule = f"must leave the embedding table {MOST_ROWS:,} rows in all, not {total:,}"
        key = "buckets" if largest.kind == "hash" else "size"
        check(total <= MOST_ROWS, f"feature {largest.name!r}: {key}", rule, largest.rows() - FIRST)

    def _check_sequences(self) -> None:
        """Checks that sequences are made of lists of one kind, and read by single values."""
        features = {feature.name: feature for feature in self.features}
        names = [*features, *(sequence.name for sequence in self.sequences)]
        check_distinct("field", names)
        owners: dict[str, str] = {}
        for sequence in self.sequences:
            where = f"sequence {sequence.name!r}"
            for key in ("features", "query"):
                for name in getattr(sequence, key):
                    check(name in features, f"{where}: {key}", "must name features", name)
            lists = [features[name] for name in sequence.features]
            first = lists[0]
            for feature in lists:
                key = f"{where}: features"
                name = feature.name
                check(feature.has_ids, key, "must become ids, see `kind`", name)
                check(feature.max_length > 0, key, "must hold lists (max_length)", name)
                rule = f"must have one max_length, {first.max_length} as {first.name!r}"
                check(feature.max_length == first.max_length, key, rule, feature.max_length)
                rule = f"must have one side, {first.side!r} as {first.name!r}"
                check(feature.side == first.side, key, rule, feature.side)
                is_plain = not feature.weights and feature.pooling == "mean"
                check(is_plain, key, "must have no weights and no pooling", name)
                owner = owners.setdefault(name, sequence.name)
                check(owner == sequence.name, key, f"must not be those of {owner!r} too", name)
            for name in sequence.query:
                is_single = features[name].has_ids and not features[name].max_length
                check(is_single, f"{where}: query", "must be ids of one value a row", name)

    def _check_tasks(self) -> None:
        count = len(self.tasks)
        check(
            count > 0,
            "tasks",
            "must hold the funnel, one step or more",
            count,
        )
        names = [task.name for task in self.tasks]
        if self.amount is not None:
            names.append(self.amount.name)
        check_distinct("task", names)
        first = self.tasks[0]
        check(
            not first.via,
            f"task {first.name!r}: via",
            "needs a step before",
            first.via,
        )

    def _targets(self) -> dict[str, str]:
        """The columns that a model must not read, and the role of each."""
        roles: dict[str, str] = {}
        for name, role in self._named_targets():
            check(
                name not in roles,
                role,
                f"must not read the column of {roles.get(name)}",
                name,
            )
            roles[name] = role
        return roles

    def _named_targets(self) -> Iterator[tuple[str, str]]:
        for key in ("column", "truth"):
            for task in self.tasks:
                name = getattr(task, key)
                if name:
                    yield name, f"task {task.name!r}: {key}"
        if self.amount is not None:
            yield self.amount.column, f"task {self.amount.name!r}: column"
        for task in self.tasks:
            for name in task.actions:
                yield name, f"task {task.name!r}: via"
        for name in dict.fromkeys(self.step_weights):  # several steps may share one
            yield name, "weight_column"
        if self.sample_weight:
            yield self.sample_weight, "sample_weight"

    def _check_inputs(self, roles: dict[str, str]) -> None:
        """Checks that no feature reads a target, and that features which share a column agree."""
        known: dict[str, tuple[Column, Feature]] = {}
        for feature in self.features:
            where = f"feature {feature.name!r}: column"
            for column in self._columns_of(feature):
                target = roles.get(column.name)
                rule = f"must not be a target ({target}): the model would read its own answer"
                check(target is None, where, rule, column.name)
                first, other = known.setdefault(column.name, (column, feature))
                is_read = f"{column.name!r} is read by {other.name!r} too, so"
                for key, what in _MUST_AGREE.items():
                    value = getattr(column, key)
                    check(getattr(first, key) == value, where, f"{is_read} {what}", value)
                check(other.side == feature.side, where, f"{is_read} side must agree", feature.side)
        self._check_served_inputs()

    def _check_served_inputs(self) -> None:
        """Checks that a column is served as one value by all features, and that some are not."""
        served: dict[str, Feature] = {}
        for feature in self.features:
            first = served.setdefault(feature.column, feature)
            rule = f"must be that of feature {first.name!r}, which reads the same column"
            agrees = first.serve_as == feature.serve_as
            check(agrees, f"feature {feature.name!r}: serve_as", rule, feature.serve_as)
        is_fixed = [feature.serve_as is not None for feature in self.features]
        rule = "must be left out of one feature at least: the served model needs an input"
        check(not all(is_fixed), "features: serve_as", rule, "in all of them")

    def _check_group_and_time(self, roles: dict[str, str]) -> None:
        for task in self.tasks:
            has_time = bool(self.time or not task.matures_after)
            key = f"task {task.name!r}: matures_after"
            check(has_time, key, "needs the schema's `time`", task.matures_after)
            meaning = sorted({*task.positive, *task.negative} & {"", *self.missing})
            key = f"task {task.name!r}: may_be_unknown"
            rule = "has no meaning where `positive` or `negative` says what a missing value means"
            check(not (task.may_be_unknown and meaning), key, rule, meaning)
        for key in ("group", "time"):
            name = getattr(self, key)
            rule = f"must not be the column of {roles.get(name)}"
            check(name not in roles, key, rule, name)

    @property
    def shares(self) -> tuple[int, ...]:
        """For each feature with ids the place, among these, of the one whose rows it uses.

        By default it is its own.
        """
        places = {feature.name: i for i, feature in enumerate(self.id_features)}
        return tuple(places[feature.owner] for feature in self.id_features)

    @property
    def frozen(self) -> tuple[int, ...]:
        """The places of the features whose own rows are not trained, among those with ids."""
        return tuple(i for i, feature in enumerate(self.id_features) if not feature.trainable)

    def users_of(self, owner: Feature) -> tuple[Feature, ...]:
        """The features that use a feature's rows, itself among them, in the schema's order."""
        return tuple(feature for feature in self.features if feature.owner == owner.name)

    def _columns_of(self, feature: Feature) -> tuple[Column, ...]:
        """The raw columns that a feature reads, and which end of its lists is kept."""
        for sequence in self.sequences:
            if feature.name in sequence.features:
                keep = sequence.newest
                return tuple(dataclasses.replace(column, keep=keep) for column in feature.columns)
        return feature.columns

    @property
    def id_features(self) -> tuple[Feature, ...]:
        """The features whose values become ids of the embedding table, in schema order."""
        return tuple(feature for feature in self.features if feature.has_ids)

    @property
    def counted_features(self) -> tuple[Feature, ...]:
        """All features, in the order in which a model counts their missing and unseen values.

        First those with ids, then numbers, then vectors, each in schema order.
        """
        ordered = list(self.id_features)
        for kind in ("number", "vector"):
            ordered += [feature for feature in self.features if feature.kind == kind]
        return tuple(ordered)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the rows of H, [F].

        First the features with ids that no sequence takes, then numbers, then vectors, each in
        schema order, and last the sequences.
        """
        taken = {name for sequence in self.sequences for name in sequence.features}
        names = [feature.name for feature in self.counted_features if feature.name not in taken]
        names += [sequence.name for sequence in self.sequences]
        return tuple(names)

    @functools.cached_property
    def inputs(self) -> tuple[Column, ...]:
        """The raw columns that the features read, in schema order."""
        columns = {}
        wishes: dict[str, str] = {}
        for feature in self.features:
            names = (feature.name, f"{feature.name}_weights")
            for column, name in zip(self._columns_of(feature), names, strict=False):
                columns[column.name] = column
                wishes.setdefault(column.name, name)
        names_of_inputs = input_names(wishes)
        return tuple(
            dataclasses.replace(column, input=names_of_inputs[name])
            for name, column in columns.items()
        )

    @functools.cached_property
    def served_inputs(self) -> tuple[Column, ...]:
        """The inputs that a served model takes: all but those of features with `serve_as`."""
        fixed = {feature.column for feature in self.features if feature.serve_as is not None}
        return tuple(column for column in self.inputs if column.name not in fixed)

    @property
    def user_inputs(self) -> tuple[str, ...]:
        """Names of the inputs that a ranking request gives once: those of features of the user."""
        of_user = [feature for feature in self.features if feature.side == "user"]
        names = {column.name for feature in of_user for column in feature.columns}
        return tuple(column.name for column in self.served_inputs if column.name in names)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns of the files but the labels.

        The inputs come first, then the weights of rows and steps, the group, the time, the truths,
        the actions and the amount.
        """
        columns = {column.name: column for column in self.inputs}
        for name, dtype in self._special_columns():
            if name and name not in columns:
                columns[name] = Column(name=name, dtype=dtype)
        return tuple(columns.values())

    def _special_columns(self) -> Iterator[tuple[str, Dtype]]:
        yield self.sample_weight, "float32"
        for name in self.step_weights:
            yield name, "float32"
        yield self.group, "string"
        yield self.time, "float64"
        for task in self.tasks:
            yield task.truth, "float64"
        for name in self.actions:
            yield name, "int64"
        if self.amount is not None:
            yield self.amount.column, "float64"

    @property
    def only_time(self) -> tuple[str, ...]:
        """The column of the time, if nothing else reads it; it is then in no `Block.columns`."""
        names = [column.name for column in self.inputs]
        is_needed = self.time in names or self.time == self.group
        return () if is_needed or not self.time else (self.time,)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns in funnel order."""
        return tuple(task.column for task in self.tasks)

    @property
    def actions(self) -> tuple[str, ...]:
        """The columns of all actions (`via`), A of them, in the order of the tasks."""
        return tuple(name for task in self.tasks for name in task.actions)

    @property
    def via(self) -> tuple[int, ...]:
        """For each of the actions, the index of the task that it may come before."""
        return tuple(i for i, task in enumerate(self.tasks) for _ in task.actions)

    @property
    def step_weights(self) -> tuple[str, ...]:
        """The columns that weigh the steps, in the order of the tasks that have one."""
        return tuple(task.weight_column for task in self.tasks if task.weight_column)

    @property
    def may_be_unknown(self) -> bool:
        """Whether a label of some step may be unknown."""
        return self.matures or any(task.may_be_unknown for task in self.tasks)

    @property
    def matures(self) -> bool:
        """Whether a label of some step is known only some time after the row's own time."""
        return any(task.matures_after for task in self.tasks)

    @property
    def step_names(self) -> tuple[str, ...]:
        """Names of f_1, ..., f_N: "ctr" and "ctcvr", or "p_<task>" in a funnel longer than two."""
        if len(self.tasks) <= 2:
            return ("ctr", "ctcvr")[: len(self.tasks)]
        return tuple(f"p_{task.name}" for task in self.tasks)

    @property
    def conditional_names(self) -> tuple[str, ...]:
        """Names of f_i / f_{i-1} for i = 2..N: "cvr", or "p_<task>_given_<previous>"."""
        if len(self.tasks) == 2:
            return ("cvr",)
        pairs = zip(
            self.tasks[1:],
            self.tasks[:-1],
            strict=True,
        )
        return tuple(f"p_{task.name}_given_{previous.name}" for task, previous in pairs)

    @property
    def amount_names(self) -> tuple[str, ...]:
        """Names of the amount given the last step and of its expectation; none without amounts."""
        if self.amount is None:
            return ()
        return (f"{GIVEN}{self.tasks[-1].name}", EXPECTED)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of all outputs of an export: the steps, the conditionals and the amounts."""
        return (*self.step_names, *self.conditional_names, *self.amount_names)
