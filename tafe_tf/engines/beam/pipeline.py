"""Apache Beam pipelines (extra `[beam]`) over elements that are names of work to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


class PipelineError(RuntimeError):
    """A pipeline failed; the message is what the worker said, such as a bad row's file and row."""


def run(
    elements: Sequence[Any],
    step: Any,
    options: Sequence[str],
) -> None:
    """Runs a step on elements that are spread over the workers, to its end.

    Args:
        elements: What the step is called with; they must be picklable.
        step: A `beam.PTransform`, or several joined by `|`.
        options: Beam's options, `--runner` among them.

    Raises:
        PipelineError: If the pipeline failed.
    """
    # Optional dependency: importing this module for `PipelineError` must not need Beam.
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = pipeline | beam.Create(elements) | beam.Reshuffle() | step
    except Exception as error:  # each runner has classes of its own
        raise PipelineError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What the worker said; portable runners bury it under its traceback."""
    said = re.findall(
        r"^(?:[\w.]*Error: )?(.*) \[while running '",
        str(error),
        re.MULTILINE,
    )
    return said[-1] if said else f"the pipeline failed: {error}"
