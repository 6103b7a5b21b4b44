"""Renders sections as one HTML page that needs nothing else."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from tafe_tf.data.atomic import write_text
from tafe_tf.data.errors import DataError
from tafe_tf.insight.page.parts import Chart, Dots, Part, Section, Table
from tafe_tf.insight.page.svg import COLOURS, DARK_COLOURS, STYLE, svg
from tafe_tf.insight.page.ticks import number
from tafe_tf.storage.addresses import is_remote

_TEMPLATE = pathlib.Path(__file__).with_name("page.html")


class MissingExtra(DataError):
    """The packages that pages are made with are not installed."""


def check_installed() -> None:
    """Finds that a page can be made, before anything is computed for it.

    Raises:
        MissingExtra: If Jinja is not installed.
    """
    try:
        import jinja2  # noqa: F401  (an extra)
    except ModuleNotFoundError:
        raise MissingExtra("a page needs Jinja: pip install 'tafe_tf[report]'") from None


def check_target(path: str | os.PathLike[str]) -> None:
    """Finds before any work that a page could not be written.

    Args:
        path: Of the file, or its URI.

    Raises:
        MissingExtra: If Jinja is not installed.
        NotADirectoryError: If the file's folder is not there.
    """
    check_installed()
    if is_remote(path):
        return
    folder = pathlib.Path(path).parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{path}: {folder} is no folder")


def render(
    title: str,
    sections: Sequence[Section],
    lead: Sequence[str] = (),
    foot: Sequence[str] = (),
) -> str:
    """Renders a page.

    Args:
        title: Its heading.
        sections: What it holds.
        lead: Paragraphs below the heading. Default: none.
        foot: Paragraphs at the end, such as the command that made it. Default: none.

    Returns:
        The page's HTML. It has no script, asks for nothing from a network, and is made for light
        and dark, a phone and print.

    Raises:
        MissingExtra: If Jinja is not installed.
    """
    check_installed()
    import jinja2  # an extra
    import markupsafe  # comes with Jinja

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = number
    environment.filters["grouped"] = _grouped
    environment.filters["breakable"] = _breakable
    environment.filters["svg"] = lambda chart: markupsafe.Markup(svg(chart))
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        title=title,
        sections=sections,
        lead=lead,
        foot=foot,
        colours=markupsafe.Markup(COLOURS),
        dark_colours=markupsafe.Markup(DARK_COLOURS),
        chart_style=markupsafe.Markup(STYLE),
    )


def write(path: str | os.PathLike[str], *page: Any, **more: Any) -> None:
    """Writes a page, which appears whole or not at all.

    Args:
        path: Of the file, or its URI.
        *page: The arguments of `render`.
        **more: Its named arguments.

    Raises:
        MissingExtra: If Jinja is not installed.
        OSError: If the file cannot be written.
    """
    text = render(*page, **more)
    write_text(path if isinstance(path, str) else pathlib.Path(path), text)


def _breakable(name: str) -> str:
    """A name that may go on in a new line after each underscore."""
    import markupsafe  # comes with Jinja

    escaped = [markupsafe.escape(part) for part in name.split("_")]
    return markupsafe.Markup("_<wbr>").join(escaped)


def _kind(part: Part) -> str:
    if isinstance(part, Chart | Dots):
        return "charts"
    return "tables" if isinstance(part, Table) else "texts"


def _grouped(parts: Sequence[Part]) -> Iterator[tuple[str, list[Part]]]:
    """Parts that follow each other and are of one kind, together."""
    for kind, same in itertools.groupby(parts, _kind):
        yield kind, list(same)
