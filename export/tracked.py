"""An export as the model of its run at a tracker."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from tafe_tf.data.lock import LockError
from tafe_tf.export import held_out_rows, mlflow_model
from tafe_tf.insight.tracking.job import Tracking
from tafe_tf.training.run_dir import RunDir

if TYPE_CHECKING:
    import pandas as pd


def keep(
    address: str,
    run: RunDir,
    version: str | pathlib.Path,
) -> None:
    """Keeps a version in the tracker's run of its training, or says why it could not.

    Args:
        address: `mlflow:URI`.
        run: The run that was exported.
        version: The version's directory, or its URI in a store.

    Raises:
        CommandError: If the address is none, or MLflow is not installed.
    """
    tracking = Tracking(address, run)

    def log(client: Any, number: str) -> None:
        mlflow_model.log(client, number, version, _example(run))
        client.set_tag(number, "tafe_tf.export", str(version))

    try:
        with run.locked():
            is_kept = tracking.run.finish([], log)
    except LockError as error:  # what is published stays so
        print(f"warning: --tracking: {error}", flush=True)
        return
    if is_kept:
        print(f"  kept as the model of run {tracking.run.id} (--tracking)")


def _example(run: RunDir) -> pd.DataFrame:
    """Some held-out rows with their raw columns."""
    import pandas as pd  # an extra

    columns = {}
    for name, values in held_out_rows.sample(run, mlflow_model.EXAMPLE_ROWS).items():
        columns[name] = [_text(value) for value in values.tolist()]
    return pd.DataFrame(columns)


def _text(value: Any) -> Any:
    """A value with texts in place of bytes."""
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value
