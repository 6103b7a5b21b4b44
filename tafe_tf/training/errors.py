"""The error for run directories that cannot be used."""

from __future__ import annotations


class RunError(ValueError):
    """A run directory does not hold what was asked of it."""
