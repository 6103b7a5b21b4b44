"""Sections from a run's test rows: the funnel, metrics, curves, slices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tafe_tf.insight.page.parts import (
    MOST_SERIES,
    Axis,
    Cell,
    Chart,
    Dots,
    Part,
    Section,
    Series,
    Table,
    Text,
)
from tafe_tf.insight.page.ticks import is_known
from tafe_tf.insight.report.curves import distribution, lifts, reliability, roc
from tafe_tf.insight.report.seen import Seen
from tafe_tf.insight.slices.measure import Interval, Slice, judged_by, worst_output
from tafe_tf.insight.slices.measured import Measured, Rows, measured
from tafe_tf.metric_headings import HEADINGS, TRUTH_HEADINGS
from tafe_tf.metrics import Metrics
from tafe_tf.schema import Schema

_SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_SHOWN_SLICES = 20
_DIFFERS = 1e-6  # metrics of the same rows and weights on another machine differ by less
_SHOWN = tuple(kind for kind in HEADINGS if kind != "rows")


def funnel(seen: Seen) -> Section:
    """How many rows reach each step, and how many were predicted to."""
    assert seen.rows is not None, "only of rows"
    assert seen.whole is not None, "only of rows"
    rows: list[list[Cell]] = []
    names = []
    for one in measured(seen.rows, seen.schema):
        total = float(one.weight.sum())
        observed = float((one.weight * one.observed).sum())
        predicted = float((one.weight * one.predicted).sum())
        ratio = _with_interval(seen.whole, f"pcoc/{one.name}")
        of_rows = [observed / total, predicted / total] if total else [None, None]
        if one.loss is None:
            rates: list[Cell] = [*of_rows]
        else:
            rates = [_percent(rate) for rate in of_rows]
        rows.append([one.name, round(total), round(observed), round(predicted), *rates, ratio])
        names.append(one.name)
    header = ["", "rows", "observed", "predicted", "observed rate", "predicted rate"]
    header.append("predicted / observed")
    table = Table(caption="The funnel of the test rows", header=header, rows=rows)
    return Section(
        title="The funnel",
        about=(
            "Does the model's sum add up? A step's predictions, summed over the test rows, should "
            "be as many as happened. Below 1 the model promises too little, above 1 too much."
        ),
        parts=[table, _ratios(seen.whole, names)],
    )


def _ratios(whole: Slice, names: Sequence[str]) -> Dots:
    keys = [f"pcoc/{name}" for name in names]
    low, high = _ends([whole.intervals.get(key) for key in keys])
    return Dots(
        title="Predicted / observed of all test rows",
        axis=Axis(label="predicted / observed"),
        names=names,
        values=[whole.metrics.get(key) for key in keys],
        low=low,
        high=high,
        level=(1.0, "as observed"),
        about="An interval that holds 1 is compatible with a model that adds up.",
    )


def metrics_table(seen: Seen) -> Section:
    """All metrics with their intervals, and what is known of the truth."""
    metrics = seen.metrics
    have_moved = seen.whole is not None and _have_moved(metrics, seen.whole.metrics)
    if seen.whole is not None and (have_moved or not metrics):
        metrics = seen.whole.metrics
    names = [*seen.schema.step_names, *seen.schema.conditional_names, *seen.schema.amount_names]
    shown = [kind for kind in _SHOWN if any(f"{kind}/{name}" in metrics for name in names)]
    rows: list[list[Cell]] = []
    for name in names:
        keys = [f"{kind}/{name}" for kind in shown]
        if any(key in metrics for key in keys):
            rows.append([name, *[_cell(metrics, key, seen.whole) for key in keys]])
    about = (
        "AUC: how often a row with the outcome scores above one without; 0.5 is by chance. Log "
        "loss: ranking and calibration together, the lower the better. Calibration error: the mean "
        "distance of prediction and outcome in 20 bins. In brackets the 95 % interval, by drawing "
        "the test rows anew."
    )
    header = ["", *[HEADINGS[kind] for kind in shown]]
    parts: list[Part] = []
    if rows:
        parts.append(Table(caption="The test rows", header=header, rows=rows, about=about))
    truth = _truth(metrics, seen.schema)
    if truth is not None:
        parts.append(truth)
    if have_moved:
        said = (
            "These metrics are not those in metrics.json, since the test rows or the weights have "
            "changed after it was written. `tafe evaluate` writes it anew."
        )
        parts.append(Text(paragraphs=[said], is_note=True))
    if not parts:
        parts.append(Text(paragraphs=["There are no metrics of test rows."], is_note=True))
    return Section(title="Metrics", parts=parts)


def _truth(metrics: Metrics, schema: Schema) -> Table | None:
    """Learned and true probabilities, for data whose truth is known."""
    unreached = [f"{name}_unreached" for name in schema.conditional_names]
    rows: list[list[Cell]] = []
    for name in [*schema.step_names, *schema.conditional_names, *unreached]:
        if f"truth_auc/{name}" in metrics:
            cells = [_text(metrics.get(f"{key}/{name}"), None) for key in TRUTH_HEADINGS]
            rows.append([name.replace("_unreached", ", unreached"), *cells])
    if not rows:
        return None
    header = ["", *TRUTH_HEADINGS.values()]
    return Table(
        caption="Learned and true probabilities",
        header=header,
        rows=rows,
        about="The truth is known of these rows. No model can have a larger AUC than it.",
    )


def _have_moved(noted: Metrics, now: Metrics) -> bool:
    for key, value in now.items():
        before = noted.get(key)
        if is_known(before) and is_known(value) and abs(before - value) > _DIFFERS:
            return True
    return False


def curves(seen: Seen) -> list[Section]:
    """ROC, lift, reliability and the distribution of scores, step by step."""
    assert seen.rows is not None, "only of rows"
    outputs = measured(seen.rows, seen.schema)
    probabilities = [one for one in outputs if one.loss is not None]
    ranking: list[Part] = [_roc_chart(probabilities), _lift_chart(outputs)]
    return [
        Section(title="Ranking", parts=ranking),
        Section(
            title="Calibration",
            about=(
                "When the model says 10 %, does it happen in 10 % of the rows? Each point stands "
                "for rows of like prediction. Above the line more happened than was predicted, "
                "below it less. The bars are 95 % intervals: one that does not touch the line is "
                "hardly chance."
            ),
            parts=[_reliability_chart(one, seen.rows) for one in probabilities],
        ),
        Section(
            title="Scores",
            about=(
                "Which probabilities the model gives, to rows with the outcome and to others. The "
                "further the two lie apart, the better the model tells them apart. A single spike "
                "is a model that gives all rows the same probability."
            ),
            parts=[chart for chart in map(_scores_chart, probabilities) if chart is not None],
        ),
    ]


def _roc_chart(outputs: Sequence[Measured]) -> Chart:
    series = []
    for one in outputs[:MOST_SERIES]:
        x, y = roc(one)
        series.append(Series(name=one.name, x=x.tolist(), y=y.tolist()))
    return Chart(
        title="ROC curves",
        x=Axis(label="false positives", low=0.0, high=1.0, percent=True),
        y=Axis(label="true positives", low=0.0, high=1.0, percent=True),
        series=series,
        diagonal="by chance",
        about=(
            "Going down from the highest score: what share of the rows with the outcome is found, "
            "at what share of the others. The area below is the AUC; the nearer to the upper left "
            "corner the better."
        ),
    )


def _lift_chart(outputs: Sequence[Measured]) -> Chart:
    series = []
    for one in outputs[:MOST_SERIES]:
        found = lifts(one, _SHARES)
        if found:
            series.append(Series(name=one.name, x=list(_SHARES), y=found, drawn="marked"))
    return Chart(
        title="Cumulative lift",
        x=Axis(label="best rows taken", low=0.0, high=1.0, percent=True),
        y=Axis(label="lift", low=0.0),
        series=series,
        level=(1.0, "by chance"),
        about=(
            "If only the rows with the highest scores were served: how many times more often the "
            "outcome happens in them than in all rows."
        ),
    )


def _reliability_chart(one: Measured, rows: Rows) -> Chart:
    curve = reliability(one, rows.get("group"))
    series = Series(
        name=one.name,
        x=curve.predicted.tolist(),
        y=curve.observed.tolist(),
        low=curve.low.tolist(),
        high=curve.high.tolist(),
        rows=curve.rows.tolist(),
        drawn="marked",
    )
    seen = [*curve.predicted.tolist(), *curve.low.tolist(), *curve.high.tolist()]
    end = min(max([*seen, 1e-9]) * 1.05, 1.0)
    start = min(seen, default=0.0) - 0.02
    if start < end / 2:
        start = 0.0
    smallest = int(curve.rows.min()) if len(curve.rows) else 0
    return Chart(
        title=f"Reliability of {one.name}",
        x=Axis(label="predicted", low=start, high=end, percent=True),
        y=Axis(label="observed", low=start, high=end, percent=True),
        series=[series],
        diagonal="predicted = observed",
        about=f"Each point stands for {smallest:,} rows or more.",
    )


def _scores_chart(one: Measured) -> Chart | None:
    edges, shares = distribution(one)
    if not shares:
        return None
    is_log = bool(edges[-1] > 10 * np.median(edges))
    series = []
    for name, values in shares.items():
        series.append(Series(name=name, x=edges.tolist(), y=values.tolist(), drawn="steps"))
    return Chart(
        title=f"Scores of {one.name}",
        x=Axis(label=f"{one.name}, logarithmic", log=True) if is_log else Axis(label=one.name),
        y=Axis(label="share of such rows", low=0.0, percent=True),
        series=series,
    )


def slices(seen: Seen) -> Section | None:
    """The worst slices: calibration and AUC, with intervals; None if there are none."""
    if not seen.slices:
        return None
    schema = seen.schema
    worst = list(seen.slices[:_SHOWN_SLICES])
    rows: list[list[Cell]] = []
    for one in worst:
        output = worst_output(one, schema)
        rows.append(
            [
                f"{one.column} = {one.value}",
                output,
                one.metrics["rows"],
                _percent(one.misplaced.get(output), sign=True),
                _with_interval(one, f"pcoc/{output}"),
                _with_interval(one, f"auc/{output}"),
                _text(one.metrics.get(f"ece/{output}"), None),
            ]
        )
    header = ["slice", "output", "rows", "misplaced", "predicted / observed", "AUC"]
    header.append("calibration error")
    about = (
        f"The worst of {len(seen.slices):,} slices, by the share of all outcomes that they "
        "misplace; in brackets 95 % intervals. Slices whose interval of predicted / observed holds "
        "1 come behind all others. Of many slices one in twenty leaves out 1 by chance."
    )
    parts: list[Part] = [Table(caption="Slices", header=header, rows=rows, about=about)]
    for output in judged_by(schema):
        parts.append(_slice_chart(worst, output, "pcoc"))
        if output in schema.step_names:
            parts.append(_slice_chart(worst, output, "auc"))
    return Section(
        title="Slices",
        about="For whom is the model wrong, although its sums are right?",
        parts=parts,
    )


def _slice_chart(worst: Sequence[Slice], output: str, kind: str) -> Dots:
    key = f"{kind}/{output}"
    low, high = _ends([one.intervals.get(key) for one in worst])
    level = (1.0, "as observed") if kind == "pcoc" else (0.5, "by chance")
    return Dots(
        title=f"{HEADINGS[kind]} of {output} by slice, worst first",
        axis=Axis(label=f"{HEADINGS[kind]} of {output}", log=kind == "pcoc"),
        names=[f"{one.column} = {one.value}" for one in worst],
        values=[one.metrics.get(key) for one in worst],
        low=low,
        high=high,
        level=level,
        about="The slices of the table in its order, with 95 % intervals.",
    )


def _ends(intervals: Sequence[Interval]) -> tuple[list[float | None], list[float | None]]:
    low = [ends[0] if ends is not None else None for ends in intervals]
    high = [ends[1] if ends is not None else None for ends in intervals]
    return low, high


def _cell(metrics: Metrics, key: str, whole: Slice | None) -> Cell:
    value = metrics.get(key)
    ends = whole.intervals.get(key) if whole else None
    return _text(value, ends)


def _with_interval(one: Slice, key: str) -> str:
    return _text(one.metrics.get(key), one.intervals.get(key))


def _text(value: float | None, ends: Interval) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    if ends is None:
        return f"{value:.4f}"
    return f"{value:.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"


def _percent(value: float | None, *, sign: bool = False) -> Cell:
    if value is None or not np.isfinite(value):
        return None
    return f"{value:+.2%}" if sign else f"{100 * value:.3g}%"
