"""Evaluates a trained run on held-out rows and writes `<run_dir>/metrics.json`.

python -m tafe_tf.evaluate --run_dir=DIR --data_dir=DIR [--split=test]
"""

from __future__ import annotations

from absl.flags import declare_key_flag

from tafe_tf import flags, machine
from tafe_tf.data.atomic import write_json
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.formats.read import find_files
from tafe_tf.terminal import command
from tafe_tf.terminal.tables import print_dropped, print_metrics
from tafe_tf.training import predecessor
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.run import EVALUATION_ROWS
from tafe_tf.training.run_dir import RunDir

for _name in ("data_dir", "run_dir", "split", "batch_size", "on_bad_row"):
    declare_key_flag(_name)


def main(argv: list[str]) -> None:
    """Runs the evaluation; what the user can mend ends it with one line and exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        evaluate()


def evaluate() -> None:
    """What `main` does, errors aside."""
    command.required(data_dir=flags.DATA_DIR.value, run_dir=flags.RUN_DIR.value)
    run = RunDir(flags.RUN_DIR.value)
    split = flags.SPLIT.value
    bad_rows = flags.bad_rows()
    batch_size = flags.given("batch_size") or EVALUATION_ROWS
    machine.set_threads(batch_size)
    machine.keep_freed_memory()
    model = run.load_best()
    data = FunnelData(
        files=find_files(flags.DATA_DIR.value, split),
        schema=run.schema(),
        batch_size=batch_size,
        bad_rows=bad_rows,
    )
    metrics = Evaluator(model, run.features()).evaluate(data)
    metrics["parameters"] = model.count_params()
    if split == "test":
        write_json(run.path / "metrics.json", metrics)
    print_metrics(metrics, data.schema, f"{data.schema.name}, {split}")
    if split == "test":
        predecessor.compare(run, metrics, data)
    print_dropped(bad_rows)


if __name__ == "__main__":
    command.run(main)
