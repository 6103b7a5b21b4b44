"""Writes a synthetic funnel, with a schema, whose true probabilities are known.

    python -m tafe_tf.generate --data_dir=DIR
    python -m tafe_tf.generate --data_dir=DIR --interactions=sample_wise
    python -m tafe_tf.generate --data_dir=DIR --interactions=history
    python -m tafe_tf.generate --data_dir=DIR --delay_days=2

The same flags write the same bytes.
"""

from __future__ import annotations

import pathlib
from typing import Any

from absl import flags

from tafe_tf import schema_toml
from tafe_tf.data.atomic import write_text
from tafe_tf.data.public.delay_law import DelayLaw
from tafe_tf.data.public.history import HistoryFunnel
from tafe_tf.data.public.sample_wise import SampleWiseFunnel
from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.terminal import command

_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "Folder where train.EXT, test.EXT and schema.toml are written; it is made if it is not there. "
    "Required.",
)
_ROWS = flags.DEFINE_integer(
    "train_rows", 300_000, "Number of rows in the training file.", lower_bound=1
)
_TEST_ROWS = flags.DEFINE_integer(
    "test_rows", 100_000, "Number of rows in the test file.", lower_bound=1
)
_TASKS = flags.DEFINE_list(
    "tasks", ["click", "conversion"], "Names of the funnel's steps, in order, comma-separated."
)
_RATES = flags.DEFINE_list(
    "rates",
    ["0.2", "0.05"],
    "Share of all rows that reach each of --tasks: decreasing numbers between 0 and 1, "
    "comma-separated.",
)
_INTERACTIONS = flags.DEFINE_enum(
    "interactions",
    "fixed",
    ["fixed", "sample_wise", "history"],
    "Which fields interact. fixed: each field with the next, in every row. sample_wise: the value "
    "of the first field puts a row into one of --segments segments, and each segment has "
    "--pairs pairs of fields that interact there and nowhere else. history: no fields interact, "
    "but each step depends on whether the item is like one of the user's last ten items.",
)
_FIELDS = flags.DEFINE_integer(
    "fields",
    None,
    "Number of fields of a row; even ones hold strings, odd ones integers. Default: 6, 12 with "
    "--interactions=sample_wise, and with --interactions=history 4 beside item and history.",
    lower_bound=1,
)
_VALUES = flags.DEFINE_integer(
    "values", 20, "Number of different values that each field can have.", lower_bound=1
)
_INTERACTION = flags.DEFINE_float(
    "interaction",
    None,
    "How strongly fields interact: the standard deviation of an interaction's two factors in the "
    "logit, where a single value's effect has 0.5. Default: 0.25, and 0.8 with "
    "--interactions=sample_wise. With --interactions=history, how much higher the logit is where "
    "the item is like one of the last ten; default: 2.5.",
    lower_bound=0.0,
)
_SEGMENTS = flags.DEFINE_integer(
    "segments",
    None,
    "With --interactions=sample_wise, the number of segments of rows, at most --values. "
    "Default: 4.",
    lower_bound=1,
)
_PAIRS = flags.DEFINE_integer(
    "pairs",
    None,
    "With --interactions=sample_wise, the number of pairs of fields that interact in a segment. "
    "Default: 6.",
    lower_bound=0,
)
_DELAY_DAYS = flags.DEFINE_float(
    "delay_days",
    None,
    "Mean of how many days the last step comes after its row, exponentially distributed. The files "
    "are then a log as it stands at its end, with a column of times, and final_TASK holds the last "
    "label as it will be. By default all labels are final.",
)
_WINDOW_DAYS = flags.DEFINE_integer(
    "window_days",
    None,
    "With --delay_days, the most days that the last step comes after its row; the schema's "
    f"matures_after. Default: {DelayLaw.window_days}.",
)
_LOG_DAYS = flags.DEFINE_integer(
    "log_days",
    None,
    f"With --delay_days, how many days the log is long. Default: {DelayLaw.log_days}.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the probabilities and of the rows.")
_FORMAT = flags.DEFINE_enum(
    "format",
    "csv",
    ["csv", "csv.gz", "parquet", "tfrecord", "tfrecord.gz"],
    "Format and extension of the two files.",
)


def main(argv: list[str]) -> None:
    """Writes the files."""
    command.only_flags(argv)
    with command.one_line_errors():
        command.required(data_dir=_DATA_DIR.value)
        funnel = _funnel()
        _write(funnel, pathlib.Path(_DATA_DIR.value))


def _funnel() -> SyntheticFunnel:
    """The funnel that the flags ask for."""
    of_segments = _given(segments=_SEGMENTS.value, pairs=_PAIRS.value)
    arguments: dict[str, Any] = {
        "tasks": _TASKS.value,
        "rates": _rates(_RATES.value),
        "values": _VALUES.value,
        "seed": _SEED.value,
        "delay": _delay(),
        **_given(fields=_FIELDS.value, interaction=_INTERACTION.value),
    }
    if _INTERACTIONS.value == "sample_wise":
        return SampleWiseFunnel(**arguments, **of_segments)
    for name, value in of_segments.items():
        rule = f"--{name} needs --interactions=sample_wise"
        received = f"--interactions={_INTERACTIONS.value}, --{name}={value}"
        raise command.CommandError(f"{rule}. Received: {received}")
    if _INTERACTIONS.value == "history":
        return HistoryFunnel(**arguments)
    return SyntheticFunnel(**arguments)


def _delay() -> DelayLaw | None:
    """How late the last step comes, if the flags ask for it."""
    others = _given(window_days=_WINDOW_DAYS.value, log_days=_LOG_DAYS.value)
    if _DELAY_DAYS.value is not None:
        return DelayLaw(mean_days=_DELAY_DAYS.value, **others)
    for name, value in others.items():
        raise command.CommandError(f"--{name} needs --delay_days. Received: --{name}={value}")
    return None


def _given(**values: Any) -> dict[str, Any]:
    """The flags that were given; the others have the funnel's own defaults."""
    return {name: value for name, value in values.items() if value is not None}


def _rates(texts: list[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError:
        received = ",".join(texts)
        raise command.CommandError(f"--rates must be numbers. Received: {received}") from None


def _write(funnel: SyntheticFunnel, directory: pathlib.Path) -> None:
    schema = schema_toml.dump(funnel.schema())  # first, because it checks the names of the tasks
    directory.mkdir(parents=True, exist_ok=True)
    for stream, (split, rows) in enumerate([("train", _ROWS.value), ("test", _TEST_ROWS.value)]):
        path = directory / f"{split}.{_FORMAT.value}"
        funnel.write(path, rows, stream)
        print(f"{path}: {rows:,} rows of {funnel.fields} fields, {' -> '.join(funnel.tasks)}")
    schema_file = directory / "schema.toml"
    write_text(schema_file, schema)
    print(f"{schema_file}: their schema")


if __name__ == "__main__":
    command.run(main)
