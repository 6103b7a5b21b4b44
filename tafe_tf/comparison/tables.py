"""A comparison's results as tables, for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from tafe_tf.comparison.means import CONDITIONAL_MEAN, MEAN
from tafe_tf.schema import Schema
from tafe_tf.terminal.tables import share, spoken

Results = Mapping[str, Any]  # what Comparison.results returns
Rows = list[list[str]]  # the header first


def quality(results: Results, schema: Schema) -> Rows:
    """AUCs with their spread over seeds, gains over single_task, and the paired test."""
    names = [*schema.step_names, *schema.conditional_names]
    aucs = [f"AUC {name}" for name in names]
    header = [
        "model",
        "seeds",
        *aucs,
        "mean over tasks [95 %]",
        "gain",
        f"against {results['against']}",
        "p",
    ]
    rows = [header]
    for name, model in results["models"].items():
        rows.append(_quality_row(name, model, schema))
        if model["published"]:
            title = f"{name}, {results['source']}"
            rows.append(_published_row(title, model["published"], schema))
    return rows


def _quality_row(
    name: str,
    model: Results,
    schema: Schema,
) -> list[str]:
    names = [*schema.step_names, *schema.conditional_names]
    metrics = model["metrics"]
    aucs = [mean_and_deviation(metrics.get(f"auc/{step}")) for step in names]
    over_tasks = mean_auc(model, schema.step_names)
    gains = "-"
    if model["gain"] and name != "single_task":
        gains = " ".join(f"{gain:+.2%}" for gain in model["gain"].values())
    return [
        name,
        str(len(model["seeds"])),
        *aucs,
        _with_interval(over_tasks, model["interval"].get(MEAN)),
        gains,
        *_test(model["difference"]),
    ]


def _published_row(
    title: str,
    published: Results,
    schema: Schema,
) -> list[str]:
    names = [*schema.step_names, *schema.conditional_names]
    aucs = [short(published.get(f"auc/{name}")) for name in names]
    of_tasks = [published.get(f"auc/{name}") for name in schema.step_names]
    over_tasks = _mean_of(of_tasks)
    return [
        title,
        "",
        *aucs,
        short(over_tasks),
        "",
        "",
        "",
    ]


def conditionals(results: Results, schema: Schema) -> Rows:
    """The mean AUC of the conditional probabilities, and the paired test of it.

    A funnel of one step has no conditionals: the header is alone then.
    """
    against = results["conditionals_against"]
    rows = [["model", "mean over conditionals [95 %]", f"against {against}", "p"]]
    if not schema.conditional_names:
        return rows
    for name, model in results["models"].items():
        mean = mean_auc(model, schema.conditional_names)
        bounds = model["interval"].get(CONDITIONAL_MEAN)
        test = _test(model["conditional_difference"])
        rows.append([name, _with_interval(mean, bounds), *test])
    return rows


def calibration(results: Results, schema: Schema) -> Rows:
    """Log loss, predicted over observed sums and calibration error by step, and violations.

    A funnel of one step has no violations.
    """
    header = ["model"]
    for name in schema.step_names:
        header += [f"log loss {name}", f"pred./obs. {name}", f"ECE {name}"]
    has_pairs = len(schema.tasks) > 1
    if has_pairs:
        header.append("violations")
    rows = [header]
    for name, model in results["models"].items():
        row = [name]
        for step in schema.step_names:
            log_loss = _mean(model, f"log_loss/{step}")
            predicted_over_observed = _mean(model, f"pcoc/{step}")
            calibration_error = _mean(model, f"ece/{step}")
            row.append(short(log_loss))
            row.append(short(predicted_over_observed, digits=3))
            row.append(short(calibration_error))
        if has_pairs:
            violations = _mean(model, "violation_rate")
            row.append(share(violations))
        rows.append(row)
    return rows


def truth(results: Results, schema: Schema) -> Rows:
    """Learned and true probabilities; a header alone where the truth is not known."""
    unreached = [f"{name}_unreached" for name in schema.conditional_names]
    names = [*schema.step_names, *schema.conditional_names, *unreached]
    header = ["model"]
    for name in names:
        header += [f"pred./true {spoken(name)}", f"abs. error {spoken(name)}"]
    rows = [header]
    for model_name, model in results["models"].items():
        if f"truth_ratio/{names[0]}" not in model["metrics"]:
            continue
        row = [model_name]
        for name in names:
            ratio = _mean(model, f"truth_ratio/{name}")
            error = _mean(model, f"truth_mae/{name}")
            row.append(short(ratio, digits=3))
            row.append(short(error))
        rows.append(row)
    return rows


def cost(results: Results) -> Rows:
    """Parameters, their size in float32, epochs and minutes of training, rows per second."""
    header = [
        "model",
        "parameters",
        "MiB",
        "epochs",
        "training minutes",
        "training rows/s",
        "test rows/s",
    ]
    rows = [header]
    for name, model in results["models"].items():
        rows.append(
            [
                name,
                f"{model['parameters']:,}",
                f"{model['mib']:.2f}",
                f"{model['epochs']:g}",
                f"{model['training_minutes']:.1f}",
                f"{model['train_rows_per_second']:,.0f}",
                f"{model['test_rows_per_second']:,.0f}",
            ]
        )
    return rows


def searched(results: Results) -> Rows:
    """The settings of `--tuned` by model; without it the header is alone."""
    rows = [["model", "settings"]]
    for name, settings in results.get("tuned", {}).items():
        rows.append([name, settings or "as given"])
    return rows


def sections(results: Results, schema: Schema) -> list[tuple[str, Rows]]:
    """Title and rows of every table that has more than its header."""
    title = f"{results['dataset']}: {results['test_rows']:,} test rows"
    if results["groups"]:
        title += f" in {results['groups']:,} groups, which are drawn whole"
    made = [
        (title, quality(results, schema)),
        ("conditional probabilities", conditionals(results, schema)),
        ("calibration", calibration(results, schema)),
        ("learned and true probabilities", truth(results, schema)),
        ("cost", cost(results)),
        ("settings that a search chose", searched(results)),
    ]
    return [(title, rows) for title, rows in made if len(rows) > 1]


def tables(results: Results, schema: Schema) -> list[Table]:
    """The tables for a terminal."""
    made = []
    for title, (header, *rows) in sections(results, schema):
        table = Table(title=title, title_justify="left")
        name, *figures = header
        table.add_column(name, no_wrap=True)
        for figure in figures:
            table.add_column(figure, justify="right")
        for row in rows:
            table.add_row(*row)
        made.append(table)
    return made


def markdown(results: Results, schema: Schema) -> str:
    """The tables and the failed runs in Markdown."""
    parts = []
    for title, rows in sections(results, schema):
        parts.append(f"**{title}**\n\n{lines(rows)}")
    failures = [f"- failed: {run}: {error}\n" for run, error in results["failed"].items()]
    if failures:
        parts.append("".join(failures))
    return "\n".join(parts)


def lines(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the header first."""
    header, *others = [f"| {' | '.join(row)} |\n" for row in rows]
    rule = f"|{'---|' * len(rows[0])}\n"
    return "".join([header, rule, *others])


