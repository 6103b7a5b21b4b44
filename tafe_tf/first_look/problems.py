"""All problems of files that would stop training, not only the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from tafe_tf.data.bad_rows import BadRows, Dropped
from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.formats.file_kinds import format_of
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.read import BLOCK_ROWS, read_blocks
from tafe_tf.first_look.raw import RawRows
from tafe_tf.schema import Feature, Schema, SchemaError, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileProblems:
    """What is wrong with the files of one split.

    Attributes:
        errors: What stops training whatever `--on_bad_row` says, each with its file.
        bad_rows: The rows that break a rule: one entry for each file, column and rule. Those that
            the schema's `order` drops or repairs are among them.
        rows: How many rows were read.
        bad: How many different rows among them are bad, and not by the schema's `order`.
    """

    errors: tuple[str, ...]
    bad_rows: tuple[Dropped, ...]
    rows: int
    bad: int


def column_errors(
    path: str,
    table: pa.Table,
    schema: Schema,
    elsewhere: Collection[str] = (),
) -> tuple[list[str], set[str]]:
    """Finds the columns of a file that the schema cannot read.

    Args:
        path: The file, for messages.
        table: Its first rows, with all of its columns as the file has them.
        schema: What would be read.
        elsewhere: The columns of the other files of the split. A TFRecord file may lack one of
            them, whose values are all missing there. Default: none.

    Returns:
        An error for each such column, and their names.
    """
    errors: list[str] = []
    broken: set[str] = set()
    if not table.num_rows:  # an empty part may have any columns
        return errors, broken
    inputs = {column.name for column in schema.columns}
    for name in dict.fromkeys([*inputs, *schema.labels]):
        is_rare = name in elsewhere and name not in table.schema.names
        if is_rare and format_of(path) == ".tfrecord":
            continue
        try:
            check_columns(path, [name], table.schema.names)
            _convert(path, table.select([name]), schema, name in inputs)
        except DataError as error:
            errors.append(str(error))
            broken.add(name)
    return sorted(errors), broken


def _convert(
    path: str,
    table: pa.Table,
    schema: Schema,
    is_input: bool,
) -> None:
    """Reads one column, to see whether it can be read."""
    (name,) = table.schema.names
    columns: list[str] | None = [name]
    if not is_input:  # labels are read beside features only
        place = Feature(name="place", column="place of the row", kind="integer", size=1)
        task = next(task for task in schema.tasks if task.column == name)
        task = dataclasses.replace(task, truth="", via="", weight_column="", matures_after="")
        table = table.append_column(place.column, pa.array([0] * len(table)))
        schema = Schema(name="label", features=(place,), tasks=(task,), missing=schema.missing)
        columns = None
    for _ in read_blocks(
        [ArrowRows(path, table)],
        schema,
        bad_rows=BadRows("drop"),
        columns=columns,
    ):
        pass


def without_columns(schema: Schema, broken: set[str]) -> Schema | None:
    """The schema without what reads some columns; None if nothing is left to read."""
    features = [
        feature
        for feature in schema.features
        if not broken & {column.name for column in feature.columns}
    ]
    if not any(feature.has_ids for feature in features):
        return None
    names = {feature.name for feature in features}
    sequences = [
        sequence
        for sequence in schema.sequences
        if names.issuperset((*sequence.features, *sequence.query))
    ]
    tasks: list[Task] = []
    for task in schema.tasks:
        if task.column in broken:
            continue
        truth = "" if task.truth in broken else task.truth
        via: tuple[str, ...] = ()
        if tasks:  # no action comes before the first step
            via = tuple(name for name in task.actions if name not in broken)
        kept = dataclasses.replace(task, truth=truth, via=via)
        if task.weight_column in broken:
            kept = dataclasses.replace(kept, weight_column="")
        if schema.time in broken:
            kept = dataclasses.replace(kept, matures_after="")
        tasks.append(kept)
    roles: dict[str, Any] = {}
    for key in ("sample_weight", "group", "time"):
        name = getattr(schema, key)
        roles[key] = "" if name in broken else name
    if schema.amount is not None:
        has_last = bool(tasks) and tasks[-1].name == schema.tasks[-1].name
        if schema.amount.column in broken or not has_last:
            roles["amount"] = None
    roles["score"] = None  # which no row has
    try:
        return dataclasses.replace(
            schema,
            features=tuple(features),
            sequences=tuple(sequences),
            tasks=tuple(tasks),
            **roles,
        )
    except SchemaError:
        return None


def file_problems(
    files: Sequence[str],
    schema: Schema,
    max_rows: int,
) -> FileProblems:
    """Reads files as training does, notes all bad rows, and goes on after a file that fails.

    Args:
        files: The files of one split.
        schema: What to read of them.
        max_rows: How many rows to read at most; the last block is read to its end.
    """
    noted = BadRows("drop")
    errors: list[str] = []
    rows = 0
    left = list(files)
    block_rows = min(BLOCK_ROWS, max_rows)
    while left and rows < max_rows:
        try:
            for block in read_blocks(
                left,
                schema,
                bad_rows=noted,
                block_rows=block_rows,
                split=files if len(left) < len(files) else None,
            ):
                rows += block.raw_rows
                if rows >= max_rows:
                    break
            break
        except DataError as error:
            errors.append(str(error))
            left = _after(left, str(error))
    return FileProblems(
        errors=tuple(errors),
        bad_rows=tuple(noted.reasons()),
        rows=rows,
        bad=noted.count - sum(reason.rows for reason in noted.reasons() if by_order(reason)),
    )


def split_problems(
    rows: RawRows,
    files: Sequence[str],
    schema: Schema,
    max_rows: int,
) -> tuple[list[str], FileProblems | None]:
    """Finds what is wrong with the files of a split: first their columns, then the rows of others.

    Args:
        rows: The first rows of some of the files, which tell their columns.
        files: All files of the split.
        schema: What to read of them.
        max_rows: How many rows to read at most.

    Returns:
        All errors, and what was found in the rows; None if no column is left to read.
    """
    errors: list[str] = []
    broken: set[str] = set()
    for path, table in rows.heads.items():
        of_file, names = column_errors(path, table, schema, rows.names)
        errors += of_file
        broken |= names
    readable = without_columns(schema, broken)
    if readable is None:
        return [*errors, *rows.problems], None
    found = file_problems(files, readable, max_rows)
    return [*errors, *found.errors], found


def by_order(reason: Dropped) -> bool:
    """Whether the schema says what to do with such rows, so that they stop nothing."""
    return reason.verdict not in ("dropped", "repaired")


def _after(files: Sequence[str], error: str) -> list[str]:
    """The files after the one that an error names; none if it names none."""
    for index, path in enumerate(files):
        if error.startswith(f"{path}:"):
            return list(files[index + 1 :])
    return []


def merged(bad_rows: Sequence[Dropped]) -> list[Dropped]:
    """Bad rows by column and rule, of all files together, with the first place."""
    found: dict[tuple[str, str, str], Dropped] = {}
    for reason in bad_rows:
        key = (reason.column, reason.rule, reason.verdict)
        known = found.get(key)
        if known is not None:
            reason = dataclasses.replace(known, rows=known.rows + reason.rows)
        found[key] = reason
    return list(found.values())
