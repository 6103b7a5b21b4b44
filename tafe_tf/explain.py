"""Divides the predictions of single rows among the fields, by integrated gradients.

    python -m tafe_tf.explain --run_dir=DIR --input=FILE [--row=3] [--baseline=mean]

What each field adds is said for each output: to the log odds of a probability, to the logarithm of
an amount. All of it adds up to the output of the row less that of the baseline, which is the mean
embedding of each field over the training rows, or by --baseline=missing a row in which every field
is missing. The number of steps is doubled until the sums agree, and how well they do is printed.
docs/importance.md says how to read it.
"""

from __future__ import annotations

from absl import flags as absl_flags
from absl.flags import declare_key_flag

from tafe_tf import flags
from tafe_tf.insight.importance.explain import BASELINES, explain
from tafe_tf.insight.importance.gradients import TOLERANCE
from tafe_tf.terminal import command
from tafe_tf.terminal.explanation_table import explanation_table
from tafe_tf.terminal.tables import show
from tafe_tf.training.run import load

for _name in ("run_dir", "input_format"):
    declare_key_flag(_name)

_INPUT = absl_flags.DEFINE_string(
    "input", "", "File of rows, with labels or without, or its URI in a store."
)
_ROWS = absl_flags.DEFINE_multi_integer(
    "row",
    [1],
    "Number of the row to explain, from 1. Give the flag several times for several rows. The "
    "default is the first row.",
)
_BASELINE = absl_flags.DEFINE_enum(
    "baseline",
    "mean",
    BASELINES,
    "From where the predictions are explained: mean (the default), the mean embedding of each "
    "field over the first training rows; missing, a row in which every field is missing.",
)
_TOLERANCE = absl_flags.DEFINE_float(
    "tolerance",
    TOLERANCE,
    "How far the sum of what the fields add may be from what it must be, and how much the last "
    f"doubling of the steps may change what one adds, in log odds. The default is {TOLERANCE}.",
    lower_bound=0.0,
)


def main(argv: list[str]) -> None:
    """Explains and prints; what the user can mend ends it with one line and exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        command.required(run_dir=flags.RUN_DIR.value, input=_INPUT.value)
        print_explanations()


def print_explanations() -> None:
    """What `main` does, errors aside."""
    run = load(flags.RUN_DIR.value)
    found = explain(
        run,
        _INPUT.value,
        _ROWS.value,
        baseline=_BASELINE.value,
        tolerance=_TOLERANCE.value,
        input_format=flags.given("input_format") or "",
    )
    for number, (columns, one) in zip(_ROWS.value, found, strict=True):
        values = {feature.name: columns.get(feature.column) for feature in run.schema.features}
        for sequence in run.schema.sequences:
            values[sequence.name] = values[sequence.features[0]]
        title = f"{_INPUT.value}, row {number}, from the baseline {_BASELINE.value!r}"
        show(explanation_table(title, one, values))
        worst = float(abs(one.error).max())
        print(
            f"the sums are off by {worst:.1g} at most, after {one.steps:,} steps, which differ by "
            f"{one.change:.1g} from half as many"
        )
        if max(worst, one.change) > _TOLERANCE.value:
            print(
                f"warning: that is more than --tolerance={_TOLERANCE.value:g}, as where a selector "
                "has become a step that gradients do not see"
            )


if __name__ == "__main__":
    command.run(main)
