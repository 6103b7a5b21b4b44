"""Axes of charts: their range, where their marks are, and how numbers are written."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import TypeGuard

from tafe_tf.insight.page.parts import Axis, Cell

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_AT_MOST = 6  # marks on an axis


def is_known(value: Cell) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, numbers.Real) and math.isfinite(value)


def number(value: Cell) -> str:
    """Writes a cell: a text as it is, a number with at most five digits, "-" if there is none."""
    if isinstance(value, str):
        return value
    if not is_known(value):
        return "-"
    value = float(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e5:
        return f"{value:,.0f}"
    if abs(value) >= 1e-3:
        return f"{value:,.5g}" if abs(value) < 1 else f"{value:,.6g}"
    return f"{value:.3g}"


class Scale:
    """Maps the values of an axis to places from 0 to 1.

    Args:
        axis: The axis.
        values: All values on it; the unknown ones are ignored.
    """

    def __init__(self, axis: Axis, values: Iterable[Cell]) -> None:
        self.axis = axis
        known = [float(value) for value in values if self._has_place(value)]
        low = axis.low if axis.low is not None else min(known, default=0.0)
        high = axis.high if axis.high is not None else max(known, default=1.0)
        if axis.log and low <= 0:
            low = min(known, default=1.0)
        if high <= low:
            room = abs(low) * 0.05 or 0.5
            low, high = (low / 2, low * 2) if axis.log else (low - room, high + room)
        self.low = low
        self.high = high

    def _has_place(self, value: Cell) -> TypeGuard[float]:
        return is_known(value) and not (self.axis.log and value <= 0)

    def place(self, value: Cell) -> float | None:
        """Where a value is, from 0 to 1; values beyond an end are at it, unknown ones nowhere."""
        if not self._has_place(value):
            return None
        at, low, high = float(value), self.low, self.high
        if self.axis.log:
            at, low, high = math.log(at), math.log(low), math.log(high)
        share = (at - low) / (high - low)
        return min(max(share, 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """The marks: each a value and its text."""
        values = self._powers() if self.axis.log else self._round_numbers()
        return [(value, self.text(value)) for value in values]

    def text(self, value: float) -> str:
        """How a mark's value is written."""
        if self.axis.percent:
            return f"{100 * value:.4g} %"
        if value and not 1e-4 <= abs(value) < 1e6:
            return f"{value:.2g}"
        return f"{value:,.10g}"

    def _round_numbers(self) -> list[float]:
        width = self.high - self.low
        rough = width / _AT_MOST
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * step for step in _STEPS if power * step >= rough * 0.999)
        if self.axis.whole:
            step = max(math.ceil(step), 1.0)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]

    def _powers(self) -> list[float]:
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        if last - first < 1:
            return self._round_numbers()
        every = math.ceil((last - first + 1) / _AT_MOST)
        return [10.0**i for i in range(first, last + 1, every)]
