"""A progress bar with rows/s, time left and, in training, the loss; without a terminal, a line a minute."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich import progress

SECONDS = 60.0  # between two lines where there is no terminal


class Progress:
    """Shows how far an epoch or another job has come.

    Args:
        title: stands before the bar.
        steps: total number of steps, or None if it is not known.
        done: steps done before.
        unit: what a step is called.
    """

    def __init__(self, title: str, steps: int | None, done: int = 0, unit: str = "steps") -> None:
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[loss]}{task.fields[speed]:,.0f} rows/s"),
            progress.TimeRemainingColumn(),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(title, total=steps, completed=done, loss="", speed=0.0)
        self._unit = unit
        self._rows, self._began = 0, time.monotonic()
        self._said = self._began

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def advance(self, steps: int, rows: int, loss: float | None = None) -> None:
        """Counts `steps` more steps over `rows` rows, with a mean `loss` if there is one."""
        self._rows += rows
        speed = self._rows / max(time.monotonic() - self._began, 1e-9)
        text = "" if loss is None else f"loss {loss:.4f}, "
        self._bar.update(self._task, advance=steps, loss=text, speed=speed)
        if self._bar.disable and time.monotonic() - self._said > SECONDS:
            task = self._bar.tasks[self._task]
            print(
                f"{task.description}: {task.completed:,.0f} {self._unit}, {text}{speed:,.0f} rows/s",
                flush=True,
            )
            self._said = time.monotonic()
