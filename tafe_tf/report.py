"""Prints the validation AUCs of finished runs by epoch and their test metrics, or makes a page.

    python -m tafe_tf.report RUN_DIR [RUN_DIR ...]
    python -m tafe_tf.report RUN_DIR [RUN_DIR ...] --html=FILE [--by=country,price] [--day=date]
    python -m tafe_tf.report RUN_DIR [RUN_DIR ...] --figures=DIR [--day=date]

With --html the runs' test rows are predicted once, and one page that needs nothing else shows the
first run: its funnel, metrics with intervals, ROC and lift, reliability, scores, epochs, slices,
fields, importance and what its selectors do; the run before it, and the other runs beside it.
--figures writes the paper's figures of the first run as SVG files.
"""

from __future__ import annotations

import os
import pathlib

from absl import app
from absl.flags import declare_key_flag
from rich.table import Table

from tafe_tf import insight_flags, schema_toml
from tafe_tf.data.atomic import read_json
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.mirror import Mirror
from tafe_tf.terminal import command
from tafe_tf.terminal.field_shares import print_field_metrics
from tafe_tf.terminal.tables import number, print_metrics, show
from tafe_tf.training.noted_files import METRICS, NotedFiles

for _name in ("html", "by", "day", "figures"):
    declare_key_flag(_name)
_NOT_REPORTED = ("checkpoints/*", "best/*", "rows/*", "tensorboard/*", "*.keras", "*.npz")


def main(argv: list[str]) -> None:
    """Prints the tables of each run directory."""
    if len(argv) < 2:
        raise app.UsageError("give at least one run directory")
    with command.one_line_errors():
        if insight_flags.HTML.value or insight_flags.FIGURES.value:
            write_page(argv[1:])
            return
        for name, value in (("by", insight_flags.BY.value), ("day", insight_flags.DAY.value)):
            if value:
                raise command.CommandError(f"--{name} belongs to --html, which must be given")
        for directory in argv[1:]:
            report(directory)


def write_page(addresses: list[str]) -> None:
    """Writes what --html and --figures ask for.

    Args:
        addresses: The paths or URIs of the runs' directories.

    Raises:
        DataError: On a bad row, or if a column is not there.
        MissingExtra: If Jinja is not installed.
        OSError: If a file cannot be written; for a folder that is not there before any work.
        RunError: If a directory holds no finished run.
        ValueError: If there are more than six runs.
    """
    # Inside the function: it brings TensorFlow, which takes seconds and which tables do not need.
    from tafe_tf.insight.page import render
    from tafe_tf.insight.report import job

    if insight_flags.HTML.value:
        render.check_target(insight_flags.HTML.value)
    made = job.report(addresses, insight_flags.BY.value, insight_flags.DAY.value)
    if insight_flags.HTML.value:
        made.write(insight_flags.HTML.value)
        print(f"wrote {insight_flags.HTML.value}")
    if insight_flags.FIGURES.value:
        names = made.write_figures(insight_flags.FIGURES.value)
        written = f"wrote {', '.join(names)} in {insight_flags.FIGURES.value}"
        print(written if names else "no figures: only TAFE has selectors, and no --day was given")


def report(address: str | os.PathLike[str]) -> None:
    """Prints the tables of one run.

    Args:
        address: The path or URI of its directory.

    Raises:
        FileNotFoundError: If the directory holds no finished run.
        ManifestError: If its files are not those that it ended with.
        StoreError: If they lie in a store that cannot be read.
    """
    run_dir = _on_this_machine(address)
    try:
        loaded = schema_toml.load(run_dir / "schema.toml")
        files = NotedFiles(run_dir)
        files.check("schema.toml", "statistics.json")
        files.check(*METRICS)
        history = read_json(run_dir / "history.json")
        metrics = read_json(run_dir / "metrics.json")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; has the run finished?") from None
    show(history_table(history, loaded, f"{address}: validation by epoch"))
    print_metrics(metrics, loaded, f"{address}: test")
    path = run_dir / "statistics.json"
    statistics = read_json(path) if path.exists() else {}
    print_field_metrics(metrics, statistics, f"{address}: values of the test rows")


def _on_this_machine(address: str | os.PathLike[str]) -> pathlib.Path:
    """Where the files of a run are that are reported; those in a store are brought here."""
    if not is_remote(address):
        return pathlib.Path(address)
    mirror = Mirror(str(address))
    mirror.fetch(but=_NOT_REPORTED)
    return mirror.directory


def history_table(
    history: list[dict[str, float]],
    schema: Schema,
    title: str,
) -> Table:
    """Makes a table with one row a validation: seconds of training and each probability's AUC.

    Where there were validations within epochs, it has the optimizer's steps too.

    Args:
        history: Metrics of the validation rows, as in `history.json`.
        schema: The schema that the model was trained with.
        title: Text above the table.
    """
    names = [*schema.step_names, *schema.conditional_names]
    table = Table(title=title, title_justify="left")
    headers = [f"AUC {name}" for name in names]
    has_steps = any("step" in entry for entry in history)
    place = ["epoch", "step"] if has_steps else ["epoch"]
    for header in [*place, "seconds", *headers]:
        table.add_column(header, justify="right")
    for entry in history:
        numbers = [str(int(entry[name])) for name in place]
        seconds = number(entry["train_seconds"], digits=1)
        aucs = [number(entry[f"auc/{name}"]) for name in names]
        table.add_row(*numbers, seconds, *aucs)
    return table


if __name__ == "__main__":
    command.run(main)
