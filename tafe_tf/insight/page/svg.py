"""Charts as SVG: part of a page, or a file of its own.

Series differ by colour, by dashes and by the shape of their markers, so that colour is not needed.
The colours are CSS variables, which a page sets for light and dark; a file brings its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from tafe_tf.insight.page.parts import Axis, Cell, Chart, Dots, Series
from tafe_tf.insight.page.ticks import Scale, is_known, number

COLOURS = """
--ink:#1d2329;--muted:#59636e;--grid:#dfe3e8;--paper:#ffffff;
--c0:#0b62a4;--c1:#a84300;--c2:#1b7341;--c3:#87379b;--c4:#6b5a00;--c5:#3d4852
"""
DARK_COLOURS = """
--ink:#e6e9ec;--muted:#a7b0ba;--grid:#39414a;--paper:#15191d;
--c0:#74b6f5;--c1:#ffa765;--c2:#74d69f;--c3:#dca4ec;--c4:#dccb62;--c5:#c3ccd5
"""
STYLE = """
.chart{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.chart text{fill:var(--ink)}.chart .tick{fill:var(--muted);font-size:11px}
.chart .grid{stroke:var(--grid);stroke-width:1}.chart .frame{stroke:var(--muted);stroke-width:1}
.chart .level{stroke:var(--muted);stroke-width:1.2;stroke-dasharray:2 3;fill:none}
""" + "".join(
    f".chart .s{i}{{stroke:var(--c{i});fill:none;stroke-width:1.8}}"
    f".chart .m{i}{{fill:var(--c{i});stroke:var(--paper);stroke-width:.6}}"
    f".chart .b{i}{{fill:var(--c{i});fill-opacity:.16;stroke:none}}\n"
    for i in range(6)
)

_DASHES = ("", "7 4", "2 3", "10 3 2 3", "14 4", "4 2")
_WIDTH = 460
_PLOT_HEIGHT = 220
_RIGHT = 22
_LEGEND_LINE = 18
_TITLE_HEIGHT = 22  # above a chart in a file
_LETTER = 6.9  # pixels, about
_NAME_LETTERS = 26  # of a row of `Dots`
_END_LETTERS = 12  # of them at its end
_MARKED_POINTS = 40  # with more, markers would hide the line


def svg(chart: Chart | Dots) -> str:
    """A chart as an `<svg>` element for a page that has `STYLE` and the colours."""
    if isinstance(chart, Dots):
        return _Dots(chart).drawn()
    return _Plane(chart).drawn()


def svg_file(chart: Chart | Dots) -> str:
    """A chart as an SVG file of its own, in light colours on white, its title above it."""
    style = f":root{{{COLOURS.strip()}}}{STYLE}"
    head, _, rest = svg(chart).partition(">")
    width, chart_height = _size_of(head)
    height = chart_height + _TITLE_HEIGHT
    title = f'<text x="8" y="14" font-weight="600">{escape(chart.title)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{2 * width:g}" height="{2 * height:g}">'
        f"<style>{style}</style>"
        f'<rect width="{width:g}" height="{height:g}" fill="var(--paper)"/>'
        f'<g class="chart">{title}</g>'
        f'<g transform="translate(0 {_TITLE_HEIGHT})">'
        f'{head} width="{width:g}" height="{chart_height:g}">{rest}</g></svg>\n'
    )


def summary(chart: Chart | Dots) -> str:
    """What a chart shows in words, for those who cannot see it."""
    if isinstance(chart, Dots):
        said = [
            f"{name} {number(value)}" for name, value in zip(chart.names, chart.values, strict=True)
        ]
        rest = f"; and {len(said) - 8} more" if len(said) > 8 else ""
        return f"{chart.title}. {chart.axis.label}: {'; '.join(said[:8])}{rest}."
    said = []
    for one in chart.series:
        known = [value for value in one.y if is_known(value)]
        if known:
            ends = f"from {number(known[0])} to {number(known[-1])}"
            said.append(f"{one.name}: {chart.y.label} {ends}, at most {number(max(known))}")
    return f"{chart.title}, by {chart.x.label}. {'; '.join(said)}."


def _size_of(head: str) -> tuple[float, float]:
    _, _, rest = head.partition('viewBox="0 0 ')
    numbers, _, _ = rest.partition('"')
    width, height = numbers.split()
    return float(width), float(height)


class _Plane:
    """Draws a `Chart`."""

    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        places = list(itertools.chain.from_iterable(_edges(one) for one in chart.series))
        has_points = any(one.drawn == "points" for one in chart.series)
        self._x = Scale(_with_room(chart.x, places) if has_points else chart.x, places)
        heights: list[Cell] = []
        for one in chart.series:
            heights += [*one.y, *one.low, *one.high]
            if one.drawn in ("bars", "steps"):
                heights.append(0.0)
        if chart.level is not None:
            heights.append(chart.level[0])
        self._y = Scale(_with_room(chart.y, heights), heights)
        longest = max((len(text) for _, text in self._y.ticks()), default=1)
        self._left = 30 + _LETTER * longest
        legend = list(_legend(self._names(), self._left))
        self._legend = legend
        self._top = 8 + _LEGEND_LINE * (1 + max((line for line, _, _ in legend), default=-1))
        self._bottom = self._top + _PLOT_HEIGHT
        self._height = self._bottom + 40

    def _names(self) -> list[str]:
        names = [one.name for one in self._chart.series]
        extra = [self._chart.diagonal] if self._chart.diagonal else []
        if self._chart.level is not None:
            extra.append(self._chart.level[1])
        return [*names, *extra] if len(names) > 1 or extra else []

    def drawn(self) -> str:
        """The element."""
        chart = self._chart
        marks = [*self._axes(), *self._lines(), *self._legend_marks()]
        for i, one in enumerate(chart.series):
            marks += self._series(i, one)
        return _element(self._height, summary(chart), marks)

    def _at(self, x: Cell, y: Cell) -> tuple[float, float] | None:
        across = self._x.place(x)
        up = self._y.place(y)
        if across is None or up is None:
            return None
        width = _WIDTH - _RIGHT - self._left
        return self._left + across * width, self._bottom - up * _PLOT_HEIGHT

    def _axes(self) -> Iterator[str]:
        right = _WIDTH - _RIGHT
        for value, text in self._y.ticks():
            place = self._y.place(value)
            assert place is not None
            y = self._bottom - place * _PLOT_HEIGHT
            yield _line("grid", self._left, y, right, y)
            yield _text(self._left - 6, y + 4, text, "tick", "end")
        for value, text in self._x.ticks():
            place = self._x.place(value)
            assert place is not None
            x = self._left + place * (right - self._left)
            yield _line("frame", x, self._bottom, x, self._bottom + 4)
            yield _text(x, self._bottom + 17, text, "tick", "middle")
        yield _line("frame", self._left, self._bottom, right, self._bottom)
        middle = (self._left + right) / 2
        yield _text(middle, self._bottom + 34, self._chart.x.label, "", "middle")
        y = (self._top + self._bottom) / 2
        label = escape(self._chart.y.label)
        yield (
            f'<text x="13" y="{y:.1f}" text-anchor="middle" '
            f'transform="rotate(-90 13 {y:.1f})">{label}</text>'
        )

    def _lines(self) -> Iterator[str]:
        """The diagonal and the level."""
        if self._chart.diagonal:
            low = max(self._x.low, self._y.low)
            high = min(self._x.high, self._y.high)
            ends = [self._at(low, low), self._at(high, high)]
            known = [end for end in ends if end is not None]
            if len(known) == 2:
                yield _line("level", *known[0], *known[1])
        if self._chart.level is not None:
            place = self._y.place(self._chart.level[0])
            if place is not None:
                y = self._bottom - place * _PLOT_HEIGHT
                yield _line("level", self._left, y, _WIDTH - _RIGHT, y)

    def _legend_marks(self) -> Iterator[str]:
        count = len(self._chart.series)
        for i, (line, x, name) in enumerate(self._legend):
            y = 10 + _LEGEND_LINE * line
            if i < count:
                if self._chart.series[i].drawn != "points":
                    yield _stroke(i, f"M{x:.1f} {y}h26")
                if self._is_marked(self._chart.series[i]):
                    yield _marker(i, x + 13, y)
            else:
                yield _line("level", x, y, x + 26, y)
            yield _text(x + 32, y + 4, name, "", "start")

    def _is_marked(self, one: Series) -> bool:
        is_sparse = one.drawn == "marked" and len(one.x) <= _MARKED_POINTS
        return is_sparse or one.drawn == "points"

    def _series(self, i: int, one: Series) -> Iterator[str]:
        ends = list(zip(one.low, one.high, strict=True)) if len(one.low) else []
        if ends and one.drawn == "line":
            yield self._band(i, one)
        elif ends:
            for x, (low, high) in zip(one.x, ends, strict=True):
                yield self._whisker(i, x, low, high)
        if one.drawn == "bars":
            yield from self._bars(i, one)
        elif one.drawn != "points":
            yield _stroke(i, self._path(_stairs(one) if one.drawn == "steps" else _points(one)))
        if self._is_marked(one):
            for x, y in zip(one.x, one.y, strict=True):
                at = self._at(x, y)
                if at is not None:
                    yield _marker(i, *at, hint=f"{one.name}: {number(x)}, {number(y)}")

    def _path(self, points: Sequence[tuple[Cell, Cell]]) -> str:
        parts = []
        is_down = False
        for x, y in points:
            at = self._at(x, y)
            if at is None:
                is_down = False
                continue
            parts.append(f"{'L' if is_down else 'M'}{at[0]:.1f} {at[1]:.1f}")
            is_down = True
        return "".join(parts)

    def _band(self, i: int, one: Series) -> str:
        above = [self._at(x, y) for x, y in zip(one.x, one.high, strict=True)]
        below = [self._at(x, y) for x, y in zip(one.x, one.low, strict=True)]
        known = [at for at in [*above, *reversed(below)] if at is not None]
        if not known:
            return ""
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
        return f'<polygon class="b{i}" points="{corners}"/>'

    def _whisker(self, i: int, x: Cell, low: Cell, high: Cell) -> str:
        ends = [self._at(x, low), self._at(x, high)]
        known = [end for end in ends if end is not None]
        if len(known) < 2:
            return ""
        (x0, y0), (_, y1) = known
        path = f"M{x0:.1f} {y0:.1f}V{y1:.1f}M{x0 - 3:.1f} {y0:.1f}h6M{x0 - 3:.1f} {y1:.1f}h6"
        return f'<path class="s{i}" d="{path}"/>'

    def _bars(self, i: int, one: Series) -> Iterator[str]:
        edges = _edges(one)
        base = self._at(edges[0], 0.0) if edges else None
        if base is None:
            return
        for left, right, height in zip(edges, edges[1:], one.y, strict=False):
            start = self._at(left, height)
            end = self._at(right, height)
            if start is None or end is None:
                continue
            wide = max(end[0] - start[0] - 0.8, 0.6)
            hint = f"{number(left)} to {number(right)}: {number(height)}"
            yield (
                f'<rect class="b{i}" style="fill-opacity:.7" x="{start[0]:.1f}" '
                f'y="{start[1]:.1f}" width="{wide:.1f}" height="{base[1] - start[1]:.1f}">'
                f"<title>{escape(hint)}</title></rect>"
            )


class _Dots:
    """Draws `Dots`."""

    def __init__(self, chart: Dots) -> None:
        self._chart = chart
        values: list[Cell] = [*chart.values, *chart.low, *chart.high]
        if chart.level is not None:
            values.append(chart.level[0])
        self._scale = Scale(_with_room(chart.axis, values), values)
        longest = max((len(_both_ends(name)) for name in chart.names), default=1)
        self._left = 18 + _LETTER * longest
        self._top = 26 if chart.level is not None else 8
        self._bottom = self._top + 20 * len(chart.names) + 6

    def drawn(self) -> str:
        """The element."""
        return _element(self._bottom + 40, summary(self._chart), [*self._axes(), *self._rows()])

    def _across(self, value: Cell) -> float | None:
        place = self._scale.place(value)
        return None if place is None else self._left + place * (_WIDTH - _RIGHT - self._left)

    def _axes(self) -> Iterator[str]:
        chart = self._chart
        for value, text in self._scale.ticks():
            x = self._across(value)
            assert x is not None
            yield _line("grid", x, self._top, x, self._bottom)
            yield _text(x, self._bottom + 14, text, "tick", "middle")
        if chart.level is not None:
            x = self._across(chart.level[0])
            if x is not None:
                yield _line("level", x, self._top, x, self._bottom)
                half = _LETTER * len(chart.level[1]) / 2
                text_x = min(max(x, half + 4), _WIDTH - half - 4)
                yield _text(text_x, 14, chart.level[1], "tick", "middle")
        middle = (self._left + _WIDTH - _RIGHT) / 2
        yield _text(middle, self._bottom + 32, chart.axis.label, "", "middle")

    def _rows(self) -> Iterator[str]:
        chart = self._chart
        for i, (name, value) in enumerate(zip(chart.names, chart.values, strict=True)):
            y = self._top + 20 * i + 13
            yield _text(self._left - 8, y + 4, _both_ends(name), "", "end", hint=name)
            if len(chart.low):
                ends = (self._across(chart.low[i]), self._across(chart.high[i]))
                if ends[0] is not None and ends[1] is not None:
                    path = f"M{ends[0]:.1f} {y}H{ends[1]:.1f}M{ends[0]:.1f} {y - 3}v6"
                    yield f'<path class="s0" d="{path}M{ends[1]:.1f} {y - 3}v6"/>'
            x = self._across(value)
            if x is not None:
                yield _marker(0, x, y, hint=f"{name}: {number(value)}")


def _with_room(axis: Axis, values: Sequence[Cell]) -> Axis:
    """The axis with its open ends a little beyond the values."""
    known = [value for value in values if is_known(value)]
    if axis.log:
        known = [value for value in known if value > 0]
    if not known:
        return axis
    low, high = min(known), max(known)
    if axis.log:
        start = low / 1.03 if axis.low is None else axis.low
        end = high * 1.03 if axis.high is None else axis.high
        return dataclasses.replace(axis, low=start, high=end)
    room = 0.04 * (high - low)
    if axis.low is None and low:
        low -= room if not 0 < low <= room else low
    start = axis.low if axis.low is not None else low
    end = axis.high if axis.high is not None else high + room
    return dataclasses.replace(axis, low=start, high=end)


def _edges(one: Series) -> list[float]:
    """The left edges of bars and steps and the last one's right edge; of others their places."""
    if one.drawn not in ("bars", "steps") or len(one.x) < 2 or len(one.x) > len(one.y):
        return list(one.x)
    before, last = one.x[-2], one.x[-1]
    is_even = before > 0 and math.isclose(last - before, one.x[1] - one.x[0], rel_tol=1e-6)
    beyond = last + (last - before) if is_even or before <= 0 else last * last / before
    return [*one.x, beyond]


def _stairs(one: Series) -> list[tuple[Cell, Cell]]:
    edges = _edges(one)
    points: list[tuple[Cell, Cell]] = []
    for left, right, height in zip(edges, edges[1:], one.y, strict=False):
        points += [(left, height), (right, height)]
    return points


def _points(one: Series) -> list[tuple[Cell, Cell]]:
    return list(zip(one.x, one.y, strict=True))


def _legend(names: Sequence[str], left: float) -> Iterator[tuple[int, float, str]]:
    """Line, place and text of each name."""
    line, x = 0, left
    for name in names:
        text = _short(name, 44)
        width = 46 + _LETTER * len(text)
        if x > left and x + width > _WIDTH:
            line, x = line + 1, left
        yield line, x, text
        x += width


def _short(name: str, letters: int = _NAME_LETTERS) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _both_ends(name: str) -> str:
    """A long name with its end, where a slice's value stands."""
    if len(name) <= _NAME_LETTERS:
        return name
    end = name[-_END_LETTERS:]
    return f"{name[: _NAME_LETTERS - _END_LETTERS - 1]}…{end}"


def _element(height: float, label: str, marks: Sequence[str]) -> str:
    said = quoteattr(label)
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label={said}>'
        f"{''.join(marks)}</svg>"
    )


