"""Alternating rounds over what is compared, their medians and spread, and a peer's command."""

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

from benchmarks.support import cpu_limits

ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "How many times everything that is compared is measured, in turn.", lower_bound=1
)
SECONDS = flags.DEFINE_float(
    "seconds", 4.0, "Seconds that a figure is measured in a round, warm-up aside.", lower_bound=0.1
)
AGAINST = flags.DEFINE_string(
    "against",
    "",
    "A peer's command, which is run once a round and prints a line of JSON with its figures; by "
    "default there is none.",
)

Figures = Mapping[str, float]  # by name
Measure = Callable[[], Figures]  # measures each figure once
Seen = dict[str, dict[str, list[float]]]  # by way and figure, a value a round

PEER = "against"  # the peer's name among the ways


@dataclasses.dataclass(frozen=True)
class Spread:
    """A figure over some rounds.

    Attributes:
        median: The middle value.
        least: The smallest value.
        most: The largest value.
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of values, rounded to four decimal places."""
        return cls(
            median=round(statistics.median(values), 4),
            least=round(min(values), 4),
            most=round(max(values), 4),
        )

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 2
        median, least, most = (f"{value:,.{digits}f}" for value in dataclasses.astuple(self))
        return f"{median} ({least}-{most})"


def rate(step: Callable[[], int], seconds: float) -> float:
    """Measures rows per second.

    Args:
        step: Does some work and returns the number of its rows.
        seconds: How long to repeat the step.
    """
    rows = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds:
        rows += step()
    return rows / passed


def run(ways: Mapping[str, Measure], peer_keys: Mapping[str, str]) -> Seen:
    """Measures every way, and the peer if --against names one, once in each round.

    Args:
        ways: What measures, by the name of what is compared.
        peer_keys: What the peer calls each of our figures; "latency_b1.p50_ms" is the key "p50_ms"
            inside the object "latency_b1".

    Returns:
        All values; the peer's are those of the way "against".
    """
    measures = dict(ways)
    if AGAINST.value:
        measures[PEER] = functools.partial(_ask_peer, AGAINST.value, peer_keys)
    seen: Seen = {}
    for number in range(1, ROUNDS.value + 1):
        for way, measure in measures.items():
            print(f"round {number} of {ROUNDS.value}: {way}", flush=True)
            values = seen.setdefault(way, {})
            for figure, value in measure().items():
                values.setdefault(figure, []).append(value)
    return seen


def ask(command: Sequence[str]) -> dict[str, Any]:
    """Runs a benchmark in a process of its own and returns the last JSON object that it prints."""
    ended = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    objects = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    last: dict[str, Any] = json.loads(objects[-1])
    return last


def _ask_peer(command: str, keys: Mapping[str, str]) -> dict[str, float]:
    """A peer's figures; each is a number, or an object with its "median"."""
    answer = ask(shlex.split(command))
    figures = {}
    for figure, path in keys.items():
        value: Any = answer
        for key in path.split("."):
            value = value[key]
        figures[figure] = float(value["median"] if isinstance(value, dict) else value)
    return figures


def show(seen: Seen, title: str) -> None:
    """Prints the processor's limits, a table, and JSON: all spreads, and with a peer the ratios."""
    print(cpu_limits.line())
    show_table(seen, title)
    print(json.dumps({way: _spreads(values) for way, values in seen.items()}))
    if PEER in seen:
        for way in [way for way in seen if way != PEER]:
            print(json.dumps(_ratios(way, seen[way], seen[PEER])))


def show_table(seen: Seen, title: str) -> None:
    """Prints a table with a row for each way and a column for each figure."""
    figures = list(next(iter(seen.values())))
    heading = f"{title}: median (least-most) of {ROUNDS.value} rounds"
    table = Table("", *figures, title=heading)
    for way, values in seen.items():
        cells = [str(Spread.of(values[figure])) if figure in values else "" for figure in figures]
        table.add_row(way, *cells)
    Console().print(table)


def _spreads(values: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """The spread of each figure, ready for JSON."""
    return {name: dataclasses.asdict(Spread.of(of_rounds)) for name, of_rounds in values.items()}


def _ratios(
    way: str, ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """By figure, ours, theirs, and their ratio round by round."""
    line: dict[str, Any] = {"model": way}
    for figure in theirs:
        pairs = zip(ours[figure], theirs[figure], strict=True)
        values = {
            "ours": ours[figure],
            "theirs": theirs[figure],
            "ratio": [own / peer for own, peer in pairs],
        }
        line[figure] = _spreads(values)
    return line
