"""The whole look at a data set: its files, columns, funnel and leaks, and all of its problems."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf import memory
from tafe_tf.data import bad_row_limit
from tafe_tf.data.bad_rows import Dropped, Problem
from tafe_tf.data.batches.times import in_memory
from tafe_tf.data.blocks.maturity import kind_of, mature_labels
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.splits import Sources
from tafe_tf.data.spelling.time_column import times
from tafe_tf.features import vector_files
from tafe_tf.features.table_size import RowSize, check_known_table
from tafe_tf.first_look import (
    doubles,
    funnel,
    leaks,
    problems,
    profile,
    raw,
    schema_errors,
    stand_ins,
)
from tafe_tf.first_look.dialect import dialect_of
from tafe_tf.first_look.raw import RawRows
from tafe_tf.first_look.values import Values, values_of
from tafe_tf.schema import MISSING_TEXTS, UNKNOWN, Feature, Schema, SchemaError, Task
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import is_file

MAX_ROWS = 1_000_000
EMBEDDING_DIM = 18  # what models take by default
_JUMP = 0.1  # a share of unseen values above which a warning is due


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What was found.

    Attributes:
        data: The file or directory.
        schema_file: The schema, "" if there was none.
        files: The number of files by split.
        rows: The number of rows that were looked at, by split.
        is_cut: The splits that hold more rows than were looked at.
        problems: What stops training, whatever `--on_bad_row` says.
        bad_rows: Rows that break a rule, by split: one entry for each column and rule.
        bad: How many different rows are bad, by split.
        warnings: What does not stop training, but is seldom meant.
        columns: The columns of the schema; without one all columns of the files.
        unused: Columns of the files that the schema does not name.
        steps: The labels; without a schema none.
        leaks: Fields that tell a label too well.
    """

    data: str
    schema_file: str = ""
    files: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rows: Mapping[str, int] = dataclasses.field(default_factory=dict)
    is_cut: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    bad_rows: Mapping[str, tuple[Dropped, ...]] = dataclasses.field(default_factory=dict)
    bad: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    columns: tuple[profile.ColumnProfile, ...] = ()
    unused: tuple[str, ...] = ()
    steps: tuple[funnel.Step, ...] = ()
    leaks: tuple[leaks.Leak, ...] = ()

    def stops(self, on_bad_row: str, max_bad_rows: str = bad_row_limit.DEFAULT) -> bool:
        """Whether training would stop; bad rows stop it unless they are dropped, and are few.

        Args:
            on_bad_row: "raise" or "drop", as in training.
            max_bad_rows: See `bad_row_limit.check_limit`. The default is that of training.
        """
        has_bad_rows = any(self.bad.values())
        if self.problems or (has_bad_rows and on_bad_row == "raise"):
            return True
        return any(self.too_many(split, max_bad_rows) for split in self.bad)

    def too_many(self, split: str, max_bad_rows: str) -> bool:
        """Whether more of a split's rows are bad than may be dropped."""
        allowed = bad_row_limit.allowed(max_bad_rows, self.rows[split])
        return allowed is not None and self.bad[split] > allowed

    def as_json(self) -> dict[str, Any]:
        """The same as a dict that JSON can hold."""
        return dataclasses.asdict(self)


def look(
    data: str | pathlib.Path | Sources,
    schema_file: str = "",
    max_rows: int = MAX_ROWS,
) -> Look:
    """Looks at a data set.

    Args:
        data: A file, or a directory, see `find_splits`; or what names files by split.
        schema_file: The schema's TOML file. By default `schema.toml` beside the data, if there is
            one.
        max_rows: How many rows of a split to look at. Default: 1,000,000.
    """
    found: list[str] = []
    schema: Schema | None = None
    sources = data if isinstance(data, Sources) else Sources(data_dir=str(data))
    try:
        schema, schema_file = _schema(sources, schema_file, found)
        if schema:
            found += vector_files.problems(schema, schema_file)
        files = sources.find()
    except (DataError, OSError) as error:
        return Look(data=str(sources), schema_file=schema_file, problems=(*found, str(error)))
    dialect = dialect_of(schema)
    rows = {
        split: raw.read_rows(paths, max_rows, dialect) for split, paths in files.items() if paths
    }
    return _look_at(str(sources), schema, schema_file, rows, max_rows, found)


