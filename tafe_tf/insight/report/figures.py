"""The section of the paper's figures."""

from __future__ import annotations

import keras

from tafe_tf.insight.figures.charts import (
    Figures,
    figure_5,
    figure_7a,
    figure_7b,
    readings,
)
from tafe_tf.insight.figures.selector import has_selectors
from tafe_tf.insight.page.parts import Part, Section, Text
from tafe_tf.insight.report.seen import Seen


def selectors(seen: Seen) -> tuple[Section | None, Figures]:
    """What the selectors of a TAFE do: Figures 5, 7a and 7b; None of another model."""
    model = seen.run.model
    if not has_selectors(model):
        return None, {}
    figures = figure_5(model.gamma)
    parts: list[Part] = []
    if seen.selection is not None:
        gamma = float(keras.ops.convert_to_numpy(model.gamma.value()))
        parts.append(readings(seen.selection, gamma))
        figures |= figure_7a(seen.selection)
        figures |= figure_7b(seen.selection)
    parts += figures.values()
    said = (
        "Figure 8 of the paper, the cost of training and serving beside other models, is measured "
        "by python -m benchmarks.efficiency in a checkout."
    )
    parts.append(Text(paragraphs=[said]))
    return Section(
        title="The selectors",
        about=(
            "TAFE's selectors decide for each row which inducing points it uses. Are they hard, do "
            "they differ between rows, have they collapsed? The figures are those of the paper."
        ),
        parts=parts,
    ), figures
