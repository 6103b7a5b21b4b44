"""The one training loop, written against tf.distribute."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.data.atomic import write_json
from tafe_tf.data.batches.batch import Stream, deal
from tafe_tf.data.batches.dataset import FunnelData, Position
from tafe_tf.data.errors import DataError
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features.graph import Features
from tafe_tf.losses import FunnelLoss
from tafe_tf.metrics import Metrics
from tafe_tf.terminal.progress import Progress
from tafe_tf.training.async_steps import ScheduledSteps
from tafe_tf.training.evaluator import Evaluator, Predictions, goodness, intercept_shifts, monitored
from tafe_tf.training.preemption import Preempted, Preemption
from tafe_tf.training.run_dir import RunDir, RunError, variables
from tafe_tf.training.sync_steps import Steps


class NotFiniteError(ArithmeticError):
    """The loss is not a finite number; the message names step, file, row and task."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        epochs: at most this many passes over the training rows.
        patience: epochs without a better `monitor` before training stops; needs validation rows.
        monitor: "auc" or "log_loss" (the mean over the tasks, over all impressions) or a key of the metrics. Larger is
            better for auc and gauc, smaller for the rest.
        steps_per_call: steps between two looks at the loss.
        checkpoint_steps: steps between two checkpoints; rounded up to whole calls.
        intercept_rows: training rows on which the intercepts are set after the last epoch; 0 leaves them alone.
    """

    epochs: int = 20
    patience: int = 2
    monitor: str = "auc"
    steps_per_call: int = 20
    checkpoint_steps: int = 2000
    intercept_rows: int = 1 << 20

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "steps_per_call", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more. Received: {getattr(self, name)}")


@dataclasses.dataclass
class State:
    """What a checkpoint holds beside weights and moments.

    Attributes:
        position: the next batch.
        best: the best score so far; larger is better.
        waited: epochs since then.
        history: validation metrics by epoch.
    """

    position: Position = dataclasses.field(default_factory=Position)
    best: float = -math.inf
    waited: int = 0
    history: list[Metrics] = dataclasses.field(default_factory=list)

    def to_json(self) -> str:
        """The state as text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> State:
        """The state that `to_json` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "position": Position(**fields["position"])})


class Trainer:
    """Trains a model on a dataset.

    Args:
        model: any model of `tafe_tf.models`, made under the strategy's scope.
        features: the feature graph.
        cluster: the processes that train together; by default this one, with the current strategy.
    """

    def __init__(
        self, model: keras.Model, features: Features, cluster: Cluster | None = None
    ) -> None:
        self.model, self.features, self.cluster = model, features, cluster or Cluster()
        self.evaluator = Evaluator(model, features, self.cluster)

    def fit(
        self,
        data: FunnelData,
        validation: FunnelData,
        *,
        optimizer: keras.optimizers.Optimizer,
        loss: FunnelLoss,
        config: TrainingConfig,
        run: RunDir,
        steps: int | None = None,
        begin: Callable[[], None] | None = None,
    ) -> list[Metrics]:
        """Trains until the epochs are over or the monitor stops improving; then restores the best weights.

        A killed run that is started again goes on from its last checkpoint and ends with the same weights. Every
        process of the cluster must call it; the chief alone writes.

        Args:
            data: the training rows.
            validation: the rows for early stopping; where there are none, all epochs are trained.
            optimizer: made under the strategy's scope.
            loss: of labels and logits.
            config: how to train.
            run: where checkpoints, history and curves go.
            steps: of an epoch if it is known, for the progress bar.
            begin: sets weights and optimizer, once both are made, where there is no checkpoint to go on from.

        Returns:
            The validation metrics by epoch.

        Raises:
            NotFiniteError: if the loss is not finite.
            DataError: on a bad file or row.
            Preempted: after a SIGTERM, once a checkpoint is written.
        """
        self._optimizer, self._config, self._run = optimizer, config, run
        with self.cluster.strategy.scope():
            optimizer.build(self.model.trainable_variables)
        per_call = config.steps_per_call
        steps_ = Steps(self.model, optimizer, loss, self.cluster.strategy, data.readers, per_call)
        scheduled = self.cluster.stepping > 0
        self._steps = (
            ScheduledSteps(steps_, self.model, optimizer, self.cluster, per_call)
            if scheduled
            else steps_
        )
        self._text = tf.Variable("", dtype=tf.string)
        self._checkpoints = run.checkpoints(
            weights=variables(self.model), optimizer=variables(optimizer), state=self._text
        )
        self._best = run.best(self.model)
        self._curves = tf.summary.create_file_writer(str(run.path / "tensorboard"))
        state = self._restore(data, begin)
        with Preemption() as preemption:
            while state.position.epoch < config.epochs and state.waited < config.patience:
                trained = self._train_epoch(data, state, steps, preemption)
                self._end_epoch(validation, state, trained)
        self.cluster.barrier()  # the chief has written
        self._best.checkpoint.restore(tf.train.latest_checkpoint(self._best.directory))
        self._set_intercepts(data)
        return state.history

    def _restore(self, data: FunnelData, begin: Callable[[], None] | None) -> State:
        latest = tf.train.latest_checkpoint(self._checkpoints.directory)
        state = State()
        if latest is not None:
            self._checkpoints.checkpoint.restore(latest).assert_consumed()
            state = State.from_json(self._text.numpy().decode())
            print(
                f"resuming from {latest}: epoch {state.position.epoch + 1}, batch {state.position.batch}",
                flush=True,
            )
        elif begin is not None:
            begin()
        at = self.cluster.gather({"step": np.array([self._step()])})["step"]
        if (at != at[0]).any():
            raise RunError(
                f"{self._run.path}: must be one directory for all workers; they stand at steps {at.tolist()}"
            )
        if len(state.position.readers) not in (0, data.readers):
            had = len(state.position.readers)
            raise RunError(
                f"{latest}: stands between the rows of {had} readers. Received: {data.readers} readers"
            )
        return state

    def _step(self) -> int:
        return int(self._optimizer.iterations.value.numpy())

    def _save(self, state: State) -> None:
        self._text.assign(state.to_json())
        if self.cluster.chief:
            self._checkpoints.save(checkpoint_number=self._step())

    def _train_epoch(
        self, data: FunnelData, state: State, steps: int | None, preemption: Preemption
    ) -> Metrics:
        """Trains to the end of the epoch; the rows and seconds that it took, since a resumption if there was one."""
        position, began, saved, rows = state.position, time.monotonic(), state.position.batch, 0
        batches = data.training_batches(position, self.cluster.readers(data.readers))
        first = list(itertools.islice(batches, 1))
        more = self.cluster.all(bool(first))
        if not more and not position.batch:
            raise DataError(f"{', '.join(data.files)}: no row is left to train on")
        dealt = deal(itertools.chain(first, batches), self.cluster.local_replicas)
        stream = Stream(lambda: dealt, data.schema, "train", self.features)
        iterator = self.cluster.iterate(stream.dataset)
        with Progress(f"epoch {position.epoch + 1}", steps, position.batch) as progress:
            while more:
                report = self._call(stream, iterator)
                done = round(float(report["steps"]))
                self._check_finite(report, data)
                state.position = Position(
                    epoch=position.epoch,
                    batch=state.position.batch + done,
                    readers=report["position"].astype(np.int64).tolist(),
                )
                rows += int(report["rows"])
                progress.advance(done, int(report["rows"]), float(report["loss"]) / done)
                self._curve(report, done)
                more = report["more"] == self.cluster.replicas
                stop = self.cluster.any(preemption.asked)
                if stop or state.position.batch - saved >= self._config.checkpoint_steps:
                    self._save(state)
                    saved = state.position.batch
                if stop:
                    raise Preempted(
                        f"{self._run.path}: saved at epoch {position.epoch + 1}, batch {saved}"
                    )
        return {"train_seconds": time.monotonic() - began, "train_rows": rows}

    def _call(self, stream: Stream, iterator: Any) -> dict[str, Any]:
        try:
            return tf.nest.map_structure(lambda x: x.numpy(), self._steps(iterator))
        except tf.errors.OpError as error:
            stream.reraise(error)
            raise

    def _check_finite(self, report: dict[str, Any], data: FunnelData) -> None:
        for file, row, *wrong in report["bad"][report["bad"][:, 0] > 0].astype(np.int64):
            names = [task.name for task, bad in zip(data.schema.tasks, wrong, strict=True) if bad]
            raise NotFiniteError(
                f"step {self._step()}: the loss of {', '.join(names) or 'the batch'} is not finite, "
                f"first at {data.files[file - 1]}: row {row}; the last checkpoint is from before"
            )

    def _curve(self, report: dict[str, Any], steps: int) -> None:
        if not self.cluster.chief:
            return
        with self._curves.as_default(step=self._step()):
            tf.summary.scalar("train/loss", float(report["loss"]) / steps)
            for task, loss in zip(self.features.schema.tasks, report["tasks"], strict=True):
                tf.summary.scalar(f"train/log_loss/{task.name}", loss / steps)

    def _end_epoch(self, validation: FunnelData, state: State, trained: Metrics) -> None:
        """Evaluates, keeps the best weights, and writes history and checkpoint, in an order that a kill cannot hurt."""
        metrics = self.evaluator.evaluate(validation, "valid")
        reached = monitored(metrics, self._config.monitor, self.features.schema.step_names)
        score = goodness(reached, self._config.monitor)
        nothing_to_choose_by = metrics["rows"] == 0 or not state.history
        if score > state.best or nothing_to_choose_by:
            state.best, state.waited = score, 0
            self._keep_best()
        else:
            state.waited += 1
        epoch = state.position.epoch + 1
        state.history.append({"epoch": epoch, **trained, **metrics})
        state.position = Position(epoch=epoch)
        self._save(state)
        if not self.cluster.chief:
            return
        write_json(self._run.path / "history.json", state.history)
        with self._curves.as_default(step=self._step()):
            for name, value in metrics.items():
                if value is not None:
                    tf.summary.scalar(f"valid/{name}", value)
        valid = (
            f"validation {self._config.monitor} {reached:.4f}"
            if metrics["rows"]
            else "no validation rows"
        )
        print(f"epoch {epoch}: {trained['train_seconds']:.1f} s, {valid}", flush=True)

    def _keep_best(self) -> None:
        if self.cluster.chief:
            self._best.save()

    def _set_intercepts(self, data: FunnelData) -> None:
        """Shifts the logits so that each task's predictions sum to its labels, as at the minimum of the cross entropy.

        The last noisy steps leave these sums off by some per cent. Starting from shifts of 0 each time, it may be
        interrupted and done again.
        """
        wanted = math.ceil(self._config.intercept_rows / self.cluster.workers)
        if not wanted:
            return
        seen = Predictions(len(data.schema.tasks))
        self.evaluator.predict(
            data, "all", lambda logits, batch: seen.add(logits, batch) and seen.rows < wanted
        )
        rows = self.cluster.gather(seen.arrays())
        labels = rows["depth"][:, None] > np.arange(len(data.schema.tasks))
        self.model.shift_logits(
            intercept_shifts(rows["logits"], labels, rows["weight"], self.model.products)
        )
        self._keep_best()