def _schema(
    sources: Sources,
    schema_file: str,
    found: list[str],
) -> tuple[Schema | None, str]:
    """The schema, if there is one without errors, and its file."""
    try:
        path = schema_file or sources.schema_file
    except StoreError:
        raise
    except DataError:  # patterns, beside which nothing lies
        return None, ""
    if not schema_file and not is_file(path):
        return None, ""
    try:
        schema, errors = schema_errors.load_all(path)
    except (DataError, OSError) as error:
        schema, errors = None, [str(error)]
    found += errors
    return schema, path


def _look_at(
    data: str,
    schema: Schema | None,
    schema_file: str,
    rows: Mapping[str, RawRows],
    max_rows: int,
    found: list[str],
) -> Look:
    bad_rows: dict[str, tuple[Dropped, ...]] = {}
    bad: dict[str, int] = {}
    if schema:
        for split, raw_rows in rows.items():
            errors, wrong = problems.split_problems(
                raw_rows,
                raw_rows.files,
                schema,
                max_rows,
            )
            found += errors
            bad_rows[split] = tuple(problems.merged(wrong.bad_rows)) if wrong else ()
            bad[split] = wrong.bad if wrong else 0
    else:
        found += [error for raw_rows in rows.values() for error in raw_rows.problems]
    values = {split: columns_of(raw_rows, schema) for split, raw_rows in rows.items()}
    labels = _labels(values["train"], schema) if schema else None
    if schema and labels is not None and schema.matures:
        labels = _mature(labels, schema, rows)
    leaking = _leaks(values["train"], schema, labels) if schema and labels is not None else ()
    columns = _profiles(values, schema)
    steps: tuple[funnel.Step, ...] = ()
    if schema and labels is not None:
        steps = funnel.steps(schema.labels, labels)
    return Look(
        data=data,
        schema_file=schema_file,
        files={split: len(raw_rows.files) for split, raw_rows in rows.items()},
        rows={split: raw_rows.table.num_rows for split, raw_rows in rows.items()},
        is_cut=tuple(split for split, raw_rows in rows.items() if raw_rows.is_cut),
        problems=tuple(dict.fromkeys(found)),
        bad_rows=bad_rows,
        bad=bad,
        warnings=_warnings(columns, steps, schema, values, has_all=not rows["train"].is_cut),
        columns=columns,
        unused=_unused(values["train"], schema),
        steps=steps,
        leaks=leaking,
    )


def columns_of(
    raw_rows: RawRows,
    schema: Schema | None,
    missing: Sequence[str] = MISSING_TEXTS,
) -> dict[str, Values]:
    """The columns of the rows by name, as the schema writes missing values and lists.

    Args:
        raw_rows: The rows.
        schema: The schema, if there is one.
        missing: Without a schema, the texts that mean a missing value. Default: `MISSING_TEXTS`.
    """
    missing = schema.missing if schema else missing
    separators: dict[str, str] = {}
    if schema:
        lists = [column for column in schema.columns if column.max_length]
        separators = {column.name: column.separator for column in lists}
    table = raw_rows.table
    found = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        found[name] = values_of(name, column, missing, separators.get(name, ""))
    return found


def _labels(columns: Mapping[str, Values], schema: Schema) -> np.ndarray | None:
    """The labels, [n, N]; None if the rows lack a label column."""
    if not set(schema.labels) <= columns.keys():
        return None
    labels = [columns[name] for name in schema.labels]
    return funnel.read_labels(labels, schema.tasks, schema.missing)


def _mature(
    labels: np.ndarray,
    schema: Schema,
    rows: Mapping[str, RawRows],
) -> np.ndarray:
    """The labels of the training rows, unknown where a row is too young as of the newest of all.

    Where times cannot be read, which is a problem of its own, the labels stay as they are.
    """
    of_splits = {}
    for split, raw_rows in rows.items():
        if schema.time not in raw_rows.table.schema.names:
            return labels
        column = raw_rows.table[schema.time].combine_chunks()
        wrong: list[Problem] = []
        try:
            of_splits[split] = times(column, schema.time, schema.missing, wrong, split)
        except DataError:
            return labels
        if wrong:
            return labels
    if len({kind_of(found) for found in of_splits.values()}) > 1:
        return labels
    now = in_memory(max(found.max() for found in of_splits.values() if len(found)))
    judged = mature_labels(labels, of_splits["train"], schema, now)
    return np.where(judged == UNKNOWN, labels.dtype.type(UNKNOWN), labels)


