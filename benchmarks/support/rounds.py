"""What the benchmarks share: rounds that alternate, medians with their spread, and a peer's command beside ours."""

from __future__ import annotations

import dataclasses
import functools
import json
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console
from rich.table import Table

ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "Rounds over everything that is compared.", lower_bound=1
)
SECONDS = flags.DEFINE_float(
    "seconds", 4.0, "Seconds a figure and round, after a warm-up.", lower_bound=0.1
)
AGAINST = flags.DEFINE_string(
    "against",
    "",
    "A peer's command, run once a round; it prints a line of JSON with figures named as ours.",
)

Figures = Mapping[str, float]
Measure = Callable[[], Figures]


@dataclasses.dataclass(frozen=True)
class Spread:
    """Median, least and most of some rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of values."""
        return cls(*(round(f(values), 4) for f in (statistics.median, min, max)))

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 2
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}-{self.most:,.{digits}f})"


def rate(step: Callable[[], int], seconds: float) -> float:
    """Rows a second of a step that returns its rows, called until the seconds are over."""
    rows, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        rows += step()
    return rows / passed


def run(
    ways: Mapping[str, Measure], peer_keys: Mapping[str, str]
) -> dict[str, dict[str, list[float]]]:
    """Figures by way, one a round; the peer's are under "against".

    Args:
        ways: what is compared, by name: each measures its figures once.
        peer_keys: for each of our figures, what the peer calls it; "latency_b1.p50_ms" is a key of a key.
    """
    measures = dict(ways)
    if AGAINST.value:
        measures["against"] = functools.partial(_ask_peer, AGAINST.value, peer_keys)
    seen: dict[str, dict[str, list[float]]] = {}
    for number in range(ROUNDS.value):
        for way, measure in measures.items():
            print(f"round {number + 1} of {ROUNDS.value}: {way}", flush=True)
            for figure, value in measure().items():
                seen.setdefault(way, {}).setdefault(figure, []).append(value)
    return seen


def ask(command: Sequence[str]) -> dict[str, Any]:
    """Runs a benchmark in a process of its own; the last line of JSON that it prints."""
    out = subprocess.run(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True, text=True
    ).stdout
    said: dict[str, Any] = json.loads(
        [line for line in out.splitlines() if line.startswith("{")][-1]
    )
    return said


def _ask_peer(command: str, keys: Mapping[str, str]) -> dict[str, float]:
    """A peer's figures; a figure is a number, or a mapping with its "median"."""
    said, figures = ask(shlex.split(command)), {}
    for figure, path in keys.items():
        value: Any = said
        for key in path.split("."):
            value = value[key]
        figures[figure] = float(value["median"] if isinstance(value, dict) else value)
    return figures


def show(seen: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> None:
    """A table of all ways, and a line of JSON; with a peer, ours against theirs comes last."""
    show_table(seen, title)
    spreads = {
        way: {f: dataclasses.asdict(Spread.of(v)) for f, v in values.items()}
        for way, values in seen.items()
    }
    print(json.dumps(spreads))
    if "against" in seen:
        for way in (w for w in seen if w != "against"):
            print(json.dumps(_ratios(way, seen[way], seen["against"])))


def show_table(seen: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> None:
    """A row a way, a column a figure."""
    figures = list(next(iter(seen.values())))
    table = Table("", *figures, title=f"{title}: median (least-most) of {ROUNDS.value} rounds")
    for way, values in seen.items():
        table.add_row(way, *(str(Spread.of(values[f])) if f in values else "" for f in figures))
    Console().print(table)


def _ratios(
    way: str, ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Ours, theirs and round by round their ratio, by figure."""
    line: dict[str, Any] = {"model": way}
    for figure in theirs:
        pairs = {"ours": ours[figure], "theirs": theirs[figure]}
        pairs["ratio"] = [a / b for a, b in zip(ours[figure], theirs[figure], strict=True)]
        line[figure] = {
            name: dataclasses.asdict(Spread.of(values)) for name, values in pairs.items()
        }
    return line
