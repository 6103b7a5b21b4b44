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
# In the order of the pages' sections and columns.
FUNNELS = (
    "steam",
    "hotel",
    "hillstrom",
    "diabetes",
    "synthetic",
    "synthetic_rare",
    "sample_wise",
    "flights",
)
SEARCHED = ("steam", "hotel", "hillstrom", "diabetes", "sample_wise")
WITH_OPTIONS = ("steam", "hotel", "hillstrom", "diabetes")
WITHOUT_PARTS = (
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
        runs = which_model_page.Runs(
            without_a_flag=records("without_a_flag", *FUNNELS),
            tuned=records("tuned", *SEARCHED),
            searches=records("searches", *SEARCHED),
            options=records("options", *WITH_OPTIONS),
            parts=records("parts", *WITHOUT_PARTS),
            sizes=[
                *records("sizes", "sample_wise_30k"),
                *records("without_a_flag", "sample_wise"),
                *records("sizes", "sample_wise_2m"),
            ],
        )
        results = [results_page.section(run, out) for run in runs.without_a_flag]
        write(out, "results", "\n".join(results))
        write(out, "which_model", which_model_page.which_model(runs))


def write(out: pathlib.Path, name: str, tables: str) -> None:
    """Writes a page: its notes, and the tables below them."""
    notes = (out / f"{name}_notes.md").read_text(encoding="utf-8")
    write_text(out / f"{name}.md", f"{notes}\n{tables}")
    print(out / f"{name}.md")


def records(kind: str, *names: str) -> list[pathlib.Path]:
    """The records of one kind of comparisons."""
    return [RECORDS / kind / name for name in names]


if __name__ == "__main__":
    command.run(main)
