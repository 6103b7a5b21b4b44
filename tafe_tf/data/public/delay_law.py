"""Last steps that come late, by a law that is known."""

from __future__ import annotations

import dataclasses

import numpy as np

_DAY = 86_400  # seconds
_START = 1_767_225_600  # 2026-01-01, in seconds since 1970: when every log begins


@dataclasses.dataclass(frozen=True, kw_only=True)
class DelayLaw:
    """How long after its row the last step of a funnel is logged, and how long the log is.

    Rows come evenly over the log. The delay of the last step is exponentially distributed, cut off
    at a window, and independent of everything else. The log stands as it was read at its end: a
    step that comes later is 0 in it.

    Attributes:
        mean_days: Mean of the exponential distribution, before it is cut off, in days.
        window_days: Where it is cut off, in whole days. Default: 7.
        log_days: How long the log is, in whole days, more than the window. Default: 28.

    Raises:
        ValueError: If a number breaks its rule.

    Example:
        >>> law = DelayLaw(mean_days=2.0, window_days=7, log_days=14)
        >>> law.share_seen(np.array([1.0, 7.0])).round(3).tolist()
        [0.406, 1.0]
        >>> round(law.mean_share_seen, 3)
        0.873
    """

    mean_days: float
    window_days: int = 7
    log_days: int = 28

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean_days) and self.mean_days > 0):
            rule = "delay_days must be a finite number, more than 0"
            raise ValueError(f"{rule}. Received: {self.mean_days}")
        if self.window_days < 1:
            raise ValueError(f"window_days must be 1 or more. Received: {self.window_days}")
        if self.log_days <= self.window_days:
            rule = f"log_days must be more than window_days, {self.window_days}"
            raise ValueError(f"{rule}. Received: {self.log_days}")

    @property
    def matures_after(self) -> str:
        """The window as `tafe_tf.schema.Task` has it."""
        return f"{self.window_days}d"

    def share_seen(self, age: np.ndarray) -> np.ndarray:
        """Computes the share of the last steps that rows show at ages in days, [n]."""
        passed = np.minimum(age, self.window_days)
        return np.asarray(np.expm1(-passed / self.mean_days) / self._of_window)

    @property
    def mean_share_seen(self) -> float:
        """The share of the last steps that the whole log shows: 1 less mean delay by length."""
        rest = self.window_days * (1.0 + self._of_window) / -self._of_window
        mean = self.mean_days - rest  # of the delays, cut off
        return float(1.0 - mean / self.log_days)

    @property
    def _of_window(self) -> float:
        """exp(-W / mean) - 1."""
        return float(np.expm1(-self.window_days / self.mean_days))

    def draw(self, rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws the times of rows, and whether each would show a last step.

        Args:
            rng: Draws them.
            rows: n.

        Returns:
            Seconds since 1970, int64 [n], and bool [n].
        """
        length = self.log_days * _DAY
        since_start = rng.integers(0, length, rows)
        delay = -self.mean_days * np.log1p(rng.random(rows) * self._of_window)  # days
        age = (length - since_start) / _DAY
        return _START + since_start, delay <= age
