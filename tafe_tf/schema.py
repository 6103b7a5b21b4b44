"""What a dataset is: its features, its funnel of tasks and its special columns.

`tafe_tf.schema_toml` reads a schema from a TOML file, or from a dict with the same keys, and writes
it back.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from tafe_tf.input_names import LONGEST, input_names
from tafe_tf.shown import shown

Dtype = Literal["string", "int64", "float32", "float64"]

MOST_ROWS = 2**31 - 1  # of the embedding table; ids are int32
_MOST_VALUES = MOST_ROWS - 2  # of one field, beside the rows of unseen and missing ones
_MOST_BUCKETS = 1 << 24  # of log-rounded numbers, of one sign; float32 counts no further
_MOST_LENGTH = 10_000  # of a list; the lists of a batch are padded to it
UNKNOWN = -1  # the label of a step of which a row says nothing
UNSEEN, MISSING, FIRST = 0, 1, 2  # the first two rows of every field; its values start at FIRST
ABSENT: dict[str, Any] = {
    "string": "",
    "int64": -1,
    "float32": math.nan,
    "float64": math.nan,
}

_KEYS_OF_KIND = {
    "vocabulary": {"dtype", "min_count"},
    "integer": {"size"},
    "hash": {"dtype", "buckets"},
    "log_round": {"scale", "max_abs"},
}
_KEYS_OF_LISTS = ("pooling", "weights", "separator")

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
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SPAN = re.compile(r"[0-9]+[wdhms]\Z")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class SchemaError(ValueError):
    """A schema breaks a rule; the message names the key, the rule and the value received."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One raw column as the readers deliver it and the served model takes it.

    Attributes:
        name: The column's name in the files.
        dtype: "string", "int64", "float32" or "float64".
        max_length: 0 (the default) for one value a row; otherwise the column holds lists, which are
            cut to this many values.
        separator: The character between the values of a list in a CSV cell. Default: "|".
        input: The name by which the served model takes the column. Default: `name`; see
            `tafe_tf.input_names` for what a column is called whose name no input can have.

    Raises:
        SchemaError: If an attribute breaks its rule.

    Example:
        >>> from tafe_tf.schema import Column
        >>> Column(name="tags", dtype="string", max_length=5).separator
        '|'
    """

    name: str
    dtype: Dtype
    max_length: int = 0
    separator: str = "|"
    input: str = ""

    def __post_init__(self) -> None:
        where = f"column {self.name!r}"
        _check_one_of(self.dtype, ABSENT, f"{where}: dtype")
        _check_integer(self.max_length, 0, f"{where}: max_length", _MOST_LENGTH)
        _check_separator(self.separator, f"{where}: separator")
        object.__setattr__(self, "input", self.input or self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """One field of the model: a raw column and how its values become rows of the embedding table.

    Attributes:
        name: The field's name: letters, digits and underscores, starting with a letter.
        kind: How a value finds its row. "vocabulary": each value that occurs at least `min_count`
            times has a row. "integer": the values are 0 to `size` - 1. "hash": any value is hashed
            into one of `buckets` rows. "log_round": a number x falls into bucket
            sign(x) round(scale log(1 + |x|)), section 3.1 of the paper.
        column: The raw column. Default: `name`.
        dtype: "string" (the default) or "int64", for "vocabulary" and "hash".
        min_count: How often a value must occur to earn a row, for "vocabulary". Default: 1.
        size: The number of values, for "integer", which requires it.
        buckets: The number of rows, for "hash", which requires it.
        scale: Buckets per unit of log(1 + |x|), for "log_round". Default: 4.0.
        max_abs: Larger magnitudes share the last bucket of their sign, for "log_round".
            Default: 1e9.
        max_length: 0 (the default) for one value a row; otherwise the column holds lists, which are
            cut to this many values.
        pooling: How the embeddings of a list's values become one, for lists: their "mean" (the
            default) or "sum", weighted if `weights` is given.
        weights: A column with one number for each value of the list, for lists. Default: none.
        separator: The character between the values of a list in a CSV cell, for lists.
            Default: "|".
        serve_as: The value that the served model takes for this feature in every row, of one value
            a row: for what only training knows, such as the position at which an item was shown.
            The model is trained on the column, and its export has no such input. Default: none.
        side: "user" for what is the same for all items of a ranking request (the user, the hour),
            or "item" (the default). The exported `rank` signature takes user columns once.

    Raises:
        SchemaError: If an attribute breaks its rule, or is set and has no meaning for this kind.

    Example:
        >>> from tafe_tf.schema import Feature
        >>> hour = Feature(name="hour", kind="integer", size=24, side="user")
        >>> hour.column, hour.raw_dtype, hour.rows()  # 24 values, unseen ones and missing ones
        ('hour', 'int64', 26)
    """

    name: str
    kind: str
    column: str = ""
    dtype: Dtype = "string"
    min_count: int = 1
    size: int = 0
    buckets: int = 0
    scale: float = 4.0
    max_abs: float = 1e9
    max_length: int = 0
    pooling: str = "mean"
    weights: str = ""
    separator: str = "|"
    serve_as: str | int | float | None = None
    side: str = "item"

    def __post_init__(self) -> None:
        _check_name(self.name, "features.name")
        self._check_kind()
        _check_texts(self, f"{self._where}: ")
        self._check_values()
        self._check_list()
        self._check_served()
        object.__setattr__(self, "column", self.column or self.name)

    @property
    def _where(self) -> str:
        return f"feature {self.name!r}"

    def _check_kind(self) -> None:
        known = isinstance(self.kind, str) and self.kind in _KEYS_OF_KIND
        rule = f"must be one of {sorted(_KEYS_OF_KIND)}"
        _check(known, f"{self._where}: kind", rule, self.kind)
        of_any_kind = set().union(*_KEYS_OF_KIND.values())
        for key in sorted(of_any_kind - _KEYS_OF_KIND[self.kind]):
            rule = f"has no meaning for kind {self.kind!r}"
            _check(
                self._is_default(key),
                f"{self._where}: {key}",
                rule,
                getattr(self, key),
            )

    def _check_values(self) -> None:
        is_dtype = self.dtype in ("string", "int64")
        _check(
            is_dtype,
            f"{self._where}: dtype",
            "must be 'string' or 'int64'",
            self.dtype,
        )
        _check_integer(self.min_count, 1, f"{self._where}: min_count")
        if self.kind == "integer":
            _check_integer(self.size, 1, f"{self._where}: size", _MOST_VALUES)
        if self.kind == "hash":
            _check_integer(self.buckets, 1, f"{self._where}: buckets", _MOST_VALUES)
        for key in ("scale", "max_abs"):
            value = getattr(self, key)
            is_positive = _is_number(value) and 0 < value < math.inf
            _check(
                is_positive,
                f"{self._where}: {key}",
                "must be a positive number",
                value,
            )
        _check(
            self.scale * math.log1p(self.max_abs) <= _MOST_BUCKETS,
            f"{self._where}: scale",
            f"must make at most {_MOST_BUCKETS:,} buckets up to max_abs",
            self.scale,
        )
        is_side = self.side in ("user", "item")
        _check(
            is_side,
            f"{self._where}: side",
            "must be 'user' or 'item'",
            self.side,
        )

    def _check_list(self) -> None:
        _check_integer(self.max_length, 0, f"{self._where}: max_length", _MOST_LENGTH)
        for key in _KEYS_OF_LISTS:
            has_meaning = self.max_length > 0 or self._is_default(key)
            rule = "needs max_length > 0 (a list)"
            _check(
                has_meaning,
                f"{self._where}: {key}",
                rule,
                getattr(self, key),
            )
        is_pooling = self.pooling in ("sum", "mean")
        _check(
            is_pooling,
            f"{self._where}: pooling",
            "must be 'sum' or 'mean'",
            self.pooling,
        )
        _check_separator(self.separator, f"{self._where}: separator")

    def _check_served(self) -> None:
        key = f"{self._where}: serve_as"
        value = self.serve_as
        if value is None:
            return
        _check(not self.max_length, key, "has no meaning for a list (max_length)", value)
        if self.raw_dtype == "string":
            _check(isinstance(value, str), key, "must be a text, as the column's values are", value)
        elif self.raw_dtype == "int64":
            is_integer = isinstance(value, int) and not isinstance(value, bool)
            _check(is_integer, key, "must be an integer, as the column's values are", value)
        else:
            _check(_is_number(value), key, "must be a number, as the column's values are", value)
        if self.kind == "integer":
            inside = isinstance(value, int) and 0 <= value < self.size
            _check(inside, key, f"must be one of 0 to size - 1, {self.size - 1}", value)

    def _is_default(self, key: str) -> bool:
        value = getattr(self, key)
        default = getattr(type(self), key)
        return bool(value == default)

    @property
    def slots(self) -> int:
        """Number of ids a row carries for this field."""
        return self.max_length or 1

    @property
    def raw_dtype(self) -> Dtype:
        """The dtype of the raw column."""
        if self.kind == "integer":
            return "int64"
        if self.kind == "log_round":
            return "float32"
        return self.dtype

    @property
    def largest_bucket(self) -> int:
        """The log-round bucket of `max_abs`; buckets run from its negative to it."""
        return round(self.scale * math.log1p(self.max_abs))

    def rows(self, vocabulary_size: int = 0) -> int:
        """Number of embedding rows of this field, with those of unseen and of missing values.

        Args:
            vocabulary_size: The number of values in the field's vocabulary, for kind "vocabulary".
                Default: 0.
        """
        values = {
            "vocabulary": vocabulary_size,
            "integer": self.size,
            "hash": self.buckets,
            "log_round": 2 * self.largest_bucket + 1,
        }
        return FIRST + values[self.kind]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The raw columns this field reads: its values and, if it has them, their weights."""
        values = self._column(self.column, self.raw_dtype)
        if not self.weights:
            return (values,)
        return (values, self._column(self.weights, "float32"))

    def _column(self, name: str, dtype: Dtype) -> Column:
        return Column(
            name=name,
            dtype=dtype,
            max_length=self.max_length,
            separator=self.separator,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One step of the funnel.

    Attributes:
        name: The step's name: letters, digits and underscores, starting with a letter.
        column: The label column. Default: `name`.
        positive: The texts that mean 1, such as `("yes",)`. Default: 1, 1.0 and true.
        negative: The texts that mean 0, such as `("no", "-1")`; an empty one says that a missing
            label is 0. Default: 0, 0.0 and false. A label that is missing after a 0 is 0 anyway.
        when: "present" if any value at all (a date, an amount) means 1, and a missing value 0.
            Default: "", the label is read by `positive` and `negative`.
        may_be_unknown: Whether a label that is missing after a 1, or in the first step, is unknown
            instead of an error: of this row the step says nothing, in the loss as in metrics. What
            the other steps tell is used: a step that happened makes all earlier ones 1, one that
            did not makes all later ones 0. Default: false.
        matures_after: How long after the row's time the label is known, such as "7d" or "12h": a
            number of weeks (w), days (d), hours (h), minutes (m) or seconds (s). In younger rows it
            is unknown whatever it says. It needs `Schema.time`, where a number counts seconds.
            Default: "", it is known at once.
        weight: w_i of eq. 25, the step's share in the loss. Default: 1.0.
        weight_column: A column with the weight of the step in each row, a number, 0 or more, beside
            the row's own (`Schema.sample_weight`). Default: none.
        truth: A column with the true P(T_i = 1 | X), which synthetic data has and only evaluation
            reads. Default: none.
        via: A column, 0 or 1 (or false and true), of an action that may come between the step
            before and this one (a cart between click and buy), or several in order, the micro
            before the macro action (`("reviews", "cart")`); the models `esm2` and `hm3` learn from
            them. Default: none.

    Raises:
        SchemaError: If an attribute breaks its rule.

    Example:
        >>> from tafe_tf.schema import Task
        >>> Task(name="buy", column="bought", weight=2.0).column
        'bought'
    """

    name: str
    column: str = ""
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    when: Literal["", "present"] = ""
    may_be_unknown: bool = False
    matures_after: str = ""
    weight: float = 1.0
    weight_column: str = ""
    truth: str = ""
    via: str | tuple[str, ...] = ""

    def __post_init__(self) -> None:
        _check_name(self.name, "tasks.name")
        where = f"task {self.name!r}"
        self._check_via(where)
        _check_texts(self, f"{where}: ", but=("via",))
        self._check_values(where)
        is_weight = _is_number(self.weight) and 0 <= self.weight < math.inf
        _check(
            is_weight,
            f"{where}: weight",
            "must be a number, 0 or more",
            self.weight,
        )
        is_bool = isinstance(self.may_be_unknown, bool)
        _check(is_bool, f"{where}: may_be_unknown", "must be true or false", self.may_be_unknown)
        rule = 'has no meaning beside when = "present", for which a missing value means 0'
        is_read = not (self.may_be_unknown and self.when)
        _check(is_read, f"{where}: may_be_unknown", rule, self.may_be_unknown)
        if self.matures_after:
            rule = 'must be a number and one of w, d, h, m and s, such as "7d"'
            is_span = _SPAN.match(self.matures_after) is not None
            _check(is_span, f"{where}: matures_after", rule, self.matures_after)
        object.__setattr__(self, "column", self.column or self.name)

    @property
    def maturity(self) -> int:
        """How long after the row's time the label is known, in seconds."""
        if not self.matures_after:
            return 0
        number, unit = self.matures_after[:-1], self.matures_after[-1]
        return int(number) * _SECONDS[unit]

    @property
    def actions(self) -> tuple[str, ...]:
        """The columns of `via`, none, one or several."""
        if isinstance(self.via, str):
            return (self.via,) if self.via else ()
        return self.via

    def _check_via(self, where: str) -> None:
        """Checks the actions; none or one of them in a sequence become a text."""
        if isinstance(self.via, str):
            return
        names = _tuple_of(str, self.via, f"{where}: via")
        _check(all(names), f"{where}: via", "must hold names of columns, none of them empty", names)
        via: str | tuple[str, ...] = names
        if len(names) < 2:
            via = "".join(names)
        object.__setattr__(self, "via", via)

    def _check_values(self, where: str) -> None:
        """Checks how the label is read."""
        _check_one_of(self.when, ("", "present"), f"{where}: when")
        for key in ("positive", "negative"):
            texts = _tuple_of(str, getattr(self, key), f"{where}: {key}")
            object.__setattr__(self, key, texts)
            has_meaning = not (texts and self.when)
            _check(has_meaning, f"{where}: {key}", "has no meaning beside `when`", texts)
        both = sorted(set(self.positive) & set(self.negative))
        _check(not both, f"{where}: negative", "must not name a text of `positive`", both)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """A dataset: what training reads of its files and what the served model takes.

    Attributes:
        name: The dataset's name: letters, digits and underscores, starting with a letter.
        features: The fields, one or more, with distinct names.
        tasks: The funnel in order, one step or more, with distinct names. A later label may be 1
            only in rows where the earlier ones are, see `order`.
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
    sample_weight: str = ""
    group: str = ""
    time: str = ""
    order: Literal["", "raise", "drop", "repair"] = ""
    missing: tuple[str, ...] = MISSING_TEXTS
    delimiter: str = ""
    quote: str = '"'

    def __post_init__(self) -> None:
        _check_name(self.name, "name")
        _check_texts(self, "")
        self._check_texts_of_files()
        object.__setattr__(
            self,
            "features",
            _tuple_of(Feature, self.features, "features"),
        )
        object.__setattr__(
            self,
            "tasks",
            _tuple_of(Task, self.tasks, "tasks"),
        )
        self._check_features()
        self._check_tasks()
        roles = self._targets()
        self._check_inputs(roles)
        self._check_group_and_time(roles)

    def _check_texts_of_files(self) -> None:
        _check_one_of(self.order, ORDERS, "order")
        object.__setattr__(
            self,
            "missing",
            _tuple_of(str, self.missing, "missing"),
        )
        for key in ("delimiter", "quote"):
            value = getattr(self, key)
            _check(len(value) <= 1, key, "must be one character, or empty", value)

    def _check_features(self) -> None:
        count = len(self.features)
        _check(
            count > 0,
            "features",
            "must hold at least one feature",
            count,
        )
        _check_distinct("feature", [feature.name for feature in self.features])
        self._check_files()
        self._check_rows()

    def _check_files(self) -> None:
        """Checks that vocabularies have files of their own, even where case makes no difference."""
        known: dict[str, str] = {}
        for feature in self.features:
            if feature.kind != "vocabulary":
                continue
            first = known.setdefault(feature.name.lower(), feature.name)
            rule = f"must differ from {first!r} in more than case: their files are named by it"
            _check(first == feature.name, f"feature {feature.name!r}: name", rule, feature.name)

    def _check_rows(self) -> None:
        """Checks that the rows of the table can be numbered, as far as the schema knows them."""
        largest = max(self.features, key=Feature.rows)
        total = sum(feature.rows() for feature in self.features)
        rule = f"must leave the embedding table {MOST_ROWS:,} rows in all, not {total:,}"
        key = "buckets" if largest.kind == "hash" else "size"
        _check(total <= MOST_ROWS, f"feature {largest.name!r}: {key}", rule, largest.rows() - FIRST)

    def _check_tasks(self) -> None:
        count = len(self.tasks)
        _check(
            count > 0,
            "tasks",
            "must hold the funnel, one step or more",
            count,
        )
        _check_distinct("task", [task.name for task in self.tasks])
        first = self.tasks[0]
        _check(
            not first.via,
            f"task {first.name!r}: via",
            "needs a step before",
            first.via,
        )

    def _targets(self) -> dict[str, str]:
        """The columns that a model must not read, and the role of each."""
        roles: dict[str, str] = {}
        for name, role in self._named_targets():
            _check(
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
        for task in self.tasks:
            for name in task.actions:
                yield name, f"task {task.name!r}: via"
        for name in dict.fromkeys(self.step_weights):  # several steps may share one
            yield name, "weight_column"
        if self.sample_weight:
            yield self.sample_weight, "sample_weight"

    def _check_inputs(self, roles: dict[str, str]) -> None:
        """Checks that no feature reads a target, and that features which share a column agree."""
        known: dict[str, tuple[Column, str]] = {}
        for feature in self.features:
            where = f"feature {feature.name!r}: column"
            for column in feature.columns:
                target = roles.get(column.name)
                rule = f"must not be a target ({target}): the model would read its own answer"
                _check(target is None, where, rule, column.name)
                own = (column, feature.side)
                first, side = known.setdefault(column.name, own)
                rule = "is read by two features, so dtype and list shape must agree"
                _check(first == column, where, rule, column)
                rule = "is read by two features, so side must agree"
                _check(side == feature.side, where, rule, feature.side)
        self._check_served_inputs()

    def _check_served_inputs(self) -> None:
        """Checks that a column is served as one value by all features, and that some are not."""
        served: dict[str, Feature] = {}
        for feature in self.features:
            first = served.setdefault(feature.column, feature)
            rule = f"must be that of feature {first.name!r}, which reads the same column"
            agrees = first.serve_as == feature.serve_as
            _check(agrees, f"feature {feature.name!r}: serve_as", rule, feature.serve_as)
        is_fixed = [feature.serve_as is not None for feature in self.features]
        rule = "must be left out of one feature at least: the served model needs an input"
        _check(not all(is_fixed), "features: serve_as", rule, "in all of them")

    def _check_group_and_time(self, roles: dict[str, str]) -> None:
        for task in self.tasks:
            has_time = bool(self.time or not task.matures_after)
            key = f"task {task.name!r}: matures_after"
            _check(has_time, key, "needs the schema's `time`", task.matures_after)
            meaning = sorted({*task.positive, *task.negative} & {"", *self.missing})
            key = f"task {task.name!r}: may_be_unknown"
            rule = "has no meaning where `positive` or `negative` says what a missing value means"
            _check(not (task.may_be_unknown and meaning), key, rule, meaning)
        for key in ("group", "time"):
            name = getattr(self, key)
            rule = f"must not be the column of {roles.get(name)}"
            _check(name not in roles, key, rule, name)

    @functools.cached_property
    def inputs(self) -> tuple[Column, ...]:
        """The raw columns that the features read, in schema order."""
        columns = {}
        wishes: dict[str, str] = {}
        for feature in self.features:
            names = (feature.name, f"{feature.name}_weights")
            for column, name in zip(feature.columns, names, strict=False):
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

        The inputs come first, then the weights of rows and steps, the group, the time, the truths
        and the actions.
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


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check(
    ok: bool,
    key: str,
    rule: str,
    value: object,
) -> None:
    if not ok:
        raise SchemaError(f"{key} {rule}. Received: {shown(value)}")


def _check_integer(
    value: Any,
    least: int,
    key: str,
    most: int | None = None,
) -> None:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    ok = is_integer and value >= least
    _check(ok, key, f"must be an integer, {least} or more", value)
    if most is not None:
        _check(value <= most, key, f"must be {most:,} or less", value)


def _check_name(value: object, key: str) -> None:
    ok = isinstance(value, str) and _IDENTIFIER.match(value) is not None
    _check(
        ok,
        key,
        "must be letters, digits and underscores, starting with a letter",
        value,
    )
    is_short = len(str(value)) <= LONGEST  # files are named by it
    _check(is_short, key, f"must be {LONGEST} characters or fewer", value)


def _check_one_of(
    value: object,
    known: Iterable[str],
    key: str,
) -> None:
    _check(value in list(known), key, f"must be one of {list(known)}", value)


def _check_separator(value: object, key: str) -> None:
    ok = isinstance(value, str) and len(value) == 1
    _check(ok, key, "must be one character", value)


def _check_texts(
    item: Feature | Task | Schema,
    start: str,
    but: tuple[str, ...] = (),
) -> None:
    """Checks that what is a string by default is one, `but` for some."""
    for field in dataclasses.fields(item):
        if isinstance(field.default, str) and field.name not in but:
            value = getattr(item, field.name)
            _check(
                isinstance(value, str),
                f"{start}{field.name}",
                "must be a string",
                value,
            )


def _tuple_of(
    kind: type,
    items: Any,
    key: str,
) -> tuple[Any, ...]:
    is_sequence = isinstance(items, (list, tuple))
    ok = is_sequence and all(isinstance(item, kind) for item in items)
    _check(ok, key, f"must be a sequence of {kind.__name__}", items)
    return tuple(items)


def _check_distinct(kind: str, names: list[str]) -> None:
    for name in names:
        count = names.count(name)
        _check(
            count == 1,
            f"{kind} {name!r}: name",
            "must be given once",
            count,
        )
