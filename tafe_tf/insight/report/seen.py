"""What is known of a run: its files, and its test rows, which are predicted once."""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.atomic import read_json
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.errors import DataError
from tafe_tf.data.manifest import ManifestError
from tafe_tf.insight.figures.selector import Probe, Selection, SelectionCounts, has_selectors
from tafe_tf.insight.slices.measure import Slice, measure
from tafe_tf.insight.slices.measured import Rows
from tafe_tf.insight.slices.reading import slicings_by
from tafe_tf.insight.slices.values import Slicing
from tafe_tf.metrics import Metrics
from tafe_tf.schema import Schema
from tafe_tf.training import predecessor
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.noted_files import METRICS, SLICES, NotedFiles
from tafe_tf.training.predictions import Predictions
from tafe_tf.training.run import Run

ALL = "all rows"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a run.

    Attributes:
        run: The run.
        name: What the page calls it.
        history: The validation metrics by epoch.
        metrics: Those of the test rows; empty if there were none.
        rows: The test rows as the model predicts them, or as it did when it was trained if the
            files are gone and the run has kept its predictions; otherwise None.
        without_rows: Why the files are not there.
        whole: The metrics of all test rows with their intervals; None without rows.
        slices: Of the test rows, the worst first; empty if none were measured.
        days: The day of each test row, if a column of days was given.
        selection: What the selectors did to the test rows; None of a model without.
        before: The rows as the run before this one predicts them; None without such a run.
        before_name: What the page calls that run, or why it cannot be asked.
    """

    run: Run
    name: str
    history: list[Metrics]
    metrics: Metrics
    rows: Rows | None = None
    without_rows: str = ""
    whole: Slice | None = None
    slices: Sequence[Slice] = ()
    days: np.ndarray | None = None
    selection: Selection | None = None
    before: Rows | None = None
    before_name: str = ""

    @property
    def schema(self) -> Schema:
        """Of the run."""
        return self.run.schema

    def file(self, name: str) -> Any:
        """What a JSON file of the run holds; None if it is not there."""
        path = self.run.path / name
        return read_json(path) if path.exists() else None


def look_at(
    run: Run,
    name: str,
    by: Sequence[str] = (),
    day: str = "",
    *,
    with_details: bool = True,
) -> Seen:
    """Reads a run's files and predicts its test rows, once.

    Args:
        run: The run.
        name: What the page calls it.
        by: Columns by whose values the test rows are measured. Default: none, which takes what an
            evaluation with `--by` has left in the run.
        day: The column that has each row's day. Default: none.
        with_details: Whether slices, selectors and the run before are looked at too. Default: True.

    Raises:
        DataError: On a bad row, or if a column is not there.
        ManifestError: If the run's files are not those that it has written.
        RunError: If the run has not finished.
    """
    files = NotedFiles(run.path)
    files.check(*METRICS)
    try:
        history = run.history
    except FileNotFoundError as error:
        raise RunError(f"{error}; has the run finished?") from None
    known: dict[str, Any] = {
        "run": run,
        "name": name,
        "history": history,
        "metrics": run.metrics or {},
    }
    try:
        data = run.directory.rows.test()
    except RunError as error:
        if by or day:
            raise
        known |= {"without_rows": str(error), **_noted_predictions(run)}
        return Seen(**known, **_noted_slices(run, with_details))
    if data is None:
        why = f"{run.directory}: was trained without test rows"
        return Seen(**known, without_rows=why, **_noted_slices(run, with_details))
    slicings = slicings_by(data, by) if by else []
    if day:
        known["days"] = days_of(data, day)
    rows, selection = _predicted(run, data, with_details)
    known["rows"] = rows
    known["selection"] = selection
    known["whole"] = whole_of(rows, run.schema)
    if not with_details:
        return Seen(**known)
    if slicings:
        known["slices"] = measure(rows, slicings, run.schema)
    else:
        known |= _noted_slices(run, True)
    return Seen(**known, **_before(run, data))


def is_current(run: Run, name: str) -> bool:
    """Whether a file is of the weights that a run has now, see `NotedFiles`."""
    return NotedFiles(run.path).is_of_these_weights(name)


def whole_of(rows: Rows, schema: Schema) -> Slice:
    """The metrics of all rows with their intervals.

    Args:
        rows: The rows, see `Predictions.arrays`.
        schema: Theirs.
    """
    together = Slicing(column="", names=(ALL,), place=np.zeros(len(rows["depth"]), np.int64))
    (whole,) = measure(rows, [together], schema)
    return whole


def days_of(data: FunnelData, column: str) -> np.ndarray:
    """The day of each row as a text: a time's date, or the value as it is.

    Args:
        data: The rows.
        column: The column's name.

    Raises:
        DataError: If the column is not there.
    """
    values = data.kept_columns([column])[column]
    if pa.types.is_timestamp(values.type):
        values = pc.strftime(values, "%Y-%m-%d")
    texts = pc.fill_null(pc.cast(values, pa.string()), "(missing)")
    return np.asarray(texts.to_numpy(zero_copy_only=False), np.str_)


def _noted_predictions(run: Run) -> dict[str, Any]:
    """The test rows as the run predicted them when it was trained, if it has kept that."""
    path = run.path / "predictions.npz"
    if not path.exists():
        return {}
    try:
        with np.load(path) as arrays:
            rows = dict(arrays)
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise RunError(f"{path}: is damaged ({error}); remove it") from None
    return {"rows": rows, "whole": whole_of(rows, run.schema)}


def _noted_slices(run: Run, is_wanted: bool) -> dict[str, Any]:
    """The slices that an evaluation has left in the run, if it has."""
    path = run.path / SLICES
    if not is_wanted or not path.exists() or not is_current(run, SLICES):
        return {}
    return {"slices": [Slice(**one) for one in read_json(path)]}


def _predicted(
    run: Run,
    data: FunnelData,
    with_selectors: bool,
) -> tuple[Rows, Selection | None]:
    """What the model predicts of rows, and what its selectors do to them."""
    seen = Predictions(data.schema, keeps_group=True)
    model: Any = run.model
    if not with_selectors or not has_selectors(model):
        Evaluator(model, run.features).predict(data, "all", seen.add)
        return seen.arrays(), None
    probe = Probe(model)
    counts = SelectionCounts(probe.blocks, probe.units)

    def add(outputs: np.ndarray, batch: Batch) -> bool:
        predicted, z, embeddings = probe.split(outputs)
        counts.add(z, embeddings)
        return seen.add(predicted, batch)

    Evaluator(probe, run.features).predict(data, "all", add)
    return seen.arrays(), counts.result()


def _before(run: Run, data: FunnelData) -> dict[str, Any]:
    """The rows as the run before this one predicts them, if there is one that can be asked."""
    earlier = predecessor.predecessor_of(run.directory)
    if earlier is None:
        return {}
    name = f"{pathlib.PurePosixPath(str(earlier)).name} (the run before)"
    if not earlier.is_there:
        return {"before_name": f"{earlier}: the run before this one is gone"}
    seen = Predictions(data.schema, keeps_group=True)
    try:
        predecessor.evaluate(earlier, data, also=seen.add)
    except (DataError, ManifestError, RunError) as error:
        return {"before_name": f"{earlier}: cannot be compared with: {error}"}
    return {"before": seen.arrays(), "before_name": name}
