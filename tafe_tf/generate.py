"""Writes a synthetic funnel whose true probabilities are known: train and test rows and their schema.

python -m tafe_tf.generate --data_dir=DIR
"""

from __future__ import annotations

import pathlib
import sys

from absl import app, flags

from tafe_tf import schema_toml
from tafe_tf.data.atomic import write_text
from tafe_tf.data.public.synthetic import SyntheticFunnel

_DATA_DIR = flags.DEFINE_string("data_dir", "", "Where train, test and schema.toml are written.")
_ROWS = flags.DEFINE_integer("train_rows", 300_000, "Training rows.", lower_bound=1)
_TEST_ROWS = flags.DEFINE_integer("test_rows", 100_000, "Test rows.", lower_bound=1)
_TASKS = flags.DEFINE_list("tasks", ["click", "conversion"], "The funnel's steps, in order.")
_RATES = flags.DEFINE_list("rates", ["0.2", "0.05"], "Share of all rows that reach each step.")
_FIELDS = flags.DEFINE_integer("fields", 6, "Number of fields.", lower_bound=1)
_VALUES = flags.DEFINE_integer("values", 20, "Values of each field.", lower_bound=1)
_INTERACTION = flags.DEFINE_float(
    "interaction", 0.25, "Strength of the fields' interactions.", lower_bound=0.0
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of effects and rows.")
_FORMAT = flags.DEFINE_enum(
    "format", "csv", ["csv", "csv.gz", "parquet", "tfrecord", "tfrecord.gz"], "File format."
)


def main(argv: list[str]) -> None:
    """Writes the files."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    if not _DATA_DIR.value:
        raise app.UsageError("--data_dir must be given")
    try:
        rates = [float(rate) for rate in _RATES.value]
        sizes = (_FIELDS.value, _VALUES.value, _INTERACTION.value)
        funnel = SyntheticFunnel(_TASKS.value, rates, *sizes, seed=_SEED.value)
    except ValueError as error:
        sys.exit(f"error: {error}")
    directory = pathlib.Path(_DATA_DIR.value)
    directory.mkdir(parents=True, exist_ok=True)
    for stream, (split, rows) in enumerate([("train", _ROWS.value), ("test", _TEST_ROWS.value)]):
        path = directory / f"{split}.{_FORMAT.value}"
        funnel.write(path, rows, stream)
        print(f"{path}: {rows:,} rows of {_FIELDS.value} fields, {' -> '.join(_TASKS.value)}")
    write_text(directory / "schema.toml", schema_toml.dump(funnel.schema()))


if __name__ == "__main__":
    app.run(main)
