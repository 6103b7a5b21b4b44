"""One run of MLflow, which no failure of the tracker keeps from training.

What cannot be sent is kept. After the first failure nothing more is tried until the end, so that a
server that does not answer costs its timeouts twice and not at every step.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.terminal.command import CommandError

PREFIX = "mlflow:"  # of a tracker's address, before MLflow's own tracking URI
NOTE = "tracking.json"  # the runs of a directory, by tracking URI
SECONDS = 30.0  # between two times that metrics are sent, at least
_MOST_METRICS = 1000  # in one request
_MOST_OTHERS = 100
_LONGEST = 6000  # characters of a parameter
_PARENT = "mlflow.parentRunId"

# What MLflow would do for 20 minutes by default, and what it would tell its makers.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def uri_of(address: str) -> str:
    """The tracking URI of `mlflow:URI`.

    Raises:
        CommandError: If the address is none, or MLflow is not installed.

    Example:
        >>> uri_of("mlflow:http://tracker:5000")
        'http://tracker:5000'
    """
    uri = address.removeprefix(PREFIX)
    if uri == address or not uri:
        rule = "must be mlflow:URI, such as mlflow:http://tracker:5000 or mlflow:sqlite:///runs.db"
        raise CommandError(f"--tracking {rule}. Received: {address!r}")
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        importlib.import_module("mlflow")
    except ModuleNotFoundError:
        raise CommandError(
            "--tracking=mlflow:URI needs MLflow: pip install 'tafe_tf[mlflow]'"
        ) from None
    return uri


def shown(uri: str) -> str:
    """A URI without the name and password that may stand in it.

    Example:
        >>> shown("https://ann:secret@tracker/x")
        'https://tracker/x'
    """
    parts = urllib.parse.urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class MlflowRun:
    """A run of MLflow that belongs to a directory.

    Args:
        uri: MLflow's tracking URI.
        directory: The directory. Its `tracking.json` notes the run, so that the next command goes
            on in the same one.
        name: What the run is called.
        experiment: The experiment's name, where `MLFLOW_EXPERIMENT_NAME` does not say another.
        parent: The number of the run that this one is a part of. Default: "", none.
        describe: Gives the run's parameters and its tags, once it is opened.
    """

    def __init__(
        self,
        uri: str,
        directory: pathlib.Path,
        *,
        name: str,
        experiment: Callable[[], str],
        parent: str = "",
        describe: Callable[[], tuple[Mapping[str, str], Mapping[str, str]]],
    ) -> None:
        self._uri = uri
        self._directory = directory
        self._name = name
        self._experiment = experiment
        self._parent = parent
        self._describe = describe
        self._waiting: list[Any] = []  # metrics that are not sent yet
        self._client: Any = None
        self._id = ""
        self._is_down = False
        self._sent = time.monotonic()
        self._known: dict[str, int] = {}  # by kind of metric the last step that the tracker has

    @property
    def id(self) -> str:
        """The run's number at the tracker; "" while none could be opened."""
        return self._id

    def open(self) -> None:
        """Makes the run, or goes on in the one that the directory notes."""
        self._attempt(lambda: None)

    def metrics(self, kind: str, values: Mapping[str, float], step: int) -> None:
        """Tells of metrics, in a while.

        Args:
            kind: What stands before their names, such as "train". Steps of a kind that the tracker
                knows from before a kill are left out: they have been made again.
            values: Finite numbers by name.
            step: Of the optimizer.
        """
        from mlflow.entities import Metric

        if step <= self._known.get(kind, -1):
            return
        now = int(time.time() * 1000)
        for name, value in values.items():
            self._waiting.append(Metric(f"{kind}/{name}", float(value), now, step))
        if time.monotonic() - self._sent > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Sends the metrics that wait, unless the tracker has failed before."""
        self._attempt(lambda: None)

    def finish(self, files: Sequence[pathlib.Path], last: Callable[[Any, str], None]) -> bool:
        """Sends all that waits, and files, and says that the run has finished.

        Args:
            files: Files that are kept as artifacts.
            last: What else is to be done, with MLflow's client and the run's number.

        Returns:
            Whether the tracker took it.
        """

        def send() -> None:
            for file in files:
                self._client.log_artifact(self._id, str(file))
            last(self._client, self._id)
            self._client.set_terminated(self._id, "FINISHED")

        self._is_down = False
        return self._attempt(send, "run the same command again to send it")

    def abandon(self, status: str) -> None:
        """Says that the run has ended early: "KILLED" if it goes on one day, or "FAILED"."""
        self._attempt(lambda: self._client.set_terminated(self._id, status))

    def _attempt(
        self,
        action: Callable[[], None],
        otherwise: str = "nothing is lost; what it was not told it is told at the end",
    ) -> bool:
        """Opens the run, sends what waits and does something; whether all of that worked."""
        if self._is_down:
            return False
        try:
            if not self._id:
                self._open()
            self._send()
            action()
        except Exception as error:  # whatever it is, it must not end a training
            self._is_down = True
            lines = str(error).splitlines() or [type(error).__name__]
            print(
                f"warning: --tracking: {shown(self._uri)} does not take this run: "
                f"{lines[0][:200]}; {otherwise}",
                flush=True,
            )
            return False
        return True

    def _open(self) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=self._uri)
        params, tags = self._describe()
        note = self._directory / NOTE
        noted: dict[str, str] = read_json(note) if note.exists() else {}
        found = self._noted_run(noted.get(shown(self._uri), ""))
        if found is None:
            parent = {_PARENT: self._parent} if self._parent else {}
            made = self._client.create_run(self._experiment_id(), tags=parent, run_name=self._name)
            number = made.info.run_id
            write_json(note, {**noted, shown(self._uri): number})
        else:
            number = found.info.run_id
            params, changed = _new_and_changed(params, found.data.params)
            tags = {**tags, **changed}
            self._known = self._last_steps(number)
            self._client.update_run(number, status="RUNNING")
        self._log(number, params, tags)
        self._id = number

    def _noted_run(self, number: str) -> Any:
        """The run of a number; None if there is no number, or the tracker has lost the run."""
        from mlflow.exceptions import MlflowException

        if not number:
            return None
        try:
            found = self._client.get_run(number)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return found if found.info.lifecycle_stage == "active" else None

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self._experiment()
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(name))
        except MlflowException:  # another process has just made it
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _last_steps(self, number: str) -> dict[str, int]:
        known = {}
        for kind, name in (("train", "loss"), ("valid", "mean_auc")):
            history = self._client.get_metric_history(number, f"{kind}/{name}")
            if history:
                known[kind] = max(metric.step for metric in history)
        return known

    def _log(self, number: str, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        all_params = [Param(name, value[:_LONGEST]) for name, value in params.items()]
        all_tags = [RunTag(name, value) for name, value in tags.items()]
        for start in range(0, max(len(all_params), 1), _MOST_OTHERS):
            some = all_params[start : start + _MOST_OTHERS]
            self._client.log_batch(number, params=some)
        self._client.log_batch(number, tags=all_tags)

    def _send(self) -> None:
        while self._waiting:
            some = self._waiting[:_MOST_METRICS]
            self._client.log_batch(self._id, metrics=some)
            del self._waiting[:_MOST_METRICS]
        self._sent = time.monotonic()


def _new_and_changed(
    params: Mapping[str, str],
    known: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters that a run has not, and, as tags, those that are others now: none may change."""
    new = {name: value for name, value in params.items() if name not in known}
    changed = {}
    for name, value in params.items():
        if name in known and known[name] != value[:_LONGEST]:
            changed[f"changed.{name}"] = value
    return new, changed
