"""A comparison's results as a page."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tafe_tf.comparison.means import CONDITIONAL_MEAN, MEAN
from tafe_tf.comparison.tables import Rows, mean_auc, sections
from tafe_tf.data.atomic import write_text
from tafe_tf.insight.page.parts import Axis, Dots, Part, Section, Table, Text
from tafe_tf.insight.page.render import MissingExtra, render
from tafe_tf.schema import Schema

_ABOUT = {
    "conditional probabilities": (
        "How well P(step | the step before) ranks the rows that reached the step before."
    ),
    "calibration": (
        "Do the sums add up (pred./obs. is 1), and are single probabilities right (ECE is small)? "
        "Violations are rows with a later step above an earlier one."
    ),
    "settings that a search chose": "By `tafe tune`, on held-out rows of the training files.",
    "cost": "Size and speed on the machine that trained them; medians over seeds.",
}
_ABOUT_QUALITY = (
    "AUC: how often a row with the outcome scores above one without; after the ± its spread over "
    "seeds. In brackets 95 % intervals, by drawing test rows and seeds anew. A difference whose "
    "interval holds 0 may be chance."
)


def page(results: Mapping[str, Any], schema: Schema) -> str:
    """Renders a comparison.

    Args:
        results: What `Comparison.results` returns.
        schema: Of the data set.

    Raises:
        MissingExtra: If Jinja is not installed.
    """
    found = []
    for i, (title, rows) in enumerate(sections(results, schema)):
        header, *others = _verdict_first(rows) if i == 0 else rows
        about = _ABOUT.get(title, _ABOUT_QUALITY if i == 0 else "")
        table = Table(caption=title, header=header, rows=others)
        heading = "Which model ranks best" if i == 0 else title.capitalize()
        charts: Sequence[Part] = []
        if i == 0:
            charts = _charts(results, schema.step_names, MEAN, "difference", "against")
        elif title == "conditional probabilities":
            names = schema.conditional_names
            keys = ("conditional_difference", "conditionals_against")
            charts = _charts(results, names, CONDITIONAL_MEAN, *keys)
        found.append(Section(title=heading, about=about, parts=[table, *charts]))
    if results["failed"]:
        failed = [f"{run}: {error}" for run, error in results["failed"].items()]
        part = Text(paragraphs=failed, is_note=True)
        found.append(Section(title="Runs that failed", parts=[part]))
    lead = (
        f"{len(results['models'])} models on {results['test_rows']:,} test rows, trained on the "
        "same batches in the same order and stopped by the same rule."
    )
    return render(f"Comparison on {results['dataset']}", found, [lead])


def write_page(path: pathlib.Path, results: Mapping[str, Any], schema: Schema) -> bool:
    """Writes a comparison's page, or says that a package for it is missing.

    Args:
        path: Of the file. One of earlier figures is removed where none is written.
        results: What `Comparison.results` returns.
        schema: Of the data set.

    Returns:
        Whether it was written.
    """
    try:
        text = page(results, schema)
    except MissingExtra as error:
        path.unlink(missing_ok=True)
        print(f"{path.name} is not written: {error}")
        return False
    write_text(path, text)
    return True


def _verdict_first(rows: Rows) -> Rows:
    """The table of `tables.quality` with the mean and the test in front of the single AUCs."""
    last = len(rows[0]) - 1
    mean, gain, against, p = range(last - 3, last + 1)
    order = [0, mean, against, p, 1, *range(2, mean), gain]
    return [[row[place] for place in order] for row in rows]


def _charts(
    results: Mapping[str, Any],
    names: Sequence[str],
    mean: str,
    difference: str,
    against: str,
) -> list[Part]:
    """Each model's mean AUC over some probabilities, and its difference to one of them."""
    models = results["models"]
    own = [model["interval"].get(mean) for model in models.values()]
    means = Dots(
        title=f"Mean AUC of {', '.join(names)}",
        axis=Axis(label="mean AUC"),
        names=list(models),
        values=[mean_auc(model, names) for model in models.values()],
        low=[ends[0] if ends else None for ends in own],
        high=[ends[1] if ends else None for ends in own],
        about="Intervals of models overlap more than those of their differences, which are paired.",
    )
    tests = {name: model[difference] for name, model in models.items() if model[difference]}
    base = results[against]
    differences = Dots(
        title=f"Difference to {base}",
        axis=Axis(label=f"mean AUC less that of {base}"),
        names=list(tests),
        values=[test["mean"] for test in tests.values()],
        low=[test["interval"][0] for test in tests.values()],
        high=[test["interval"][1] for test in tests.values()],
        level=(0.0, "no difference"),
        about=f"Right of 0 a model ranks better than {base}. Paired by seed and test row.",
    )
    return [means, differences] if tests else [means]
