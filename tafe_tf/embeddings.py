"""Writes the rows that a trained run has learned for one field, as Parquet by id.

    python -m tafe_tf.embeddings RUN --field=item --out=items.parquet

RUN is a run's directory or its URI in a store. The file has the columns `id`, the value as the
field's column holds it (of kinds "hash", "log_round" and "quantile" the bucket), `row_of` ("value",
or "unseen" or "missing" for the row of such values, which has no id) and `vector`, a list of
float32 numbers. A schema takes it again as `pretrained`, and its rows then start with these very
numbers.
"""

from __future__ import annotations

import pathlib

import pyarrow.parquet as pq
from absl.flags import DEFINE_integer, DEFINE_string

from tafe_tf.data.atomic import replacing
from tafe_tf.storage.addresses import is_remote
from tafe_tf.terminal import command
from tafe_tf.training.embeddings import rows_of_field
from tafe_tf.training.run_dir import RunDir

_FIELD = DEFINE_string("field", "", "The field whose rows are written.")
_OUT = DEFINE_string("out", "", "The Parquet file to write, or its URI in a store.")
_TABLE = DEFINE_integer(
    "table",
    0,
    "Which of the model's tables, from 0: single_task has one for each task, the others have one.",
)
_GROUP = 1 << 16  # rows of a row group


def main(argv: list[str]) -> None:
    """Writes the file; what the user can mend ends it with one line and exit code 1."""
    with command.one_line_errors():
        address = command.one_argument(argv, "the run's directory")
        command.required(field=_FIELD.value, out=_OUT.value)
        print(write(address, _FIELD.value, _OUT.value, _TABLE.value))


def write(address: str, field: str, out: str, table: int = 0) -> str:
    """Writes the rows of one field of a run.

    Args:
        address: The run's directory, or its URI.
        field: The field's name.
        out: The file, which appears whole or not at all; or its URI.
        table: Which of the model's tables, from 0. Default: 0.

    Returns:
        What was written, as one line.

    Raises:
        RunError: See `rows_of_field`.
        OSError: If the file cannot be written.
        StoreError: If a store cannot be read, or does not take the file.
    """
    rows = rows_of_field(RunDir(address), field, table)
    if not is_remote(out):
        pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        pq.write_table(rows, temporary, row_group_size=_GROUP)
    dim = rows["vector"].type.list_size
    return f"{out}: {len(rows):,} rows of field {field!r}, {dim} numbers each"


if __name__ == "__main__":
    command.run(main)
