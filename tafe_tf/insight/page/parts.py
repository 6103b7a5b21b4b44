"""What a page is made of: sections of paragraphs, tables and charts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal

Number = float | None
Cell = str | float | None
Drawn = Literal["line", "marked", "points", "steps", "bars"]

_NUMERIC = re.compile(r"[-+]?[\d.,]+( ?%)?( ?[\[±].*)?$")
_LONG = 12  # rows of a table
_BEGINNING = 10
MOST_SERIES = 6  # which colours, dashes and markers tell apart


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis of a chart.

    Attributes:
        label: What it measures, with its unit.
        low: Where it begins; by default at the smallest value.
        high: Where it ends; by default at the largest value.
        log: Whether it is logarithmic; values of 0 and less are then left out. Default: False.
        percent: Whether its numbers are shares, written as percentages. Default: False.
        whole: Whether it counts, so that its marks are whole numbers. Default: False.
    """

    label: str
    low: Number = None
    high: Number = None
    log: bool = False
    percent: bool = False
    whole: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or one set of points or bars, of a chart.

    Attributes:
        name: What the legend calls it.
        x: Where its points are, [n]; for bars and steps the left edges.
        y: Their heights, [n]; None or NaN where one is undefined.
        low: The lower ends of intervals, [n]. Default: none.
        high: The upper ends of intervals, [n]. Default: none.
        drawn: "line"; "marked", a line with a marker at each point; "points", markers alone;
            "steps" and "bars", which go from each x to the next. Default: "line".
        rows: How many rows are behind each point, [n], for the table. Default: none.
    """

    name: str
    x: Sequence[float]
    y: Sequence[Number]
    low: Sequence[Number] = ()
    high: Sequence[Number] = ()
    drawn: Drawn = "line"
    rows: Sequence[float] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart of two axes.

    Attributes:
        title: What it shows, a few words.
        x: The axis from left to right.
        y: The axis from the bottom to the top.
        series: What is drawn, at most six.
        about: What it shows and how to read it, in plain words.
        diagonal: What the line x = y is called, such as "predicted = observed". By default there
            is none.
        level: A height and what the line there is called, such as (1.0, "as observed"). By default
            there is none.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    about: str = ""
    diagonal: str = ""
    level: tuple[float, str] | None = None

    def table(self) -> Table:
        """The numbers that the chart shows."""
        several = len(self.series) > 1
        has_ends = any(len(one.low) for one in self.series)
        has_rows = any(len(one.rows) for one in self.series)
        header = [self.x.label, self.y.label]
        if several:
            header.insert(0, "line")
        if has_ends:
            header += ["95 % from", "to"]
        if has_rows:
            header.append("rows")
        rows: list[list[Cell]] = []
        for one in self.series:
            for i in range(len(one.x)):
                cells: list[Cell] = [one.name] if several else []
                cells += [one.x[i], one.y[i]]
                if has_ends:
                    cells += [one.low[i], one.high[i]] if len(one.low) else [None, None]
                if has_rows:
                    cells.append(one.rows[i] if len(one.rows) else None)
                rows.append(cells)
        return Table(caption=self.title, header=header, rows=rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dots:
    """A chart of names, one below the other, each with a value and its interval.

    Attributes:
        title: What it shows, a few words.
        axis: The axis of the values.
        names: Of the rows, from the top.
        values: [n]; None or NaN where one is undefined.
        low: The lower ends of intervals, [n]. Default: none.
        high: The upper ends of intervals, [n]. Default: none.
        about: What it shows and how to read it, in plain words.
        level: A value and what the line there is called, such as (0.0, "no effect"). By default
            there is none.
    """

    title: str
    axis: Axis
    names: Sequence[str]
    values: Sequence[Number]
    low: Sequence[Number] = ()
    high: Sequence[Number] = ()
    about: str = ""
    level: tuple[float, str] | None = None

    def table(self) -> Table:
        """The numbers that the chart shows."""
        header = ["name", self.axis.label]
        if len(self.low):
            header += ["95 % from", "to"]
        rows: list[list[Cell]] = []
        for i, name in enumerate(self.names):
            cells: list[Cell] = [name, self.values[i]]
            if len(self.low):
                cells += [self.low[i], self.high[i]]
            rows.append(cells)
        return Table(caption=self.title, header=header, rows=rows)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        header: The names of its columns.
        rows: Its rows; the first cell of each names it. Texts are shown as they are. Of more than
            twelve rows ten are seen at first.
        about: What it shows and how to read it, in plain words.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    about: str = ""

    @property
    def is_long(self) -> bool:
        """Whether some rows are not seen at first."""
        return len(self.rows) > _LONG

    def beginning(self) -> Table:
        """What is seen at first."""
        if not self.is_long:
            return self
        return dataclasses.replace(self, rows=self.rows[:_BEGINNING])

    def is_text(self, column: int) -> bool:
        """Whether a column holds texts that are no numbers, and begins at the left."""
        cells = [row[column] for row in self.rows]
        texts = [cell for cell in cells if isinstance(cell, str) and cell != "-"]
        return any(not _NUMERIC.match(text) for text in texts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text:
    """Paragraphs.

    Attributes:
        paragraphs: Each a plain text.
        is_note: Whether they say what is missing or doubtful, and are set apart. Default: False.
    """

    paragraphs: Sequence[str]
    is_note: bool = False


Part = Chart | Dots | Table | Text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A section of a page.

    Attributes:
        title: Its heading.
        parts: What it holds; charts that follow each other stand side by side where there is room.
        about: What the section answers, in plain words. Default: "".
    """

    title: str
    parts: Sequence[Part]
    about: str = ""
