"""Keras callbacks in our training loop: anyone's, and the two that the loop brings."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tafe_tf.metrics import Metrics, monitored
from tafe_tf.training.step_report import StepReport

Logs = dict[str, Any]


def batch_logs(report: StepReport, task_names: Sequence[str]) -> Logs:
    """What callbacks see after a call of several steps.

    Returns:
        "loss" and "log_loss/<task>", both the mean over the call's steps, and "rows", the number of
        rows of the call.
    """
    steps = float(report.steps)
    logs: Logs = {
        "loss": float(report.loss) / steps,
        "rows": int(report.rows),
    }
    for name, total in zip(task_names, report.task_losses, strict=True):
        logs[f"log_loss/{name}"] = float(total) / steps
    return logs


def epoch_logs(
    train_loss: float,
    metrics: Metrics,
    step_names: Sequence[str],
) -> Logs:
    """What callbacks see after an epoch.

    Returns:
        "loss", the mean over the epoch's steps; every validation metric as "val_<metric>", such as
        "val_auc/ctr"; and "val_mean_auc" and "val_mean_log_loss", the means over the steps. A
        metric that is undefined is NaN. Without validation rows there is "loss" alone.
    """
    logs: Logs = {"loss": train_loss}
    if metrics["rows"] == 0:
        return logs
    for name, value in metrics.items():
        if name not in ("rows", "seconds"):
            logs[f"val_{name}"] = math.nan if value is None else value
    # Not "val_auc": a tracker may keep it as a file, and "val_auc/ctr" in a folder of that name.
    for mean in ("auc", "log_loss"):
        logs[f"val_mean_{mean}"] = monitored(metrics, mean, step_names)
    return logs


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Refuses what is no callback, and one that would restore weights of its own.

    Raises:
        TypeError: If an element is no `keras.callbacks.Callback`.
        ValueError: For a `BackupAndRestore`: a run resumes from its own checkpoints, and weights of
            another moment would silently take their place.
    """
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                f"callbacks must be keras.callbacks.Callback objects. Received: {callback!r}"
            )
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise ValueError(
                "BackupAndRestore cannot be used here, and is not needed: call fit again to go on "
                "from the run's own checkpoint"
            )


class Curves(keras.callbacks.Callback):
    """Writes losses and validation metrics as TensorBoard scalars, by the optimizer's step.

    Args:
        directory: Where the event files go.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(directory))

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes the training losses."""
        scalars = {}
        for name, value in (logs or {}).items():
            if name != "rows":
                scalars[f"train/{name}"] = value
        self._write(scalars)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Writes the validation metrics within an epoch that are defined."""
        self._write_validation(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the validation metrics that are defined."""
        self._write_validation(logs)

    def _write_validation(self, logs: Logs | None) -> None:
        scalars = {}
        for name, value in (logs or {}).items():
            if name.startswith("val_") and not math.isnan(value):
                scalars[f"valid/{name.removeprefix('val_')}"] = value
        self._write(scalars)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leaves nothing unwritten."""
        self._writer.flush()

    def _write(self, scalars: Logs) -> None:
        step = int(self.model.optimizer.iterations.value.numpy())
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
