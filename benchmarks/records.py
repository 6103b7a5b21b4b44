"""Keeps what the pages of results are made of, small enough for a repository.

    python -m benchmarks.records benchmarks/records/without_a_flag runs/compare/steam ...
    python -m benchmarks.pages docs

The first command keeps records, of which the second makes docs/results.md and docs/which_model.md.
A record has the directory's name, the schema, the rows, rates and vocabularies of the training
rows, and `compare.json` without the values of single seeds and without what is said of the data's
columns, with nine digits of a figure. The record of a search has the `tune.json` that
`tafe_tf.tune` left. Prints each record's size.
"""

from __future__ import annotations

import pathlib
from typing import Any

from absl import app

from tafe_tf.data.atomic import read_json, write_json, write_text
from tafe_tf.storage.texts import read_text
from tafe_tf.terminal import command

_OF_DATA = ("rows", "rate", "vocabulary")  # statistics that the pages show
_OF_A_SEARCH = "tune.json"
_OF_COLUMNS = ("values/", "missing/", "unseen/")  # metrics of the data, the same for all models


def main(argv: list[str]) -> None:
    """Writes the records."""
    if len(argv) < 3:
        raise app.UsageError("give the folder to write to and the run directories of comparisons")
    folder = pathlib.Path(argv[1])
    runs = [pathlib.Path(path).resolve() for path in argv[2:]]
    if len({run.name for run in runs}) < len(runs):
        raise app.UsageError("a record has its run directory's name: give each name once")
    with command.one_line_errors():
        for run in runs:
            keep(run, folder / run.name)
            files = (path for path in (folder / run.name).rglob("*") if path.is_file())
            size = sum(path.stat().st_size for path in files)
            print(f"{folder / run.name}: {size:,} bytes")


def keep(run: pathlib.Path, record: pathlib.Path) -> None:
    """Writes the record of one comparison or search."""
    if (run / _OF_A_SEARCH).exists():
        found = read_json(run / _OF_A_SEARCH)
        record.mkdir(parents=True, exist_ok=True)
        write_json(record / _OF_A_SEARCH, found)
        return
    schema = read_text(run / "prepared" / "schema.toml")
    all_statistics = read_json(run / "prepared" / "statistics.json")
    statistics = {key: all_statistics[key] for key in _OF_DATA}
    figures = shortened(read_json(run / "compare.json"))
    # All is read before anything is written: half of another record would be none of both.
    prepared = record / "prepared"
    prepared.mkdir(parents=True, exist_ok=True)
    write_text(prepared / "schema.toml", schema)
    write_json(prepared / "statistics.json", statistics)
    write_json(record / "compare.json", figures)


def shortened(figures: Any) -> Any:
    """Figures of any nesting without those of seeds and columns, and with nine digits each.

    Example:
        >>> auc = {"mean": 0.123456789123, "sd": None, "values": [0.1, 0.2]}
        >>> shortened({"auc/ctr": auc, "missing/price": {"mean": 0.0}})
        {'auc/ctr': {'mean': 0.123456789, 'sd': None}}
    """
    if isinstance(figures, dict):
        kept = {}
        for name, value in figures.items():
            if name != "values" and not name.startswith(_OF_COLUMNS):
                kept[name] = shortened(value)
        return kept
    if isinstance(figures, list):
        return [shortened(value) for value in figures]
    return float(f"{figures:.9g}") if isinstance(figures, float) else figures


if __name__ == "__main__":
    command.run(main)
