"""A progress bar on a terminal, and one printed line a minute where there is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich import progress

SECONDS = 60.0  # between two printed lines


class Progress:
    """Shows how far a job has come, its rows per second, the time left and, in training, the loss.

    Args:
        title: Text in front of the bar.
        steps: Number of steps in all; None if it is not known.
        done: Number of steps that were made before this process started; 0 by default.
        unit: What a step is called in the printed lines, in the plural; "steps" by default.
    """

    def __init__(
        self,
        title: str,
        steps: int | None,
        done: int = 0,
        unit: str = "steps",
    ) -> None:
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[loss]}{task.fields[speed]:,.0f} rows/s"),
            progress.TimeRemainingColumn(),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task(
            title,
            total=steps,
            completed=done,
            loss="",
            speed=0.0,
        )
        self._unit = unit
        self._rows = 0
        self._began = time.monotonic()
        self._printed = self._began

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

    def advance(
        self,
        steps: int,
        rows: int,
        loss: float | None = None,
    ) -> None:
        """Counts steps that have just been made.

        Args:
            steps: Number of these steps.
            rows: Number of rows in these steps.
            loss: Mean loss over these rows; None, the default, shows no loss.
        """
        now = time.monotonic()
        self._rows += rows
        seconds = now - self._began
        speed = self._rows / max(seconds, 1e-9)
        shown_loss = "" if loss is None else f"loss {loss:.4f}, "
        self._bar.update(
            self._task,
            advance=steps,
            loss=shown_loss,
            speed=speed,
        )
        is_due = now - self._printed > SECONDS
        if self._bar.disable and is_due:
            self._print_line(shown_loss, speed)
            self._printed = now

    def _print_line(self, shown_loss: str, speed: float) -> None:
        task = self._bar.tasks[self._task]
        done = f"{task.completed:,.0f} {self._unit}"
        print(f"{task.description}: {done}, {shown_loss}{speed:,.0f} rows/s", flush=True)
