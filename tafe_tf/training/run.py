"""A finished run: its metrics, and its model's answers."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import keras
import numpy as np
import pyarrow as pa

from tafe_tf.data.atomic import read_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.times import judged_at
from tafe_tf.data.formats.in_memory import ArrowRows, to_arrow
from tafe_tf.data.formats.patterns import find_sources
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.features.graph import Features
from tafe_tf.metrics import Metrics
from tafe_tf.native import stack
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import Schema
from tafe_tf.training.embeddings import rows_of_field
from tafe_tf.training.evaluator import Evaluator, Use
from tafe_tf.training.noted_rows import EVALUATION_ROWS
from tafe_tf.training.run_dir import RunDir

if TYPE_CHECKING:
    from tafe_tf.insight.importance.measure import Importance
    from tafe_tf.insight.report.job import Report


def as_rows(
    rows: Any,
    name: str,
    schema: Schema | None = None,
    input_format: str = "",
) -> tuple[str, ...] | pa.Table:
    """Rows as a user gives them: paths and patterns name files, anything else is a table in memory.

    Args:
        rows: A path or a pattern, a sequence of these, see `find_sources`, a pandas or Polars
            DataFrame, a pyarrow Table, or a mapping of column names to arrays or lists.
        name: Of the rows, for error messages.
        schema: Of the dataset, see `to_arrow`. Default: None.
        input_format: The format of files without an ending, see `find_sources`. Default: "".

    Raises:
        DataError: If it is none of them, or no files are found.
        FileNotFoundError: If a path is not there.
    """
    given = [rows] if isinstance(rows, str | os.PathLike) else rows
    is_sequence = isinstance(given, list | tuple)
    if is_sequence and all(isinstance(row, str | os.PathLike) for row in given):
        return find_sources([os.fspath(row) for row in given], input_format)
    return to_arrow(rows, name, schema)


class Run:
    """A trained model, the data that it was trained on, and how well it does.

    `tafe_tf.fit` and `tafe_tf.load` make one.

    Args:
        directory: Of the run.

    Raises:
        RunError: If the directory holds no finished run.
    """

    def __init__(self, directory: RunDir) -> None:
        self.directory = directory
        self.path = directory.path
        directory.check_trained()

    def __repr__(self) -> str:
        return f"Run({str(self.directory)!r})"

    @functools.cached_property
    def schema(self) -> Schema:
        """What the columns are."""
        return self.directory.schema()

    @functools.cached_property
    def features(self) -> Features:
        """The feature graph: raw columns in, the model's inputs out."""
        return self.directory.features()

    @functools.cached_property
    def model(self) -> keras.Model:
        """The trained model with its best weights: ids in, logits [B, N] out."""
        model = self.directory.load_best()
        model.field_names = [feature.name for feature in self.schema.id_features]
        stack.use(model)
        return model

    @property
    def metrics(self) -> Metrics | None:
        """The metrics of the test rows; None if there were none."""
        self.directory.files.check("metrics.json")
        path = self.path / "metrics.json"
        return read_json(path) if path.exists() else None

    @property
    def history(self) -> list[Metrics]:
        """The training and validation metrics by epoch."""
        self.directory.files.check("history.json")
        history: list[Metrics] = read_json(self.path / "history.json")
        return history

    def predict(
        self,
        rows: Any,
        batch_size: int = EVALUATION_ROWS,
        input_format: str = "",
    ) -> dict[str, np.ndarray]:
        """The probabilities of rows, whose labels may be missing.

        Args:
            rows: See `as_rows`.
            batch_size: Number of rows that go through the model together. The default is 4,096.
            input_format: The format of files without an ending, see `as_rows`. Default: "".

        Returns:
            float32 [n] by name: "ctr", "ctcvr" and "cvr", or the longer funnel's names, or "ctr"
            alone in one of one step; and the amounts, if the schema has one. As an export of the
            run answers.

        Raises:
            DataError: On a bad row.
            ManifestError: If the run's files are not those that it has written.
        """
        parts: dict[str, list[np.ndarray]] = {}
        for columns in self.served_columns(rows, batch_size, input_format):
            for name, values in self.answer(columns).items():
                of_name = parts.setdefault(name, [])
                of_name.append(values)
        joined = {}
        for name, arrays in parts.items():
            joined[name] = np.concatenate(arrays)
        return joined

    def answer(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the model answers to raw columns, as an export of the run does; see `predict`."""
        logits = self.model(self.features(columns), training=False)
        named = probabilities(logits, self.schema)
        return {name: keras.ops.convert_to_numpy(values) for name, values in named.items()}

    def served_columns(
        self,
        rows: Any,
        batch_size: int = EVALUATION_ROWS,
        input_format: str = "",
    ) -> Iterator[dict[str, np.ndarray]]:
        """The raw columns of rows that a served model takes, without labels, batch by batch.

        Args:
            rows: See `as_rows`.
            batch_size: Number of rows of a batch; the last one may have fewer. Default: 4,096.
            input_format: The format of files without an ending, see `as_rows`. Default: "".

        Raises:
            DataError: On a bad row.
        """
        blocks = read_blocks(
            self._sources(rows, input_format),
            self.schema,
            bad_rows=BadRows(),
            beside=self.directory.rows.train_files(),
            block_rows=batch_size,
            columns=[column.name for column in self.schema.served_inputs],
            labels=False,
        )
        for block in blocks:
            yield dict(block.columns)

    def evaluate(
        self,
        rows: Any,
        batch_size: int = EVALUATION_ROWS,
        bad_rows: BadRows | None = None,
        input_format: str = "",
        now: Any = None,
        also: Use | None = None,
    ) -> Metrics:
        """The metrics of rows with labels, and the shares of missing and unseen values by field.

        Args:
            rows: See `as_rows`.
            batch_size: Number of rows that go through the model together. The default is 4,096.
            bad_rows: What to do with bad rows; by default what was done in training.
            input_format: The format of files without an ending, see `as_rows`. Default: "".
            now: As of when labels that mature are judged: a datetime, NumPy's datetime64, a text in
                ISO 8601, or a number, as the rows have their times. Default: None, the time of the
                newest of these rows.
            also: Is called with each batch and what the model gives for it. Default: None.

        Raises:
            DataError: On a bad row, or if `now` is no time or no label matures.
        """
        data = self.data(rows, batch_size, bad_rows, input_format, now)
        evaluator = Evaluator(self.model, self.features)
        metrics = evaluator.evaluate(data, also=also, of_fields=True)
        return {
            **metrics,
            "parameters": self.model.count_params(),
        }

    def report(
        self,
        path: str | os.PathLike[str] = "",
        beside: Sequence[Run] = (),
        by: Sequence[str] = (),
        day: str = "",
    ) -> Report:
        """The report of this run: one HTML page, which a notebook shows.

        Args:
            path: Of a file to write the page to, or its URI. Default: "", none.
            beside: Other runs that are shown beside this one, at most five. Default: none.
            by: Columns by whose values the test rows are measured. Default: none, which takes what
                `tafe evaluate --by` has left in the run.
            day: A column with the day of each test row, for the lift by day. Default: none.

        Returns:
            The page as `html`; its `write_figures` writes the paper's figures.

        Raises:
            DataError: On a bad row, or if a column is not there.
            MissingExtra: If Jinja is not installed.
            OSError: If the file cannot be written.
            RunError: If a run has not finished.
            ValueError: If there are more than six runs.
        """
        # Inside the function: `tafe_tf.insight` knows training, and not the other way around.
        from tafe_tf.insight.report.job import report

        made = report([self, *beside], by, day)
        if os.fspath(path):
            made.write(path)
        return made

    def embeddings(self, field: str, table: int = 0) -> pa.Table:
        """The rows that the model has learned for one field, see `rows_of_field`.

        Args:
            field: The field's name.
            table: Which of the model's tables, from 0. Default: 0, the only one of most models.

        Returns:
            A pyarrow Table with the columns "id", "row_of" and "vector". Written as Parquet it can
            be another run's `pretrained`.

        Raises:
            RunError: If there is no such field or table.
        """
        return rows_of_field(self.directory, field, table)

    def importance(self, rows: Any = None, **settings: Any) -> Importance:
        """How much the model loses when each field's values change places among rows.

        Args:
            rows: Rows with labels, see `as_rows`. Default: None, the run's test rows; what all
                fields are worth on them also goes into `<run_dir>/importance.json`.
            **settings: Further arguments of `tafe_tf.insight.importance.job.importance`, such as
                `fields`.

        Raises:
            DataError: On a bad row, or if there is none.
            ValueError: If a setting is wrong.
        """
        # Inside the function: `tafe_tf.insight` knows training, and not the other way around.
        from tafe_tf.insight.importance.job import importance

        return importance(self, rows, **settings)

    def data(
        self,
        rows: Any,
        batch_size: int = EVALUATION_ROWS,
        bad_rows: BadRows | None = None,
        input_format: str = "",
        now: Any = None,
    ) -> FunnelData:
        """Rows as the evaluator reads them; see `evaluate` for the arguments."""
        files = self._sources(rows, input_format)
        bad_rows = bad_rows or self.directory.rows.bad_rows()
        asked = "" if now is None else str(now)
        judged = judged_at(asked, self.schema, {"given": files}, bad_rows)
        return FunnelData(
            files=files,
            schema=self.schema,
            batch_size=batch_size,
            now=judged,
            bad_rows=bad_rows,
            beside=self.directory.rows.train_files(),
        )

    @overload
    def export(self, export_dir: pathlib.Path, **settings: Any) -> pathlib.Path: ...

    @overload
    def export(self, export_dir: str, **settings: Any) -> Any: ...  # a path, or a URI as was given

    def export(
        self,
        export_dir: str | pathlib.Path,
        **settings: Any,
    ) -> pathlib.Path | str:
        """Exports the model as a SavedModel for TensorFlow Serving, once it has passed the gate.

        Args:
            export_dir: The directory of the model's versions, or its URI in a store.
            **settings: Fields of `tafe_tf.export.publish.ExportConfig`, such as `calibration`.

        Returns:
            The directory of the new version; in a store its URI.

        Raises:
            ExportError: If the SavedModel does not do what it must; nothing is published then.
        """
        # Inside the function: `tafe_tf.export` knows training, and not the other way around.
        from tafe_tf.export.publish import ExportConfig, publish

        config = ExportConfig(**settings)
        return publish(self.directory, export_dir, config)

    def _sources(self, rows: Any, input_format: str) -> Sequence[str | ArrowRows]:
        given = as_rows(rows, "rows", self.schema, input_format)
        if isinstance(given, pa.Table):
            return [ArrowRows("rows", given)]
        return list(given)


def load(run_dir: str | pathlib.Path) -> Run:
    """Opens the directory of a run that has trained at least one epoch.

    Raises:
        RunError: If it holds none.
    """
    return Run(RunDir(run_dir))
