"""Writes docs/results.md with its figures and docs/which_model.md, from `benchmarks/records`.

    python -m benchmarks.pages docs

Run it when `benchmarks.records` has written a record, and after an edit of `docs/results_notes.md`
or `docs/which_model_notes.md`: these are written by hand, say what follows from the figures, and
come first on their pages. All that is below them comes from the records.
"""

from __future__ import annotations

import pathlib

from absl import app

from benchmarks.support import results_page, which_model_page
from tafe_tf.data.atomic import write_text
from tafe_tf.terminal import command

RECORDS = pathlib.Path(__file__).parent / "records"
FUNNELS = (  # in the order of the pages' sections and columns
    "steam",
    "hotel",
    "hillstrom",
    "diabetes",
    "synthetic",
    "synthetic_rare",
    "sample_wise_30k",
    "sample_wise",
    "sample_wise_2m",
    "flights",
)


def main(argv: list[str]) -> None:
    """Writes both pages."""
    if len(argv) != 2:
        raise app.UsageError("give the folder of the pages")
    out = pathlib.Path(argv[1])
    with command.one_line_errors():
        fewer_rows, more_rows = records("sizes")
        runs = which_model_page.Runs(
            without_a_flag=records("without_a_flag"),
            tuned=records("tuned"),
            searches=records("searches"),
            options=records("options"),
            parts=records("parts"),
            sizes=[fewer_rows, RECORDS / "without_a_flag" / "sample_wise", more_rows],
        )
        results = [results_page.section(run, out) for run in runs.without_a_flag]
        write(out, "results", "\n".join(results))
        write(out, "which_model", which_model_page.which_model(runs))


def write(out: pathlib.Path, name: str, tables: str) -> None:
    """Writes a page: its notes, and the tables below them."""
    notes = (out / f"{name}_notes.md").read_text(encoding="utf-8")
    write_text(out / f"{name}.md", f"{notes}\n{tables}")
    print(out / f"{name}.md")


def records(kind: str) -> list[pathlib.Path]:
    """The records of one kind of comparisons, in the order of the pages."""
    found = {path.name: path for path in (RECORDS / kind).iterdir()}
    unknown = found.keys() - set(FUNNELS)
    if unknown:
        raise ValueError(f"{RECORDS / kind}: FUNNELS must have {', '.join(sorted(unknown))}")
    return [found[name] for name in FUNNELS if name in found]


if __name__ == "__main__":
    command.run(main)
