"""Parts on the workers of an Apache Beam runner (extra `[beam]`).

A part is an element, and `beam.Map` does it. Beam's RunInference is not used: it batches elements
and emits the last batch when a bundle ends, which is too late for runners that have collected the
bundle by then, such as DaskRunner, and these elements are lost.
"""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tafe_tf.engines.driver import EngineError, OnRows, Part, Work
from tafe_tf.engines.worker import attempt, errand_of


class BeamDriver:
    """Deals parts out by a pipeline; rows are not told before its end.

    Args:
        options: Beam's options, such as `--runner`.
    """

    each_part = True

    def __init__(self, options: Sequence[str]) -> None:
        self._options = list(options)

    def run(
        self,
        work: Work,
        parts: Sequence[Part],
        on_rows: OnRows,
    ) -> None:
        """See `Driver.run`."""
        elements = [pickle.dumps(part) for part in parts]
        step = beam.Map(functools.partial(attempt, errand=errand_of(work)))
        try:
            with beam.Pipeline(options=PipelineOptions(self._options)) as pipeline:
                _ = pipeline | beam.Create(elements) | beam.Reshuffle() | "Work" >> step
        except Exception as error:  # each runner has classes of its own
            raise EngineError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What the worker said; portable runners bury it under its traceback."""
    said = re.findall(
        r"^(?:[\w.]*Error: )?(.*) \[while running '",
        str(error),
        re.MULTILINE,
    )
    if said:
        return str(said[-1])
    if isinstance(error, EngineError):  # DaskRunner raises it as it is
        return str(error)
    return f"the pipeline failed: {error}"