def _leaks(
    columns: Mapping[str, Values],
    schema: Schema,
    labels: np.ndarray,
) -> tuple[leaks.Leak, ...]:
    found = []
    for column in schema.inputs:
        if column.name in columns:
            leak = first_leak(columns[column.name], schema.tasks, labels)
            if leak:
                found.append(leak)
    return tuple(found)


def first_leak(
    values: Values,
    tasks: Sequence[Task],
    labels: np.ndarray,
) -> leaks.Leak | None:
    """The first label, in funnel order, that a column tells too well."""
    for i, task in enumerate(tasks):
        known = labels[:, i] >= 0
        leak = leaks.find_leak(values, task.column, labels[:, i], known)
        if leak:
            return leak
    return None


def _profiles(
    values: Mapping[str, Mapping[str, Values]],
    schema: Schema | None,
) -> tuple[profile.ColumnProfile, ...]:
    of_column: dict[str, Feature] = {}
    names = list(values["train"])
    if schema:
        of_column = {feature.column: feature for feature in schema.features}
        named = [column.name for column in schema.columns]
        names = [name for name in (*named, *schema.labels) if name in values["train"]]
    found = []
    for name in names:
        feature = of_column.get(name)
        splits = {"train": values["train"][name]}
        if _may_be_unseen(splits["train"], feature, schema):
            splits |= {split: columns[name] for split, columns in values.items() if name in columns}
        found.append(
            profile.profile(
                splits,
                max_length=feature.max_length if feature else 0,
                size=feature.size if feature else 0,
                min_count=feature.min_count if feature else 1,
            )
        )
    return tuple(found)


def _may_be_unseen(
    values: Values,
    feature: Feature | None,
    schema: Schema | None,
) -> bool:
    """Whether a value that training does not have is worse than a number between two others."""
    if schema:
        return feature is not None and feature.kind == "vocabulary"
    return values.family not in ("number", "moment")


def _unused(columns: Mapping[str, Values], schema: Schema | None) -> tuple[str, ...]:
    if not schema:
        return ()
    named = {*(column.name for column in schema.columns), *schema.labels}
    return tuple(name for name in columns if name not in named)


def _too_large(schema: Schema) -> list[str]:
    """What the embedding table takes, if this machine has not so much memory."""
    row = RowSize(dim=EMBEDDING_DIM, dtype="float32")
    try:
        check_known_table(schema, row, memory.available())
    except SchemaError as error:
        return [f"with {EMBEDDING_DIM} numbers for each row, the default: {error}"]
    return []


def _warnings(
    columns: Sequence[profile.ColumnProfile],
    steps: Sequence[funnel.Step],
    schema: Schema | None,
    values: Mapping[str, Mapping[str, Values]],
    *,
    has_all: bool,
) -> tuple[str, ...]:
    found = _too_large(schema) if schema else []
    for step in steps:
        if step.rate in (0.0, 1.0):
            found.append(f"label {step.label!r} is {step.rate:.0f} in all training rows")
    found += funnel.order_warnings(steps)
    inputs = {column.name for column in schema.inputs} if schema else set(values["train"])
    found += stand_ins.warnings(each for name, each in values["train"].items() if name in inputs)
    for column in columns:
        if column.rows and column.missing == 1.0:
            found.append(f"column {column.name!r} has no value in the training rows")
        for split, share in column.unseen.items():
            if share > _JUMP and schema:
                found.append(
                    f"column {column.name!r}: the training rows lack {share:.1%} of the values of "
                    f"the {split} rows"
                )
        if column.outside:
            found.append(
                f"column {column.name!r}: {column.outside:.1%} of the values are not 0 to size - 1"
            )
    group = schema.group if schema else ""
    return (*found, *doubles.warnings(values, group, has_all=has_all))
