"""The report of runs as a page, and the paper's figures as files."""

from __future__ import annotations

import dataclasses
import html
import os
import pathlib
from collections.abc import Mapping, Sequence

from tafe_tf.data.atomic import write_text
from tafe_tf.insight.figures.charts import Figures, write_figures
from tafe_tf.insight.page.parts import MOST_SERIES, Section, Text
from tafe_tf.insight.page.render import check_installed, render
from tafe_tf.insight.report import beside, described, figures, measured
from tafe_tf.insight.report.seen import Seen, look_at
from tafe_tf.training.run import Run, load


@dataclasses.dataclass(frozen=True)
class Report:
    """A page of runs; a notebook shows it.

    Attributes:
        html: The page.
        figures: The paper's figures in it, by name.
    """

    html: str
    figures: Figures

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the page, which appears whole or not at all.

        Args:
            path: Of the file, or its URI.

        Raises:
            OSError: If it cannot be written.
        """
        write_text(path if isinstance(path, str) else pathlib.Path(path), self.html)

    def write_figures(self, folder: str | os.PathLike[str]) -> list[str]:
        """Writes the paper's figures as SVG files, and returns their names.

        Args:
            folder: Where; it is made if it is not there.

        Raises:
            OSError: If a file cannot be written.
        """
        return write_figures(pathlib.Path(folder), self.figures)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its styles stay inside."""
        page = html.escape(self.html, quote=True)
        style = "width:100%;height:85vh;border:1px solid #999"
        return f'<iframe title="report" style="{style}" srcdoc="{page}"></iframe>'


def report(
    runs: Sequence[str | os.PathLike[str] | Run],
    by: Sequence[str] = (),
    day: str = "",
) -> Report:
    """Makes the report of a run, with others beside it.

    The test rows of each run are predicted once. Where they are gone, the page says which sections
    are missing.

    Args:
        runs: The run, and others, at most six in all: `Run`s, or their paths or URIs.
        by: Columns by whose values the first run's test rows are measured. Default: none, which
            takes what `tafe evaluate --by` has left in the run.
        day: A column with the day of each test row, for the lift by day over the second run, or
            over the run before. Default: none.

    Raises:
        DataError: On a bad row, or if a column is not there.
        MissingExtra: If Jinja is not installed.
        RunError: If a directory holds no finished run.
        ValueError: If there is no run, or more than six.
    """
    check_installed()
    if not 1 <= len(runs) <= MOST_SERIES:
        rule = f"1 to {MOST_SERIES} runs can be on a page"
        raise ValueError(f"{rule}. Received: {len(runs)}")
    opened = [run if isinstance(run, Run) else load(os.fspath(run)) for run in runs]
    names = _names([str(run.directory) for run in opened])
    first = look_at(opened[0], names[0], by, day)
    all_seen = [first]
    for run, name in zip(opened[1:], names[1:], strict=True):
        all_seen.append(look_at(run, name, with_details=False))
    sections, made = _sections(all_seen, bool(day))
    title = f"Report of {first.name}"
    lead = [_lead(first)]
    foot = [f"Made by tafe report of {', '.join(str(run.directory) for run in opened)}."]
    return Report(render(title, sections, lead, foot), made)


def _sections(all_seen: Sequence[Seen], has_days: bool) -> tuple[list[Section], Figures]:
    first = all_seen[0]
    found: list[Section | None] = [described.what_it_is(first)]
    made: Figures = {}
    missing: dict[str, str] = {}
    if first.rows is not None:
        found.append(measured.funnel(first))
    else:
        missing["the funnel, ranking, calibration and scores"] = first.without_rows
    if first.without_rows and first.rows is not None:
        missing["slices by --by, days, the run before, and the selectors' rows"] = (
            f"{first.without_rows}. The other sections are of the run's predictions.npz"
        )
    found.append(measured.metrics_table(first))
    if len(all_seen) > 1:
        found.append(beside.side_by_side(all_seen))
    found.append(beside.before_and_after(first))
    if has_days:
        other = all_seen[1] if len(all_seen) > 1 else None
        section, charts = beside.by_day(first, other)
        found.append(section)
        made |= charts
    if first.rows is not None:
        found += measured.curves(first)
    found.append(described.by_epoch(first))
    of_slices = measured.slices(first)
    if of_slices is None:
        missing["slices"] = "give --by=COLUMN,... here or to tafe evaluate"
    found.append(of_slices)
    found.append(described.fields(first))
    of_importance = described.importance(first)
    if of_importance is None:
        missing["importance"] = "it has not been measured for these weights"
    found.append(of_importance)
    of_selectors, charts = figures.selectors(first)
    made |= charts
    found.append(of_selectors)
    sections = [section for section in found if section is not None]
    if missing:
        sections.append(_missing(missing))
    return sections, made


def _missing(missing: Mapping[str, str]) -> Section:
    said = [f"{name}: {why}" for name, why in missing.items()]
    return Section(title="What is missing here", parts=[Text(paragraphs=said, is_note=True)])


def _lead(seen: Seen) -> str:
    steps = ", then ".join(task.name for task in seen.schema.tasks)
    said = f"How well this model predicts {steps}, for whom, and by what."
    if seen.rows is not None:
        said += f" Measured on {len(seen.rows['depth']):,} test rows."
    return said


def _names(paths: Sequence[str]) -> list[str]:
    """The last parts of paths that tell them apart."""
    parts = [path.rstrip("/").split("/") for path in paths]
    for count in range(1, max(len(one) for one in parts) + 1):
        names = ["/".join(one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{i + 1}: {path}" for i, path in enumerate(paths)]