def _mean(model: Results, metric: str) -> float | None:
    """A metric's mean over seeds; None if it is undefined."""
    value = model["metrics"].get(metric)
    return None if value is None else float(value["mean"])


def mean_auc(model: Results, names: Sequence[str]) -> float | None:
    """The mean over some probabilities of a model's AUCs; None if one of them is undefined."""
    aucs = [_mean(model, f"auc/{name}") for name in names]
    return _mean_of(aucs)


def _mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None if any value is undefined."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return sum(known) / len(known)


def short(value: float | None, digits: int = 4) -> str:
    """A number without the zero in front of its decimal point; "-" if it is undefined."""
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def _with_interval(value: float | None, bounds: Sequence[float] | None) -> str:
    if not bounds:
        return short(value)
    low, high = map(short, bounds)
    return f"{short(value)} [{low}, {high}]"


def mean_and_deviation(metric: Results | None) -> str:
    """A metric's mean ± its standard deviation over seeds; "-" if it is undefined."""
    if metric is None:
        return "-"
    mean = short(metric["mean"])
    if metric["sd"] is None:
        return mean
    return f"{mean} ± {short(metric['sd'])}"


def _test(difference: Results | None) -> list[str]:
    """The difference with its interval, and the p-value."""
    if not difference:
        return ["-", "-"]
    low, high = difference["interval"]
    return [f"{difference['mean']:+.4f} [{low:+.4f}, {high:+.4f}]", f"{difference['p']:.3f}"]
