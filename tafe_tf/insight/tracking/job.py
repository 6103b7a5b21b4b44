"""Which run of a tracker belongs to a command's directory, and what it is told at the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

from tafe_tf import schema_toml
from tafe_tf.data.atomic import read_json, read_text
from tafe_tf.insight.report.job import report
from tafe_tf.insight.tracking.mlflow_run import MlflowRun, uri_of
from tafe_tf.insight.tracking.settings import VERSION, settings_of
from tafe_tf.insight.tracking.watching import Watching
from tafe_tf.training.noted_files import IMPORTANCE, SLICES
from tafe_tf.training.preemption import Preempted
from tafe_tf.training.run import Run
from tafe_tf.training.run_dir import RunDir

_FILES = (
    *("flags.txt", "schema.toml", "statistics.json", "model.json", "history.json"),
    *("metrics.json", "previous_metrics.json", SLICES, IMPORTANCE),
)
_LEFT_ENDS = (Preempted, KeyboardInterrupt, SystemExit)  # after which the same command goes on


class Tracking:
    """What a tracker is told of the run of a directory.

    Args:
        address: `mlflow:URI`.
        directory: The run's.
        parent: The number of the tracker's run that this one is a part of. Default: "", none.

    Attributes:
        callback: For `fit`.

    Raises:
        CommandError: If the address is none, or the tracker's package is not installed.

    Example:
        tracking = Tracking("mlflow:sqlite:///runs.db", RunDir("runs/shop"))
        with tracking.of_training():
            run = fit(data, "runs/shop", callbacks=[tracking.callback])
        tracking.finish(run)
    """

    def __init__(self, address: str, directory: RunDir, parent: str = "") -> None:
        self._directory = directory
        self.run = MlflowRun(
            uri_of(address),
            directory.path,
            name=_name(directory.address, bool(parent)),
            experiment=lambda: directory.schema().name,
            parent=parent,
            describe=self._described,
        )
        self.callback = Watching(self.run)

    @contextlib.contextmanager
    def of_training(self) -> Iterator[None]:
        """Around a training: if it ends early, so the tracker is told."""
        try:
            yield
        except BaseException as error:
            if self.run.id:
                self.run.abandon("KILLED" if isinstance(error, _LEFT_ENDS) else "FAILED")
            raise

    def finish(self, run: Run | None = None) -> None:
        """Tells of a finished training: test metrics, the run's files, and its report.

        Args:
            run: The run, for its report. Default: None, there is none.
        """
        with self._directory.locked(), tempfile.TemporaryDirectory() as folder:
            files = [self._directory.path / name for name in _FILES]
            page = pathlib.Path(folder, "report.html")
            if run is not None:
                _write_report(run, page)
            there = [file for file in (*files, page) if file.exists()]
            self.run.finish(there, self._log_test)
            self._directory.send()

    def _log_test(self, client: Any, number: str) -> None:
        """Tells of the metrics of the test rows."""
        from mlflow.entities import Metric

        path = self._directory.path / "metrics.json"
        found = read_json(path) if path.exists() else {}
        known = {name: value for name, value in found.items() if isinstance(value, int | float)}
        metrics = [Metric(f"test/{name}", float(value), 0, 0) for name, value in known.items()]
        for start in range(0, len(metrics), 1000):
            client.log_batch(number, metrics=metrics[start : start + 1000])

    def _described(self) -> tuple[dict[str, str], dict[str, str]]:
        """The run's settings, and what it is of."""
        settings = settings_of(read_text(self._directory.path / "flags.txt"))
        schema = schema_toml.load(self._directory.path / "schema.toml")
        params = {**settings, "schema_name": schema.name, "data": self._fingerprint()}
        tags = {
            **VERSION,
            "tafe_tf.run_dir": str(self._directory),
            "tafe_tf.steps": ",".join(task.name for task in schema.tasks),
            "mlflow.source.name": "tafe",
            "mlflow.source.type": "JOB",
        }
        return params, tags

    def _fingerprint(self) -> str:
        """16 digits that are the same for the same files alone."""
        path = self._directory.path / "data.json"
        inputs = read_json(path).get("inputs", {}) if path.exists() else {}
        text = json.dumps(inputs, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(address: str, is_part: bool) -> str:
    """What a run is called: its directory's name, and before it, of a part, that of its folder."""
    *_, folder, own = ["", "", *address.rstrip("/").split("/")]
    return f"{folder}/{own}" if is_part and folder else own


def _write_report(run: Run, path: pathlib.Path) -> None:
    """Writes the report, or says why there is none: no training is lost for it."""
    try:
        report([run]).write(path)
    except (OSError, ValueError) as error:
        print(f"--tracking: without a report: {error}", flush=True)
