"""The style of figures: small SVG files with text, the same bytes for the same data."""

from __future__ import annotations

import pathlib
from typing import Any

import matplotlib
from matplotlib import pyplot

matplotlib.use("svg")
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "tafe_tf",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
    }
)


def save(figure: Any, path: pathlib.Path) -> pathlib.Path:
    """Writes a figure, closes it, and returns the path."""
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path
