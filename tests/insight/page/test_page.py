"""Pages: what stands in them, and that nothing else gets in."""

from __future__ import annotations

import html.parser
import math
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tafe_tf.insight.page.parts import Axis, Chart, Dots, Section, Series, Table, Text
from tafe_tf.insight.page.render import MissingExtra, render, write
from tafe_tf.insight.page.svg import summary, svg, svg_file
from tafe_tf.insight.page.ticks import Scale, number

EVIL = "<script>alert('x')</script> & \"y\""


class Elements(html.parser.HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def a_chart(**more: Any) -> Chart:
    settings: dict[str, Any] = {
        "title": "AUC by epoch",
        "x": Axis(label="epoch", whole=True),
        "y": Axis(label="AUC"),
        "series": [Series(name="ctr", x=[1, 2, 3], y=[0.71, 0.73, 0.72], drawn="marked")],
    }
    return Chart(**{**settings, **more})


def test_texts_of_a_page_are_escaped() -> None:
    chart = a_chart(
        title=EVIL,
        about=EVIL,
        x=Axis(label=EVIL),
        y=Axis(label=EVIL),
        series=[Series(name=EVIL, x=[1], y=[2], drawn="points")],
        diagonal=EVIL,
    )
    dots = Dots(title=EVIL, axis=Axis(label=EVIL), names=[EVIL], values=[1.0], level=(0, EVIL))
    table = Table(caption=EVIL, header=[EVIL, EVIL], rows=[[EVIL, EVIL]], about=EVIL)
    section = Section(title=EVIL, about=EVIL, parts=[Text(paragraphs=[EVIL]), chart, dots, table])
    page = render(EVIL, [section, section], lead=[EVIL], foot=[EVIL])
    found = Elements(page)
    assert not found.named("script")
    assert EVIL in found.text
    for drawn in (svg(chart), svg(dots), svg_file(chart)):
        ElementTree.fromstring(drawn)


def test_a_page_asks_for_nothing_and_names_its_parts() -> None:
    sections = [Section(title="One", parts=[a_chart()]), Section(title="Two", parts=[])]
    page = render("Title", sections)
    found = Elements(page)
    for tag in ("header", "main", "nav", "footer", "h1"):
        assert len(found.named(tag)) == 1, tag
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "url(" not in page and "@import" not in page
    targets = [attributes["href"] for attributes in found.named("a")]
    ids = {f"#{attributes['id']}" for _, attributes in found.found if "id" in attributes}
    assert set(targets) <= ids
    (chart,) = found.named("svg")
    assert chart["role"] == "img"
    assert chart["aria-label"] == summary(a_chart())


def test_the_numbers_of_a_chart_stand_below_it() -> None:
    page = render("Title", [Section(title="One", parts=[a_chart()])])
    _, _, details = page.partition("<details>")
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", details)
    assert cells == ["epoch", "AUC", "1", "0.71", "2", "0.73", "3", "0.72"]


def test_where_points_are_drawn() -> None:
    drawn = svg(a_chart(y=Axis(label="AUC", low=0.70, high=0.74)))
    circles = re.findall(r'<circle class="m0" cx="([\d.]+)" cy="([\d.]+)"', drawn)
    places = [(float(x), float(y)) for x, y in circles]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.11)  # the places have one decimal
    assert (y1 - y2) == pytest.approx(2 * (y3 - y2), abs=0.31)
    assert y2 < y3 < y1  # the higher the number, the nearer to the top


def test_unknown_numbers_leave_a_gap() -> None:
    series = [Series(name="a", x=[1, 2, 3, 4, 5], y=[1, 2, None, math.nan, 3])]
    drawn = svg(a_chart(series=series))
    (path,) = re.findall(r'<path class="s0" d="([^"]*)"', drawn)
    assert path.count("M") == 2 and path.count("L") == 1
    assert "nan" not in drawn.lower() and "None" not in drawn


def test_charts_without_a_number_can_be_drawn() -> None:
    ElementTree.fromstring(svg(a_chart(series=[])))
    ElementTree.fromstring(svg(a_chart(series=[Series(name="a", x=[], y=[], drawn="bars")])))
    ElementTree.fromstring(svg(Dots(title="a", axis=Axis(label="b"), names=[], values=[])))
    logarithmic = a_chart(x=Axis(label="x", log=True))
    ElementTree.fromstring(svg(logarithmic))


@pytest.mark.parametrize(
    ("axis", "values", "expected"),
    [
        (Axis(label="", low=0, high=1, percent=True), [], ["0 %", "20 %", "40 %"]),
        (Axis(label="", log=True), [0.001, 1.0], ["0.001", "0.01", "0.1", "1"]),
        (Axis(label="", whole=True), [1, 3], ["1", "2", "3"]),
        (Axis(label=""), [5.0, 5.0], ["4.8", "4.9", "5", "5.1", "5.2"]),
    ],
)
def test_marks_of_an_axis(axis: Axis, values: list[float], expected: list[str]) -> None:
    texts = [text for _, text in Scale(axis, values).ticks()]
    assert texts[: len(expected)] == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (math.nan, "-"),
        (1234567, "1,234,567"),
        (0.123456, "0.12346"),
        (1.23456789, "1.23457"),
        (0.0000123456, "1.23e-05"),
        ("3 to 7", "3 to 7"),
    ],
)
def test_how_a_number_is_written(value: Any, text: str) -> None:
    assert number(value) == text


def test_without_jinja_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"pip install 'tafe_tf\[report\]'"):
        write(tmp_path / "page.html", "Title", [])
    assert not list(tmp_path.iterdir())
