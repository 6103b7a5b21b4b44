"""What a dataset is: its features, its funnel of tasks and its special columns, read from one TOML file.

    name = "shop"
    group = "user"             # optional column: the user, for grouped AUC
    time = "timestamp"         # optional column: orders the rows for a chronological split
    sample_weight = "weight"   # optional column: how much a row counts

    [[tasks]]                  # in funnel order, two or more; a later label is 1 only where the earlier one is
    name = "click"

    [[tasks]]
    name = "buy"
    weight = 2.0               # w_i of eq. 25

    [[features]]
    name = "user"
    kind = "vocabulary"        # or "integer", "hash", "log_round"
    dtype = "int64"
    min_count = 10

Every other key and its rule stand in the docstrings of `Feature`, `Task` and `Schema`.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import tomllib
from typing import Any, Literal

Dtype = Literal["string", "int64", "float32", "float64"]

UNSEEN, MISSING, FIRST = 0, 1, 2  # the first two rows of every field; its values start at FIRST
ABSENT: dict[str, Any] = {"string": "", "int64": -1, "float32": math.nan, "float64": math.nan}

_KEYS_OF_KIND = {
    "vocabulary": {"dtype", "min_count"},
    "integer": {"size"},
    "hash": {"dtype", "buckets"},
    "log_round": {"scale", "max_abs"},
}
_LIST_KEYS = {"pooling", "weights", "separator"}
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class SchemaError(ValueError):
    """A schema breaks a rule; the message names the key, the rule and the value received."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One raw column as the readers deliver it and the served model takes it.

    Attributes:
        name: the column's name in the files.
        dtype: "string", "int64", "float32" or "float64".
        max_length: 0 for one value a row, otherwise lists cut to this length.
        separator: between the values of a list in a CSV cell.
    """

    name: str
    dtype: Dtype
    max_length: int = 0
    separator: str = "|"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """One field of the model: a raw column and how its values become rows of the embedding table.

    Attributes:
        name: the field's name, an identifier.
        kind: "vocabulary" (each value seen at least `min_count` times has a row), "integer" (values 0 to
            size - 1), "hash" (any value, into `buckets` rows) or "log_round" (a number x, into bucket
            sign(x) round(scale log(1 + |x|)), section 3.1 of the paper).
        column: the raw column, by default `name`.
        dtype: "string" or "int64"; for "vocabulary" and "hash".
        min_count: smallest number of occurrences that earns a row; for "vocabulary".
        size: number of values; for "integer".
        buckets: number of rows; for "hash".
        scale: buckets per unit of log(1 + |x|); for "log_round".
        max_abs: larger magnitudes share the last bucket of their sign; for "log_round".
        max_length: 0 for one value a row; otherwise the column holds lists, cut to this many values.
        pooling: "sum" or "mean" of a list's embeddings (weighted if `weights` is given); lists only.
        weights: a column with one number per list value; lists only.
        separator: between the values of a list in a CSV cell; lists only.
        side: "user" for what is the same for all items of a ranking request (the user, the hour), or "item"; the
            exported `rank` signature takes user columns once.
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
    side: str = "item"

    def __post_init__(self) -> None:
        where = f"feature {self.name!r}"
        _check_name(self.name, "features.name")
        known = isinstance(self.kind, str) and self.kind in _KEYS_OF_KIND
        _check(known, f"{where}: kind", f"must be one of {sorted(_KEYS_OF_KIND)}", self.kind)
        for key in set().union(*_KEYS_OF_KIND.values()) - _KEYS_OF_KIND[self.kind]:
            _check(
                self._is_default(key),
                f"{where}: {key}",
                f"has no meaning for kind {self.kind!r}",
                getattr(self, key),
            )
        _check(
            self.dtype in ("string", "int64"),
            f"{where}: dtype",
            "must be 'string' or 'int64'",
            self.dtype,
        )
        _check_integer(self.min_count, 1, f"{where}: min_count")
        _check_integer(self.max_length, 0, f"{where}: max_length")
        if self.kind == "integer":
            _check_integer(self.size, 1, f"{where}: size")
        if self.kind == "hash":
            _check_integer(self.buckets, 1, f"{where}: buckets")
        for key in ("scale", "max_abs"):
            value = getattr(self, key)
            _check(
                _is_number(value) and 0 < value < math.inf,
                f"{where}: {key}",
                "must be a positive number",
                value,
            )
        for key in _LIST_KEYS:
            _check(
                self.max_length > 0 or self._is_default(key),
                f"{where}: {key}",
                "needs max_length > 0 (a list)",
                getattr(self, key),
            )
        _check(
            self.side in ("user", "item"), f"{where}: side", "must be 'user' or 'item'", self.side
        )
        _check(
            self.pooling in ("sum", "mean"),
            f"{where}: pooling",
            "must be 'sum' or 'mean'",
            self.pooling,
        )
        _check(
            isinstance(self.separator, str) and len(self.separator) == 1,
            f"{where}: separator",
            "must be one character",
            self.separator,
        )
        object.__setattr__(self, "column", self.column or self.name)

    def _is_default(self, key: str) -> bool:
        default = next(f.default for f in dataclasses.fields(self) if f.name == key)
        return bool(getattr(self, key) == default)

    @property
    def slots(self) -> int:
        """Number of ids a row carries for this field."""
        return self.max_length or 1

    @property
    def raw_dtype(self) -> Dtype:
        """The dtype of the raw column."""
        return {"integer": "int64", "log_round": "float32"}.get(self.kind, self.dtype)  # type: ignore[return-value]

    @property
    def largest_bucket(self) -> int:
        """The log-round bucket of `max_abs`; buckets run from its negative to it."""
        return round(self.scale * math.log1p(self.max_abs))

    def rows(self, vocabulary_size: int = 0) -> int:
        """Number of embedding rows of this field, the two for unseen and missing values included."""
        values = {
            "vocabulary": vocabulary_size,
            "integer": self.size,
            "hash": self.buckets,
            "log_round": 2 * self.largest_bucket + 1,
        }
        return FIRST + values[self.kind]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The raw columns this field reads."""
        shape = {"max_length": self.max_length, "separator": self.separator}
        values = Column(name=self.column, dtype=self.raw_dtype, **shape)  # type: ignore[arg-type]
        if not self.weights:
            return (values,)
        return (values, Column(name=self.weights, dtype="float32", **shape))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One step of the funnel.

    Attributes:
        name: the step's name, an identifier.
        column: the label column, 0 or 1, by default `name`.
        weight: w_i of eq. 25.
        truth: optional column with the true P(T_i = 1 | X), known for synthetic data; used by evaluation only.
        via: optional column, 0 or 1, of an action that may come between the step before and this one (a cart between
            click and buy); `esm2` learns from it.
    """

    name: str
    column: str = ""
    weight: float = 1.0
    truth: str = ""
    via: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name, "tasks.name")
        ok = _is_number(self.weight) and 0 <= self.weight < math.inf
        _check(ok, f"task {self.name!r}: weight", "must be a number, 0 or more", self.weight)
        object.__setattr__(self, "column", self.column or self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schema:
    """A dataset.

    Attributes:
        name: the dataset's name, an identifier.
        features: the fields, one or more, with distinct names.
        tasks: the funnel in order, two steps or more.
        sample_weight: optional column with non-negative row weights.
        group: optional column (the user, say) for grouped AUC.
        time: optional column with a number that grows with time, for chronological splits.
    """

    name: str
    features: tuple[Feature, ...]
    tasks: tuple[Task, ...]
    sample_weight: str = ""
    group: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name, "name")
        _check(
            len(self.features) > 0, "features", "must hold at least one feature", len(self.features)
        )
        _check(
            len(self.tasks) > 1, "tasks", "must hold the funnel, two steps or more", len(self.tasks)
        )
        for kind, names in (
            ("feature", [f.name for f in self.features]),
            ("task", [t.name for t in self.tasks]),
        ):
            for name in names:
                _check(
                    names.count(name) == 1,
                    f"{kind} {name!r}: name",
                    "must be given once",
                    names.count(name),
                )
        _check(
            not self.tasks[0].via,
            f"task {self.tasks[0].name!r}: via",
            "needs a step before",
            self.tasks[0].via,
        )
        self._check_columns()

    def _check_columns(self) -> None:
        roles: dict[str, str] = {}
        targets = [(t.column, f"task {t.name!r}: column") for t in self.tasks]
        targets += [(t.truth, f"task {t.name!r}: truth") for t in self.tasks if t.truth]
        targets += [(t.via, f"task {t.name!r}: via") for t in self.tasks if t.via]
        targets += [(self.sample_weight, "sample_weight")] if self.sample_weight else []
        for name, role in targets:
            _check(name not in roles, role, f"must not read the column of {roles.get(name)}", name)
            roles[name] = role
        read: dict[str, tuple[Column, str]] = {}
        for feature in self.features:
            for column in feature.columns:
                role = f"feature {feature.name!r}: column"
                _check(
                    column.name not in roles,
                    role,
                    f"must not be a target ({roles.get(column.name)}): the model would read its own answer",
                    column.name,
                )
                known, side = read.setdefault(column.name, (column, feature.side))
                _check(
                    known == column,
                    role,
                    "is read by two features, so dtype and list shape must agree",
                    column,
                )
                _check(
                    side == feature.side,
                    role,
                    "is read by two features, so side must agree",
                    feature.side,
                )
        for role in ("group", "time"):
            column_name = getattr(self, role)
            _check(
                column_name not in roles,
                role,
                f"must not be the column of {roles.get(column_name)}",
                column_name,
            )

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The raw columns that the features read: what the served model takes, in schema order."""
        return tuple({c.name: c for f in self.features for c in f.columns}.values())

    @property
    def user_inputs(self) -> tuple[str, ...]:
        """Names of the inputs that a ranking request gives once, those of features with side "user"."""
        return tuple(
            c.name
            for c in self.inputs
            if any(c in f.columns for f in self.features if f.side == "user")
        )

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns of the files but the labels: the inputs, then weight, group, time, truths and actions."""
        known = {c.name: c for c in self.inputs}
        extra: list[tuple[str, Dtype]] = [
            (self.sample_weight, "float32"),
            (self.group, "string"),
            (self.time, "float64"),
        ]
        extra += [(task.truth, "float64") for task in self.tasks]
        extra += [(task.via, "int64") for task in self.tasks]
        for name, dtype in extra:
            if name:
                known.setdefault(name, Column(name=name, dtype=dtype))
        return tuple(known.values())

    @property
    def labels(self) -> tuple[str, ...]:
        """The label columns in funnel order."""
        return tuple(task.column for task in self.tasks)

    @property
    def via(self) -> tuple[int, ...]:
        """Indices of the tasks that an action may come before."""
        return tuple(i for i, task in enumerate(self.tasks) if task.via)

    @property
    def step_names(self) -> tuple[str, ...]:
        """Names of f_1, ..., f_N: "ctr" and "ctcvr", or "p_<task>" in a funnel longer than two."""
        return (
            ("ctr", "ctcvr")
            if len(self.tasks) == 2
            else tuple(f"p_{task.name}" for task in self.tasks)
        )

    @property
    def conditional_names(self) -> tuple[str, ...]:
        """Names of f_i / f_{i-1} for i = 2..N: "cvr", or "p_<task>_given_<previous>"."""
        if len(self.tasks) == 2:
            return ("cvr",)
        pairs = zip(self.tasks[1:], self.tasks[:-1], strict=True)
        return tuple(f"p_{task.name}_given_{previous.name}" for task, previous in pairs)


