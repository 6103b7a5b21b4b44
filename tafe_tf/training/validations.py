"""What follows from a validation: the best weights, the learning rate, and when to stop."""

from __future__ import annotations

import keras

from tafe_tf.data.atomic import write_json
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.metrics import Metrics
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.early_stopping import EarlyStopping
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.run_dir import RunDir
from tafe_tf.training.state import State

RATE_FALLS_TO = 0.2  # of what it was, on a plateau


class Validations:
    """Evaluates a model in training, and does what its settings say of the result.

    Args:
        model: The model.
        evaluator: Of the model, in all processes.
        optimizer: Its optimizer.
        config: How it is trained.
        run: Where the best weights and the history go.
        is_chief: Whether this process writes and prints.
    """

    def __init__(
        self,
        model: keras.Model,
        evaluator: Evaluator,
        optimizer: keras.optimizers.Optimizer,
        config: TrainingConfig,
        run: RunDir,
        *,
        is_chief: bool,
    ) -> None:
        self._evaluator = evaluator
        self._optimizer = optimizer
        self._config = config
        self._run = run
        self._is_chief = is_chief
        self._best = run.best(model)
        self._step_names = evaluator.features.schema.step_names

    def early_stopping(self, state: State) -> EarlyStopping:
        """Early stopping as far as training has come."""
        return EarlyStopping(
            monitor=self._config.monitor,
            patience=self._config.patience,
            step_names=self._step_names,
            falls=self._config.learning_rate_decay == "plateau",
            best=state.best,
            waited=state.waited,
            seen=len(state.history),
        )

    def evaluate(
        self,
        validation: FunnelData,
        state: State,
    ) -> tuple[Metrics, EarlyStopping]:
        """Evaluates, keeps the best weights, and counts in the state how long to wait."""
        metrics = self._evaluator.evaluate(validation, "valid")
        stopping = self.early_stopping(state)
        if stopping.is_best(metrics):
            self.keep_best()
        state.best = stopping.best
        state.waited = stopping.waited
        return metrics, stopping

    def fall_after(self, stopping: EarlyStopping) -> bool:
        """Lets the learning rate fall, from the best weights on, if the last validation says so.

        The state must be saved before the next step: a later best would otherwise be what a killed
        run went back to.
        """
        must_fall = stopping.falls and not stopping.was_best and not stopping.is_over
        if must_fall:
            self._best.restore()
            self._optimizer.learning_rate = self._rate() * RATE_FALLS_TO
        return must_fall

    def tell(
        self,
        when: str,
        state: State,
        stopping: EarlyStopping,
        *,
        has_fallen: bool,
    ) -> None:
        """Writes the history, and prints its last entry.

        Args:
            when: The place in training.
            state: How far training has come.
            stopping: What was decided by the entry.
            has_fallen: Whether the learning rate fell by it.
        """
        if not self._is_chief:
            return
        write_json(self._run.path / "history.json", state.history)
        last = state.history[-1]
        valid = f"validation {stopping.monitor} {stopping.reached(last):.4f}"
        if last["rows"] == 0:
            valid = "no validation rows"
        print(f"{when}: {last['train_seconds']:.1f} s, {valid}", flush=True)
        undefined = stopping.undefined(last)
        if undefined and len(state.history) == 1:
            print(
                f"warning: the validation rows give no {', no '.join(undefined)}, for which early "
                "stopping and the choice of the best weights have no eye",
                flush=True,
            )
        if has_fallen:
            rate = f"{self._rate():.2g}"
            print(f"the learning rate falls to {rate}, from the best weights on", flush=True)

    def keep_best(self) -> None:
        """Writes the model's weights as the best ones."""
        if self._is_chief:
            self._best.save()

    def tidy(self) -> None:
        """Removes what a killed process has left of best weights."""
        if self._is_chief:
            self._best.tidy()

    def restore_best(self) -> bool:
        """Gives the model its best weights; False if there are none."""
        return self._best.restore() is not None

    def _rate(self) -> float:
        """The learning rate of the next step."""
        return float(keras.ops.convert_to_numpy(self._optimizer.learning_rate))
