"""The whole first schema of a data set, which trains as it is."""

from __future__ import annotations

import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tafe_tf import schema_toml
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import format_of
from tafe_tf.data.formats.splits import Sources
from tafe_tf.drafting import histories, lists, names, special
from tafe_tf.drafting.fields import Field, Fields, find_fields
from tafe_tf.drafting.labels import Funnel, Step, find_funnel
from tafe_tf.drafting.toml_text import Table, toml_text
from tafe_tf.first_look import problems, raw, stand_ins
from tafe_tf.first_look.dialect import Dialect, header_of
from tafe_tf.first_look.look import columns_of
from tafe_tf.first_look.raw import RawRows
from tafe_tf.first_look.values import Values, values_of
from tafe_tf.schema import MISSING_TEXTS, Schema

MAX_ROWS = 500_000


@dataclasses.dataclass(frozen=True)
class _Findings:
    """All that was decided.

    Attributes:
        funnel: The labels.
        fields: The features and what was left out.
        missing: The texts that mean a missing value, where they are not the usual ones; else ().
        roles: The other keys of the top level, such as "group".
        reasons: Their reasons.
        histories: The column of the candidate by that of the history that it reads.
        beside: The columns of further lists of the same entries, by that of the history.
    """

    funnel: Funnel
    fields: Fields
    missing: tuple[str, ...]
    roles: Mapping[str, str]
    reasons: Mapping[str, str]
    histories: Mapping[str, str]
    beside: Mapping[str, list[str]]


def draft(
    data: str | pathlib.Path | Sources,
    tasks: Sequence[str] = (),
    name: str = "",
    max_rows: int = MAX_ROWS,
) -> str:
    """Writes a schema for the training rows of a data set.

    Args:
        data: A file, or a directory, see `find_splits`; or what names files by split.
        tasks: The label columns in funnel order. By default, (), they are found.
        name: The name of the data set. By default that of the file or directory.
        max_rows: How many rows to look at. Default: 500,000.

    Returns:
        TOML text, with the reason of each key as a comment. `schema_toml` reads it.

    Raises:
        NoLabelError: If no label is found.
        DataError: If the files cannot be read.
        ValueError: If no column can be a field.
    """
    sources = data if isinstance(data, Sources) else Sources(data_dir=str(data))
    files = sources.find()["train"]
    rows = raw.read_rows(files, max_rows)
    if rows.problems:
        raise DataError(rows.problems[0])
    columns = columns_of(rows, None)
    missing, reason_of_missing = _missing_texts(columns)
    if missing:
        columns = columns_of(rows, None, missing)
    separators = _split_texts(columns, rows, missing or MISSING_TEXTS)
    funnel = find_funnel(columns, tasks)
    roles, reasons = _roles(columns, funnel)
    dialect, dialect_reasons = _dialect(files)
    top = {**roles, **dialect}
    reasons = {**reasons, **dialect_reasons, "missing": reason_of_missing}
    unusable: dict[str, str] = {}
    while True:
        found = _findings(columns, separators, funnel, missing, top, reasons, unusable)
        text = _text(str(sources), name, rows, found)
        schema = schema_toml.parse(tomllib.loads(text), where="the draft")
        wrong = _unreadable(rows, schema)
        if not wrong.keys() - unusable.keys():
            return text
        unusable |= wrong


def _missing_texts(columns: Mapping[str, Values]) -> tuple[tuple[str, ...], str]:
    """The texts that mean a missing value, and why; empty if they are the usual ones."""
    found = stand_ins.shares(columns.values())
    if not found:
        return (), ""
    where = [stand_ins.described(text, of_columns) for text, of_columns in found.items()]
    return (*MISSING_TEXTS, *found), f"the usual ones, and more: {', '.join(where)}"


def _split_texts(
    columns: dict[str, Values],
    rows: RawRows,
    missing: Sequence[str],
) -> dict[str, str]:
    """Makes lists of the texts that hold some, and tells their separators."""
    separators = {}
    for name, values in list(columns.items()):
        separator = lists.separator_of(values)
        if separator:
            separators[name] = separator
            column = rows.table.column(name)
            columns[name] = values_of(name, column, missing, separator)
    return separators


def _roles(columns: Mapping[str, Values], funnel: Funnel) -> tuple[dict[str, str], dict[str, str]]:
    """The user, the time, the weight and the order, and their reasons."""
    targets = {step.task.column for step in funnel.steps}
    others = {name: values for name, values in columns.items() if name not in targets}
    roles: dict[str, str] = {}
    reasons: dict[str, str] = {}
    finders = {
        "sample_weight": special.find_sample_weight,
        "group": special.find_group,
        "time": special.find_time,
    }
    for key, find in finders.items():
        column, reason = find(others)
        if column:
            roles[key], reasons[key] = column, reason
    if funnel.order:
        roles["order"], reasons["order"] = funnel.order, funnel.order_reason
    return roles, reasons


