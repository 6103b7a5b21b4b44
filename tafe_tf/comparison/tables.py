"""A comparison's results as tables for terminals and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tafe_tf.comparison.statistics import MEAN
from tafe_tf.schema import Schema

Rows = list[list[str]]


def quality(results: dict[str, Any], schema: Schema) -> Rows:
    """AUCs with their spread over seeds, gains, and the paired test; a header and one row a model."""
    names = [*schema.step_names, *schema.conditional_names]
    header = [
        "model",
        "seeds",
        *(f"AUC {name}" for name in names),
        "mean over tasks [95 %]",
        "gain",
    ]
    rows = [[*header, f"against {results['against']}", "p"]]
    for name, model in results["models"].items():
        means = [model["metrics"].get(f"auc/{n}") for n in schema.step_names]
        mean = sum(m["mean"] for m in means) / len(means) if all(means) else None
        low_high = model["interval"].get(MEAN)
        spread = f" [{_short(low_high[0])}, {_short(low_high[1])}]" if low_high else ""
        gains = [f"{gain:+.2%}" for gain in model["gain"].values()] if name != "single_task" else []
        rows.append(
            [
                name,
                str(len(model["seeds"])),
                *(_mean_sd(model["metrics"].get(f"auc/{n}")) for n in names),
                f"{_short(mean)}{spread}",
                " ".join(gains) or "-",
                *_test(model["difference"]),
            ]
        )
        if told := model["published"]:
            steps = [told.get(f"auc/{n}") for n in schema.step_names]
            average = sum(steps) / len(steps) if None not in steps else None
            cells = [_short(told.get(f"auc/{n}")) for n in names]
            rows.append([f"{name}, {results['source']}", "", *cells, _short(average), "", "", ""])
    return rows


def calibration(results: dict[str, Any], schema: Schema) -> Rows:
    """Log loss, sums and calibration error by step, and how often a later step exceeds an earlier one."""
    header = [
        f"{title} {name}"
        for name in schema.step_names
        for title in ("log loss", "pred./obs.", "ECE")
    ]
    rows = [["model", *header, "violations"]]
    for name, model in results["models"].items():
        keys = [
            f"{kind}/{step}" for step in schema.step_names for kind in ("log_loss", "pcoc", "ece")
        ]
        cells = [_short(_mean(model, key), 4 if not key.startswith("pcoc") else 3) for key in keys]
        share = _mean(model, "violation_rate")
        rows.append([name, *cells, "-" if share is None else f"{share:.2%}"])
    return rows


def truth(results: dict[str, Any], schema: Schema) -> Rows:
    """Learned beside true probabilities; only a header where the truth is not known."""
    names = [
        *schema.step_names,
        *schema.conditional_names,
        *(f"{n}_unreached" for n in schema.conditional_names),
    ]
    rows = [
        [
            "model",
            *(f"{title} {_said(name)}" for name in names for title in ("pred./true", "abs. error")),
        ]
    ]
    for name, model in results["models"].items():
        keys = [f"{kind}/{n}" for n in names for kind in ("truth_ratio", "truth_mae")]
        if keys[0] in model["metrics"]:
            rows.append(
                [name, *(_short(_mean(model, key), 3 if "ratio" in key else 4) for key in keys)]
            )
    return rows


def cost(results: dict[str, Any]) -> Rows:
    """Size and speed."""
    rows = [["model", "parameters", "MiB", "training rows/s", "test rows/s"]]
    for name, model in results["models"].items():
        speeds = (f"{model[key]:,.0f}" for key in ("train_rows_per_second", "test_rows_per_second"))
        rows.append([name, f"{model['parameters']:,}", f"{model['mib']:.2f}", *speeds])
    return rows


def sections(results: dict[str, Any], schema: Schema) -> list[tuple[str, Rows]]:
    """Titles and rows of all tables that have something to tell."""
    groups = f" in {results['groups']:,} groups, which are drawn whole" if results["groups"] else ""
    told = [
        (
            f"{results['dataset']}: {results['test_rows']:,} test rows{groups}",
            quality(results, schema),
        ),
        ("calibration", calibration(results, schema)),
        ("learned beside true", truth(results, schema)),
        ("cost", cost(results)),
    ]
    return [(title, rows) for title, rows in told if len(rows) > 1]


def tables(results: dict[str, Any], schema: Schema) -> list[Table]:
    """For terminals."""
    made = []
    for title, (header, *rows) in sections(results, schema):
        table = Table(title=title, title_justify="left")
        for i, text in enumerate(header):
            table.add_column(text, justify="right" if i else "left", no_wrap=not i)
        for row in rows:
            table.add_row(*row)
        made.append(table)
    return made


def markdown(results: dict[str, Any], schema: Schema) -> str:
    """For documents."""
    parts = [f"**{title}**\n\n{_lines(rows)}" for title, rows in sections(results, schema)]
    failures = "".join(f"- failed: {cell}: {error}\n" for cell, error in results["failed"].items())
    return "\n".join([*parts, failures] if failures else parts)


def _lines(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |\n" for row in rows]
    lines.insert(1, f"|{'---|' * len(rows[0])}\n")
    return "".join(lines)


def _said(name: str) -> str:
    return name.replace("_unreached", ", unreached")


def _mean(model: dict[str, Any], key: str) -> float | None:
    value = model["metrics"].get(key)
    return None if value is None else float(value["mean"])


def _short(value: float | None, digits: int = 4) -> str:
    """A share without its leading zero."""
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def _mean_sd(metric: dict[str, Any] | None) -> str:
    if metric is None:
        return "-"
    return _short(metric["mean"]) + (
        f" ± {_short(metric['sd'])}" if metric["sd"] is not None else ""
    )


def _test(difference: dict[str, Any] | None) -> list[str]:
    if not difference:
        return ["-", "-"]
    low, high = difference["interval"]
    return [f"{difference['mean']:+.4f} [{low:+.4f}, {high:+.4f}]", f"{difference['p']:.3f}"]