def _line(kind: str, x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def _stroke(i: int, path: str) -> str:
    if not path:
        return ""
    dashes = f' stroke-dasharray="{_DASHES[i]}"' if _DASHES[i] else ""
    return f'<path class="s{i}" d="{path}"{dashes}/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str, hint: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    title = f"<title>{escape(hint)}</title>" if hint and hint != text else ""
    place = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text {place} text-anchor="{anchor}"{kind}>{escape(text)}{title}</text>'


def _marker(i: int, x: float, y: float, hint: str = "") -> str:
    """A circle, square, triangle, diamond, cross or hourglass at a place."""
    title = f"<title>{escape(hint)}</title>" if hint else ""
    if i == 0:
        return f'<circle class="m0" cx="{x:.1f}" cy="{y:.1f}" r="3.6">{title}</circle>'
    shapes = {
        1: "m-3.4-3.4h6.8v6.8h-6.8z",
        2: "m0-4.4 4.2 7.6h-8.4z",
        3: "m0-4.8 4.8 4.8-4.8 4.8-4.8-4.8z",
        4: "m-1.4-4.4h2.8v3h3v2.8h-3v3h-2.8v-3h-3v-2.8h3z",
        5: "m-4-4h8l-8 8h8z",
    }
    return f'<path class="m{i}" d="M{x:.1f} {y:.1f}{shapes[i]}">{title}</path>'
