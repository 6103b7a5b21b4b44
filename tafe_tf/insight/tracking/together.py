"""The tracker's run of which those of a comparison or a search are parts."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from tafe_tf.data.atomic import read_text
from tafe_tf.insight.tracking.mlflow_run import MlflowRun, uri_of
from tafe_tf.insight.tracking.settings import VERSION, settings_of


class Together:
    """The tracker's run of which those of a comparison or a search are parts.

    Args:
        address: `mlflow:URI`; "" for no tracker.
        folder: Where the runs lie.
        command: "compare" or "tune".
        experiment: The experiment's name.

    Attributes:
        arguments: What the command lines of the runs have for it.
    """

    def __init__(self, address: str, folder: pathlib.Path, command: str, experiment: str) -> None:
        self.arguments: tuple[str, ...] = ()
        self._run: MlflowRun | None = None
        if not address:
            return
        tags = {**VERSION, "mlflow.source.name": f"tafe {command}"}
        settings = folder / "common.flags"
        self._run = MlflowRun(
            uri_of(address),
            folder,
            name=f"{command} {folder.name}",
            experiment=lambda: experiment,
            describe=lambda: (settings_of(read_text(settings)), tags),
        )
        self._run.open()
        self.arguments = (f"--tracking={address}", f"--tracking_parent={self._run.id}")

    def finish(self, files: Sequence[pathlib.Path]) -> None:
        """Tells of the end.

        Args:
            files: What was written, of which those are kept that are there.
        """
        if self._run is None:
            return
        self._run.finish([file for file in files if file.exists()], lambda client, number: None)
