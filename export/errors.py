"""What can be wrong with an export."""

from __future__ import annotations


class ExportError(RuntimeError):
    """An export does not do what it must; nothing was published or withdrawn."""


class CalibrationError(ValueError):
    """The held-out rows cannot calibrate a step of the funnel."""
