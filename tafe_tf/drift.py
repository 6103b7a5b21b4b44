"""Compares the rows of today, or what a server answered, with the rows that a model learned from.

    python -m tafe_tf.drift RUN LOG [LOG ...]
    python -m tafe_tf.drift models/shop served/ --html=drift.html
    python -m tafe_tf.drift models/shop/3 served/ --json > drift.json
    python -m tafe_tf.drift runs/shop 'data/dt=2026-11-*'

RUN is the directory of a run, of a version of an export, or of versions, of which the highest one
is taken. What follows are files or folders of a
request log, which `Client(log=...)` and `tafe serve --request_log_dir` write, or files of rows in
any format that training reads. They need no labels.

Prints for each field the shares of missing and unseen values, the L-infinity distance and the
Jensen-Shannon divergence from the training rows, and for each output the population stability index
of its scores. The exit code is 0 without drift, 3 with drift, and 1 if something is wrong.
"""

from __future__ import annotations

import contextlib
import json
import sys

from absl import flags as absl_flags
from absl.flags import declare_key_flag

from tafe_tf import flags, insight_flags, machine
from tafe_tf.insight.drift.compare import Drift, Thresholds
from tafe_tf.insight.drift.job import find_drift
from tafe_tf.insight.drift.page import write_page
from tafe_tf.insight.drift.table import print_drift
from tafe_tf.insight.page.render import check_target
from tafe_tf.terminal import command

for _name in ("input_format", "html", "json"):
    declare_key_flag(_name)

DRIFT = 3  # the exit code; 1 and 2 are those of errors

_MISSING = absl_flags.DEFINE_float(
    "max_missing",
    Thresholds.missing,
    "How far the share of rows without a value may be from training's.",
    0.0,
    1.0,
)
_UNSEEN = absl_flags.DEFINE_float(
    "max_unseen",
    Thresholds.unseen,
    "How far the share of unseen values may be from training's.",
    0.0,
    1.0,
)
_L_INFINITY = absl_flags.DEFINE_float(
    "max_l_infinity",
    Thresholds.l_infinity,
    "How far the share of any value, or of any length of a list, may be from training's.",
    0.0,
    1.0,
)
_JENSEN_SHANNON = absl_flags.DEFINE_float(
    "max_jensen_shannon",
    Thresholds.jensen_shannon,
    "The largest Jensen-Shannon divergence of a column of numbers, in bits.",
    0.0,
    1.0,
)
_PSI = absl_flags.DEFINE_float(
    "max_psi",
    Thresholds.psi,
    "The largest population stability index of an output's scores.",
    0.0,
)


def main(argv: list[str]) -> None:
    """Compares, and ends with the exit code for what was found."""
    with command.one_line_errors():
        drift = _drift(argv[1:])
    if drift.found:
        sys.exit(DRIFT)


def _drift(arguments: list[str]) -> Drift:
    """What `main` does, errors and exit code aside."""
    if len(arguments) < 2:
        received = " ".join(arguments) or "none"
        rule = "two arguments or more must be given: a run or an export, and rows"
        raise command.CommandError(f"{rule}. Received: {received}")
    if insight_flags.HTML.value:
        check_target(insight_flags.HTML.value)
    machine.keep_freed_memory()
    model, *sources = arguments
    thresholds = Thresholds(
        missing=_MISSING.value,
        unseen=_UNSEEN.value,
        l_infinity=_L_INFINITY.value,
        jensen_shannon=_JENSEN_SHANNON.value,
        psi=_PSI.value,
    )
    # JSON stands alone: whatever else is said goes beside it.
    said = sys.stderr if insight_flags.JSON.value else sys.stdout
    with contextlib.redirect_stdout(said):
        drift = find_drift(model, sources, thresholds, flags.given("input_format") or "")
    if insight_flags.JSON.value:
        print(json.dumps(drift.as_json(), indent=2))
    else:
        print_drift(drift, model)
    if insight_flags.HTML.value:
        write_page(insight_flags.HTML.value, drift, model, f"tafe drift {' '.join(arguments)}")
    return drift


if __name__ == "__main__":
    command.run(main)
