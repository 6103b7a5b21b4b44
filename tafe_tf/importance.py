"""Measures how much a trained model loses without each field, and prints the largest losses first.

    python -m tafe_tf.importance --run_dir=DIR [--rows=N] [--repeats=K]
    python -m tafe_tf.importance --run_dir=DIR --fields=user,item+category
    python -m tafe_tf.importance --run_dir=DIR --data_dir=DIR [--split=test]

Each field's values change places among the rows, which leaves the field's distribution as it was
and takes from it what it says of its row. By how much the AUC of each step and conditional is then
smaller, and its log loss larger, is printed with 95 % intervals. Fields with "+" between them are
permuted together. Without --data_dir and --test the rows are the run's own test rows; what all
fields are worth on them also goes into `<run_dir>/importance.json`, what the fields of --fields are
worth is only printed. docs/importance.md says how to read it.
"""

from __future__ import annotations

from absl import flags as absl_flags
from absl.flags import declare_key_flag

from tafe_tf import flags, machine
from tafe_tf.insight.importance.job import SAMPLE, importance
from tafe_tf.insight.importance.measure import REPEATS
from tafe_tf.terminal import command
from tafe_tf.terminal.importance_table import add_effect, importance_table
from tafe_tf.terminal.tables import show
from tafe_tf.training.noted_rows import EVALUATION_ROWS
from tafe_tf.training.run import load

for _name in ("data_dir", "train", "valid", "test", "input_format", "run_dir", "split"):
    declare_key_flag(_name)
declare_key_flag("batch_size")

_ROWS = absl_flags.DEFINE_integer(
    "rows",
    SAMPLE,
    "At most so many rows are taken, always the same sample, and held in memory as the model's "
    f"inputs; 0 for all rows. The default is {SAMPLE:,}.",
    lower_bound=0,
)
_REPEATS = absl_flags.DEFINE_integer(
    "repeats",
    REPEATS,
    f"How many permutations of each field are averaged. The default is {REPEATS}.",
    lower_bound=1,
)
_FIELDS = absl_flags.DEFINE_list(
    "fields",
    [],
    "Fields to permute, comma-separated; those with + between them together. By default each one.",
)


def main(argv: list[str]) -> None:
    """Measures and prints; what the user can mend ends it with one line and exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        measure()


def measure() -> None:
    """What `main` does, errors aside."""
    command.required(run_dir=flags.RUN_DIR.value)
    batch_size = flags.given("batch_size") or EVALUATION_ROWS
    machine.set_threads(batch_size)
    machine.keep_freed_memory()
    run = load(flags.RUN_DIR.value)
    sources = flags.sources()
    rows = list(sources.find_split(flags.SPLIT.value)) if sources.are_given else None
    found = importance(
        run,
        rows,
        fields=_FIELDS.value,
        sample=_ROWS.value,
        repeats=_REPEATS.value,
        batch_size=batch_size,
    )
    table = importance_table(
        f"{run.schema.name}: what {found.rows:,} rows lose by {found.repeats} permutations of a "
        "field, in the mean"
    )
    for effect in found.fields:
        add_effect(table, effect.as_json())
    show(table)


if __name__ == "__main__":
    command.run(main)
