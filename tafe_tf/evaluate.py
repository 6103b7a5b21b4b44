"""Evaluates a trained run on the rows of a split, and prints the metrics.

    python -m tafe_tf.evaluate --run_dir=DIR [--data_dir=DIR] [--split=test]
    python -m tafe_tf.evaluate --run_dir=DIR --test='DIR/dt=2026-11-*'
    python -m tafe_tf.evaluate --run_dir=DIR --by=country,price
    python -m tafe_tf.evaluate --run_dir=DIR --predictions=FILE.parquet --keys=id

Without --data_dir and --test the rows are the run's own test rows. Their metrics also go into
`<run_dir>/metrics.json`; those of other rows are only printed. A second table shows the shares of
missing and of unseen values beside those of the training rows. --batch_size is by default 4,096
here, and --on_bad_row and --max_bad_rows what they were in training. Labels that mature are judged
as of --now; by default as of when training judged them for the run's own test rows, and as of the
newest row for others.

--by measures the rows of each value of a column, also of one that is no feature, and of ranges of
numbers. It prints the worst slices: those that misplace the largest share of all outcomes. Those of
the run's own test rows go into `<run_dir>/slices.json`, all of them with all metrics.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from absl import flags as absl_flags
from absl.flags import declare_key_flag

from tafe_tf import flags, insight_flags, machine
from tafe_tf.data.atomic import write_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import Batch
from tafe_tf.insight.slices.measure import Slice, measure, worst_output
from tafe_tf.insight.slices.reading import slicings_by
from tafe_tf.native import stack
from tafe_tf.schema import Schema
from tafe_tf.terminal import command
from tafe_tf.terminal.field_shares import print_field_metrics
from tafe_tf.terminal.slice_table import add_slice, slice_table
from tafe_tf.terminal.tables import print_dropped, print_metrics, show
from tafe_tf.training import predecessor
from tafe_tf.training.noted_files import OF_TEST_ROWS, SLICES
from tafe_tf.training.noted_rows import EVALUATION_ROWS
from tafe_tf.training.prediction_file import PredictionFile
from tafe_tf.training.predictions import Predictions
from tafe_tf.training.run import load

_FLAGS = (
    *("data_dir", "train", "valid", "test", "input_format", "run_dir", "split", "batch_size"),
    *("on_bad_row", "max_bad_rows", "now", "native", "by"),
)
for _name in _FLAGS:
    declare_key_flag(_name)

_PREDICTIONS = absl_flags.DEFINE_string(
    "predictions",
    "",
    "Parquet file, or its URI, to write with the labels and the probabilities of each row. By "
    "default none is written.",
)
_KEYS = absl_flags.DEFINE_list(
    "keys",
    [],
    "Columns, comma-separated, that --predictions copies, of the schema or not. By default none.",
)
_SHOWN_SLICES = 15


def main(argv: list[str]) -> None:
    """Runs the evaluation; what the user can mend ends it with one line and exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        evaluate()


def evaluate() -> None:
    """What `main` does, errors aside."""
    command.required(run_dir=flags.RUN_DIR.value)
    split = flags.SPLIT.value
    batch_size = flags.given("batch_size") or EVALUATION_ROWS
    machine.set_threads(batch_size)
    machine.keep_freed_memory()
    run = load(flags.RUN_DIR.value)
    stack.use(run.model, flags.given("native") or "auto")
    bad_rows = run.directory.rows.bad_rows()
    policy = flags.given("on_bad_row") or bad_rows.policy
    bad_rows = BadRows(policy, flags.given("max_bad_rows") or bad_rows.most)
    sources = flags.sources()
    if sources.are_given:
        files = list(sources.find_split(split))
    else:
        files = run.directory.rows.test_files()
    now = flags.given("now")
    is_test = split == "test" and not now and run.directory.rows.is_test(files)
    if is_test:
        now = run.directory.rows.now
    data = run.data(files, batch_size, bad_rows, now=now)
    columns = insight_flags.BY.value
    slicings = slicings_by(data, columns) if columns else []  # a wrong name is found at once
    seen = Predictions(run.schema, keeps_group=True)
    file = None
    if _PREDICTIONS.value:
        file = PredictionFile(_PREDICTIONS.value, run.schema, _KEYS.value)

    def keep(outputs: np.ndarray, batch: Batch) -> bool:
        if slicings:
            seen.add(outputs, batch)
        if file is not None:
            file.add(outputs, batch)
        return True

    with run.directory.locked() if is_test else contextlib.nullcontext():
        metrics = run.evaluate(files, batch_size, bad_rows, now=now, also=keep)
        print_metrics(metrics, run.schema, f"{run.schema.name}, {split}")
        print_field_metrics(metrics, run.directory.statistics(), f"values of the {split} rows")
        found = measure(seen.arrays(), slicings, run.schema) if slicings else []
        if found:
            print_slices(found, run.schema)
        if is_test:
            written = (*OF_TEST_ROWS, SLICES) if found else OF_TEST_ROWS
            run.directory.files.forget(*written)
            write_json(run.path / "metrics.json", metrics)
            predecessor.compare(run.directory, metrics, data)
            if found:
                write_json(run.path / SLICES, [one.as_json() for one in found])
            run.directory.files.note(*written)
            if found:
                print(f"wrote {run.directory}/{SLICES}: all {len(found):,} slices")
    if split == "test" and not is_test:
        print(
            "these are not the test rows of training, or not as it judged them: "
            f"{run.directory}/metrics.json stays as it was"
        )
    print_dropped(bad_rows)
    if file is not None:
        count = file.write(data)
        print(f"wrote {_PREDICTIONS.value}: {count:,} rows")


def print_slices(found: Sequence[Slice], schema: Schema) -> None:
    """Prints the worst slices.

    Args:
        found: All slices, the worst first.
        schema: Of the rows.
    """
    columns = ", ".join(insight_flags.BY.value)
    table = slice_table(f"the worst of {len(found):,} slices by {columns}")
    for one in found[:_SHOWN_SLICES]:
        output = worst_output(one, schema)
        add_slice(
            table,
            f"{one.column} = {one.value}",
            output,
            one.metrics,
            one.intervals,
            one.misplaced.get(output),
        )
    show(table)


if __name__ == "__main__":
    command.run(main)