def _dialect(files: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The delimiter of CSV files, where it is not the usual one."""
    usual = {".csv": ",", ".tsv": "\t"}.get(format_of(files[0]))
    if usual is None:
        return {}, {}
    for path in files:
        header = header_of(path, Dialect())
        if header is not None and header[1] != usual:
            return {"delimiter": header[1]}, {"delimiter": "stands between the cells"}
    return {}, {}


def _findings(
    columns: Mapping[str, Values],
    separators: Mapping[str, str],
    funnel: Funnel,
    missing: tuple[str, ...],
    top: Mapping[str, str],
    reasons: Mapping[str, str],
    unusable: Mapping[str, str],
) -> _Findings:
    roles = {key: value for key, value in top.items() if value not in unusable}
    left_out = {**funnel.passed_over, **unusable}
    if "sample_weight" in roles:
        left_out[roles["sample_weight"]] = "is the weight of the row"
    if "time" in roles:
        left_out[roles["time"]] = "is the time of the row, which does not come again"
    fields = find_fields(
        columns,
        separators,
        [step.task for step in funnel.steps],
        np.stack([step.labels for step in funnel.steps], axis=1),
        left_out,
    )
    if not fields.fields:
        reasons_of_others = [f"{name!r} {reason}" for name, reason in fields.left_out.items()]
        listed = "; ".join(reasons_of_others) or "there is none but the labels"
        raise ValueError(f"no column can be a field: {listed}")
    read = histories.read_by(fields.fields, columns)
    beside: dict[str, list[str]] = {}
    taken = set(read)
    for history in read:
        lists_beside = histories.beside(columns[history], fields.fields, columns)
        beside[history] = [name for name in lists_beside if name not in taken]
        taken.update(beside[history])
    return _Findings(funnel, fields, missing, roles, reasons, read, beside)


def _unreadable(rows: RawRows, schema: Schema) -> dict[str, str]:
    """Columns that training could not read, each with the reason."""
    targets = {*schema.labels}
    found: dict[str, str] = {}
    for path, table in rows.heads.items():
        errors, broken = problems.column_errors(path, table, schema, rows.names)
        for name in broken - targets:
            error = next(error for error in errors if repr(name) in error)
            found[name] = f"cannot be read: {error}"
    readable = problems.without_columns(schema, set(found))
    if readable is None:
        return found
    wrong = problems.file_problems(rows.files, readable, max(rows.table.num_rows, 1))
    for reason in wrong.bad_rows:
        is_field = reason.column not in targets and reason.column in rows.table.schema.names
        if is_field and reason.verdict == "dropped":
            found[reason.column] = f"has {reason.rows:,} values that {reason.rule}"
    return found


def _text(
    data: str,
    name: str,
    rows: RawRows,
    found: _Findings,
) -> str:
    count = rows.table.num_rows
    which = f"the first {count:,}" if rows.is_cut else f"the {count:,}"
    title = f"Drafted from {which} training rows of {pathlib.Path(data).name}."
    comments = [title, "Every line may be edited; `tafe look` checks the result."]
    stem = pathlib.Path(data).resolve().name.partition(".")[0]
    keys: dict[str, Any] = {"name": name or names.identifier(stem, ())}
    if found.missing:
        keys["missing"] = found.missing
    top = Table("", {**keys, **found.roles}, found.reasons)
    taken = [step.task.name for step in found.funnel.steps]
    tables = [top, *(_task_table(step) for step in found.funnel.steps)]
    given: dict[str, str] = {}
    for field in found.fields.fields:
        column = field.keys["column"]
        given[column] = names.identifier(column, taken)
        taken.append(given[column])
    group = found.roles.get("group", "")
    of_entries = {column for columns in found.beside.values() for column in columns}
    for field in found.fields.fields:
        column = field.keys["column"]
        candidate = found.histories.get(column)
        if candidate is not None:
            field = histories.with_rows_of(field, given[candidate])
        is_history = candidate is not None or column in of_entries
        tables.append(_feature_table(given[column], field, group, is_history=is_history))
    for column, candidate in found.histories.items():
        sequence = names.identifier(f"{given[column]}_read", taken)
        taken.append(sequence)
        read = [given[name] for name in (column, *found.beside[column])]
        tables.append(_sequence_table(sequence, read, given[candidate]))
    left_out = {**found.fields.left_out, **_doubled_names(rows)}
    last = [f"Left out: {column!r} {reason}." for column, reason in left_out.items()]
    return toml_text(comments, tables, last)


def _doubled_names(rows: RawRows) -> dict[str, str]:
    """Columns whose name stands more than once in a file."""
    found = {}
    for head in rows.heads.values():
        names_of_file = head.schema.names
        for name in names_of_file:
            if names_of_file.count(name) > 1:
                found[name] = "stands more than once among the columns"
    return found


def _task_table(step: Step) -> Table:
    task = step.task
    keys: dict[str, Any] = {"name": task.name}
    if task.column != task.name:
        keys["column"] = task.column
    for key in ("positive", "negative", "when"):
        if getattr(task, key):
            keys[key] = getattr(task, key)
    reasons = {"name": f"happens in {step.rate:.2%} of the rows", **step.reasons}
    return Table("[[tasks]]", keys, reasons)


def _feature_table(name: str, field: Field, group: str, *, is_history: bool) -> Table:
    keys = {"name": name, **field.keys}
    reasons = dict(field.reasons)
    reasons["name"] = reasons.pop("column")
    if keys["column"] == name:
        del keys["column"]
    if field.keys["column"] == group or (group and is_history):
        keys["side"] = "user"
        reasons["side"] = "a ranking request gives it once"
    return Table("[[features]]", keys, reasons)


def _sequence_table(name: str, read: list[str], candidate: str) -> Table:
    keys = {"name": name, "features": read, "query": [candidate], "newest": "last"}
    reasons = {
        "name": "what was like the candidate counts, and not the mean",
        "newest": 'is a guess: "first" if the newest entry stands first',
    }
    if len(read) > 1:
        reasons["features"] = "in every row these lists have one length"
    return Table("[[sequences]]", keys, reasons)
