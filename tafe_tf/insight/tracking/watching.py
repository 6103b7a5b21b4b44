"""The Keras callback that tells a tracker of steps and validations."""

from __future__ import annotations

import math
from typing import Any

import keras

from tafe_tf.insight.tracking.mlflow_run import MlflowRun

Logs = dict[str, Any]


class Watching(keras.callbacks.Callback):
    """Tells of losses and validation metrics, by the optimizer's step, as TensorBoard's curves do.

    Args:
        run: The tracker's run.
    """

    def __init__(self, run: MlflowRun) -> None:
        super().__init__()
        self._run = run

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Opens the run."""
        self._run.open()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Tells of the training losses, the mean over a call of several steps."""
        losses = {name: value for name, value in (logs or {}).items() if name != "rows"}
        self._run.metrics("train", _finite(losses), self._step())

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Tells of a validation within an epoch."""
        self._validated(logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Tells of the validation at an epoch's end, and how many epochs are over."""
        self._validated({**(logs or {}), "val_epoch": epoch + 1})

    def _validated(self, logs: Logs | None) -> None:
        values = {}
        for name, value in (logs or {}).items():
            if name.startswith("val_"):
                values[name.removeprefix("val_")] = value
        self._run.metrics("valid", _finite(values), self._step())
        self._run.flush()

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.value.numpy())


def _finite(values: Logs) -> dict[str, float]:
    """The numbers that are defined."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
