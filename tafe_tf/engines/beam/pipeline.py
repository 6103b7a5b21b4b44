"""Apache Beam pipelines (extra [beam]) over elements that are names of work to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any


class PipelineError(RuntimeError):
    """A pipeline failed; the message is what the worker said: a bad row's file, row, column and value, say."""


def run(elements: Sequence[Any], step: Any, options: Sequence[str]) -> None:
    """Runs a step on elements that are spread over the workers, to its end.

    Args:
        elements: what can be pickled.
        step: a `beam.PTransform`, or several joined by `|`.
        options: of Beam, `--runner` among them.

    Raises:
        PipelineError: if the pipeline failed.
    """
    import apache_beam as beam  # an extra: who only catches the error needs it not
    from apache_beam.options.pipeline_options import PipelineOptions

    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = pipeline | beam.Create(elements) | beam.Reshuffle() | step
    except Exception as error:  # of as many classes as there are runners
        raise PipelineError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What the worker said; portable runners bury it under its traceback."""
    said = re.findall(r"^(?:[\w.]*Error: )?(.*) \[while running '", str(error), re.MULTILINE)
    return said[-1] if said else f"the pipeline failed: {error}"