def load(path: str | pathlib.Path) -> Schema:
    """Reads a schema from a TOML file.

    Raises:
        SchemaError: if a key is unknown, missing or breaks its rule; the message starts with the file's name.
    """
    path = pathlib.Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        features = [
            _build(Feature, item, f"features[{i}]")
            for i, item in enumerate(_tables(table, "features"))
        ]
        tasks = [
            _build(Task, item, f"tasks[{i}]") for i, item in enumerate(_tables(table, "tasks"))
        ]
        schema = _build(
            Schema, {**table, "features": tuple(features), "tasks": tuple(tasks)}, "the top level"
        )
    except (tomllib.TOMLDecodeError, SchemaError) as error:
        raise SchemaError(f"{path}: {error}") from None
    return schema


def _tables(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = table.get(key, [])
    ok = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    _check(ok, key, f"must be written as [[{key}]] tables", value)
    return value


def _build(cls: type, table: dict[str, Any], where: str) -> Any:
    fields = dataclasses.fields(cls)
    for key, value in table.items():
        field = next((f for f in fields if f.name == key), None)
        _check(
            field is not None,
            f"{where}: {key}",
            f"is not a key; known are {[f.name for f in fields]}",
            value,
        )
        if field is not None and isinstance(field.default, str):
            _check(isinstance(value, str), f"{where}: {key}", "must be a string", value)
    for field in fields:
        required = field.default is dataclasses.MISSING
        _check(not required or field.name in table, f"{where}: {field.name}", "is required", None)
    return cls(**table)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check(ok: bool, key: str, rule: str, value: object) -> None:
    if not ok:
        raise SchemaError(f"{key} {rule}. Received: {value!r}")


def _check_integer(value: object, least: int, key: str) -> None:
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= least
    _check(ok, key, f"must be an integer, {least} or more", value)


def _check_name(value: object, key: str) -> None:
    ok = isinstance(value, str) and _IDENTIFIER.match(value) is not None
    _check(ok, key, "must be letters, digits and underscores, starting with a letter", value)
