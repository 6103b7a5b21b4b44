"""The one training loop, written against tf.distribute."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf import machine
from tafe_tf.data.atomic import write_json
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.data.batches.stream import Stream, deal
from tafe_tf.data.errors import DataError
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features.graph import Features
from tafe_tf.losses import FunnelLoss
from tafe_tf.metrics import Metrics
from tafe_tf.storage.addresses import named
from tafe_tf.terminal.progress import Progress
from tafe_tf.training.async_steps import AsyncSteps
from tafe_tf.training.balancing import Balancing
from tafe_tf.training.callbacks import Curves, batch_logs, check_callbacks, epoch_logs
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.delays import Delays
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.intercepts import amount_scale, intercept_shifts
from tafe_tf.training.predictions import Predictions, labels_and_weights
from tafe_tf.training.preemption import Preempted, Preemption
from tafe_tf.training.run_dir import RunDir, variables
from tafe_tf.training.state import Epoch, State, Sums
from tafe_tf.training.step_report import StepReport
from tafe_tf.training.sync_steps import SyncSteps
from tafe_tf.training.validations import Validations


class NotFiniteError(ArithmeticError):
    """The loss is not a finite number; the message names step, file, row and task."""


class Trainer:
    """Trains a model on a dataset.

    Every process of the cluster must make one and call `fit`; the chief alone writes.

    Args:
        model: Any model of `tafe_tf.models`, made under the strategy's scope.
        features: The feature graph.
        cluster: The processes that train together; by default this one, with the current strategy.
        optimizer: Made under the strategy's scope.
        loss: Of labels and logits.
        config: How to train.
        run: Where checkpoints, history and curves go.
        balancing: What balances the tasks in the loss, made under the strategy's scope; None by
            default.
        delays: How long steps take to be seen, made under the strategy's scope; None by default.
        callbacks: Keras callbacks. They run in the chief alone, but may end the training of all.
            They see an epoch as Keras shows it, and as a batch each call of several steps; see
            `batch_logs` and `epoch_logs`.
    """

    def __init__(
        self,
        model: keras.Model,
        features: Features,
        cluster: Cluster | None = None,
        *,
        optimizer: keras.optimizers.Optimizer,
        loss: FunnelLoss,
        config: TrainingConfig,
        run: RunDir,
        balancing: Balancing | None = None,
        delays: Delays | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        self.model = model
        self.features = features
        self.cluster = cluster or Cluster()
        self.evaluator = Evaluator(model, features, self.cluster)
        self._optimizer = optimizer
        self._loss = loss
        self._config = config
        self._run = run
        self._balancing = balancing
        self._delays = delays
        with self.cluster.strategy.scope():
            optimizer.build(model.trainable_variables)
        self._state_text = tf.Variable("", dtype=tf.string)
        self._checkpoints = run.checkpoints(
            weights=variables(model),
            optimizer=variables(optimizer),
            state=self._state_text,
            **({"balancing": balancing.variables} if balancing else {}),
            **({"delays": delays.variables} if delays else {}),
        )
        self._validations = Validations(
            model,
            self.evaluator,
            optimizer,
            config,
            run,
            is_chief=self.cluster.chief,
        )
        self._task_names = [task.name for task in features.schema.tasks]
        model.optimizer = optimizer  # where callbacks look for it
        model.stop_training = False  # what callbacks set
        check_callbacks(callbacks)
        self._has_callbacks = bool(callbacks)
        chiefs: list[keras.callbacks.Callback] = []
        if self.cluster.chief:
            curves = Curves(run.path / "tensorboard")
            chiefs = [curves, *callbacks]
        self._callbacks = keras.callbacks.CallbackList(
            chiefs,
            model=model,
            epochs=config.epochs,
            steps=None,  # of an epoch: not known before the first one
            verbose=0,
        )

    def fit(
        self,
        data: FunnelData,
        validation: FunnelData,
        *,
        steps: int | None = None,
        begin: Callable[[], None] | None = None,
    ) -> list[Metrics]:
        """Trains until the epochs are over or the monitor stops improving.

        The model has its best weights then. A killed run that is started again goes on from its
        last checkpoint and ends with the same weights.

        Args:
            data: The training rows.
            validation: The rows for early stopping; where there are none, all epochs are trained.
            steps: Number of steps of an epoch if it is known, for the progress bar.
            begin: Sets weights and optimizer where there is no checkpoint to go on from.

        Returns:
            The training and validation metrics by validation, with `validate_steps` those within
            epochs among them. An entry has the number of its "epoch", and then also the optimizer's
            "step"; its training metrics are of the steps since the entry before.

        Raises:
            NotFiniteError: If the loss is not finite.
            DataError: On a bad file or row.
            Preempted: After a SIGTERM, once a checkpoint is written.
        """
        state = self._restore(data, begin)
        if self._is_over(state):  # callbacks see nothing of a run that has finished
            self._say_why(state)
        else:
            self._train(data, validation, state, steps)
        if self.cluster.chief:
            write_json(self._run.path / "history.json", state.history)
        self.cluster.barrier()  # the chief has written
        if not self._validations.restore_best():
            raise RunError(f"{self._run.path / 'best'}: is empty; bring back a copy of it")
        self._set_intercepts(data)
        return state.history

    def _train(
        self,
        data: FunnelData,
        validation: FunnelData,
        state: State,
        steps: int | None,
    ) -> None:
        """Trains epoch after epoch, from `state` on."""
        make_steps = self._make_steps(data.readers)
        self._callbacks.on_train_begin()
        with Preemption() as preemption:
            while not self._is_over(state):
                self._callbacks.on_epoch_begin(state.position.epoch)
                trained = self._train_epoch(
                    make_steps,
                    data,
                    validation,
                    state,
                    steps,
                    preemption,
                )
                if not self._validations.early_stopping(state).is_over:
                    self._end_epoch(validation, state, trained)
            if self.cluster.any(preemption.asked):
                raise Preempted(f"{self._run}: saved after the last epoch")
        self._callbacks.on_train_end()

    def _make_steps(self, readers: int) -> SyncSteps | AsyncSteps:
        per_call = self._config.steps_per_call
        strategy = self.cluster.strategy
        steps = SyncSteps(
            self.model,
            self._optimizer,
            self._loss,
            strategy,
            readers,
            per_call,
            self._balancing,
            self._delays,
        )
        if self.cluster.stepping == 0:
            return steps
        return AsyncSteps(
            steps,
            self.model,
            self._optimizer,
            self.cluster,
            per_call,
        )

    def _is_over(self, state: State) -> bool:
        if state.stopped or self._validations.early_stopping(state).is_over:
            return True
        return state.position.epoch >= self._config.epochs

    def _say_why(self, state: State) -> None:
        """Prints why a run ended early that is asked for more epochs than it has trained."""
        trained = state.position.epoch
        batches = state.position.batch
        if trained < self._config.epochs:
            reason = "a callback ended the training"
            if not state.stopped:
                reason = f"{self._config.monitor} had stopped improving (--patience)"
            begun = f" and {batches} steps" if batches else ""
            print(f"{trained} epochs{begun} were trained: {reason}; there is nothing left to do")

    def _restore(
        self,
        data: FunnelData,
        begin: Callable[[], None] | None,
    ) -> State:
        latest = self._checkpoints.restore()
        state = State()
        if latest is not None:
            state = State.from_json(self._state_text.numpy().decode())
            self._check_run(latest, state)
            where = f"epoch {state.position.epoch + 1}, batch {state.position.batch}"
            print(f"resuming from {named(latest)}: {where}", flush=True)
        elif self._run.has_finished:
            where = f"{self._run.path / 'checkpoints'}: is empty, though training has ended"
            mend = f"bring it back, or remove best and model.keras from {self._run.path}"
            raise RunError(f"{where}; {mend} to train again")
        elif begin is not None:
            begin()
        self._check_one_directory()
        if self.cluster.chief:
            self._checkpoints.tidy()
            self._validations.tidy()
        readers = len(state.position.readers)
        if readers not in (0, data.readers):
            raise RunError(
                f"{latest}: stands between the rows of {readers} readers. "
                f"Received: {data.readers} readers"
            )
        return state

    def _check_run(self, path: str, state: State) -> None:
        """Raises RunError if a state is of another run; states of earlier versions name none."""
        own = self._run.rows.identity
        if own and state.run not in ("", own):
            raise RunError(
                f"{path}: is a state of another run; bring back a copy of this run's checkpoints, "
                f"or remove checkpoints, best and model.keras from {self._run.path} to train again"
            )

    def _check_one_directory(self) -> None:
        """Raises RunError if the workers have restored different checkpoints."""
        own = {"step": np.array([self._step()])}
        steps = self.cluster.gather(own)["step"]
        if (steps != steps[0]).any():
            raise RunError(
                f"{self._run.path}: must be one directory for all workers; "
                f"they stand at steps {steps.tolist()}"
            )

    def _step(self) -> int:
        return int(self._optimizer.iterations.value.numpy())

    def _save(self, state: State) -> None:
        state.run = self._run.rows.identity
        self._state_text.assign(state.to_json())
        if self.cluster.chief:
            self._checkpoints.save(self._step())

    def _train_epoch(
        self,
        make_steps: SyncSteps | AsyncSteps,
        data: FunnelData,
        validation: FunnelData,
        state: State,
        steps: int | None,
        preemption: Preemption,
    ) -> Epoch:
        """Trains to the end of the epoch, or until early stopping waits no longer."""
        start = state.position
        saved = start.batch
        epoch = Epoch()
        rows_of_replica = data.batch_size // self.cluster.replicas
        self.model.pieces = machine.pieces(rows_of_replica)
        batches, more = self._batches(data, start)
        stream = Stream(
            lambda: batches,
            data.schema,
            "train",
            self.features,
            draws_unseen=bool(data.unseen),
            gives_ages=data.gives_ages,
        )
        iterator = self.cluster.iterate(stream.dataset)
        with Progress(f"epoch {start.epoch + 1}", steps, start.batch) as progress:
            while more and not self._asked_to_stop():
                if self._is_due(state):
                    self._validate_within(validation, state, epoch)
                    if self._validations.early_stopping(state).is_over:
                        break
                    continue  # a callback may have asked to stop
                self._callbacks.on_train_batch_begin(epoch.calls)
                most = self._steps_to_validation(state)
                report = self._call(make_steps, stream, iterator, most)
                self._check_finite(report, data)
                done = round(float(report.steps))
                state.position = Position(
                    epoch=start.epoch,
                    batch=state.position.batch + done,
                    readers=report.position.astype(np.int64).tolist(),
                )
                logs = batch_logs(report, self._task_names)
                progress.advance(done, logs["rows"], logs["loss"])
                self._callbacks.on_train_batch_end(epoch.calls, logs)
                epoch.add(report)
                more = report.more == self.cluster.replicas
                preempted = self.cluster.any(preemption.asked)
                unsaved = state.position.batch - saved
                if preempted or unsaved >= self._config.checkpoint_steps:
                    self._save(state)
                    saved = state.position.batch
                if preempted:
                    where = f"epoch {start.epoch + 1}, batch {saved}"
                    raise Preempted(f"{self._run}: saved at {where}")
        return epoch

    def _is_due(self, state: State) -> bool:
        """Whether validation within the epoch comes before the next batch."""
        every = self._config.validate_steps
        batch = state.position.batch
        return bool(every) and batch % every == 0 and batch != state.validated

    def _steps_to_validation(self, state: State) -> int | None:
        """How many steps a call may make at most; None if there is no validation in the epoch."""
        every = self._config.validate_steps
        return every - state.position.batch % every if every else None

    def _batches(
        self,
        data: FunnelData,
        start: Position,
    ) -> tuple[Iterator[Any], bool]:
        """The epoch's batches for this process's replicas, and whether every process has any."""
        mine = self.cluster.readers(data.readers)
        batches = data.training_batches(start, mine)
        first = list(itertools.islice(batches, 1))
        more = self.cluster.all(bool(first))
        if not more and start.batch == 0:
            names = ", ".join(str(file) for file in data.files)
            raise DataError(f"{names}: no row is left to train on")
        every = itertools.chain(first, batches)
        pieces = deal(every, self.cluster.local_replicas)
        return pieces, more

    def _call(
        self,
        make_steps: SyncSteps | AsyncSteps,
        stream: Stream,
        iterator: Any,
        most: int | None,
    ) -> StepReport:
        try:
            report = make_steps(iterator, most)
            return StepReport(*(values.numpy() for values in report))
        except tf.errors.OpError as error:
            stream.reraise(error)
            raise

    def _check_finite(self, report: StepReport, data: FunnelData) -> None:
        is_bad = report.bad[:, 0] > 0
        lines = report.bad[is_bad].astype(np.int64)
        for file, row, *wrong in lines:
            names = itertools.compress(self._task_names, wrong)
            raise NotFiniteError(
                f"step {self._step()}: the loss of {', '.join(names) or 'the batch'} is not "
                f"finite, first at {data.files[file - 1]}: row {row}; the last checkpoint is from "
                "before"
            )

    def _end_epoch(
        self,
        validation: FunnelData,
        state: State,
        trained: Epoch,
    ) -> None:
        """Evaluates, keeps the best weights, and writes checkpoint and history.

        A kill between any two of these costs nothing but the time of an epoch.
        """
        train_metrics = trained.part.metrics()
        metrics, stopping = self._validations.evaluate(validation, state)
        epoch = state.position.epoch
        # Before the checkpoint: what a callback changes, a learning rate for example, belongs to
        # it.
        logs = epoch_logs(trained.all.mean_loss, metrics, stopping.step_names)
        self._callbacks.on_epoch_end(epoch, logs)
        state.stopped = self._asked_to_stop()
        state.history.append(self._entry(state, train_metrics, metrics))
        state.position = Position(epoch=epoch + 1)
        state.validated = 0
        has_fallen = self._validations.fall_after(stopping)
        self._save(state)
        self._validations.tell(f"epoch {epoch + 1}", state, stopping, has_fallen=has_fallen)

    def _validate_within(
        self,
        validation: FunnelData,
        state: State,
        trained: Epoch,
    ) -> None:
        """Evaluates within an epoch, and saves if early stopping waits no longer.

        The next state that is saved holds what was decided. After a kill before that, the same
        steps and the same decisions are made again.
        """
        train_metrics = trained.part.metrics()
        pieces = self.model.pieces
        self._callbacks.on_test_begin()
        metrics, stopping = self._validations.evaluate(validation, state)
        self.model.pieces = pieces
        logs = epoch_logs(trained.part.mean_loss, metrics, stopping.step_names)
        self._callbacks.on_test_end(logs)
        trained.part = Sums()
        state.history.append(self._entry(state, train_metrics, metrics))
        state.validated = state.position.batch
        epoch = state.position.epoch
        if stopping.is_over:
            logs["loss"] = trained.all.mean_loss
            self._callbacks.on_epoch_end(epoch, logs)
        has_fallen = self._validations.fall_after(stopping)
        if stopping.is_over or has_fallen:
            self._save(state)
        when = f"epoch {epoch + 1}, step {state.validated}"
        self._validations.tell(when, state, stopping, has_fallen=has_fallen)

    def _entry(
        self,
        state: State,
        train_metrics: Metrics,
        metrics: Metrics,
    ) -> Metrics:
        """A validation's entry of the history."""
        place: Metrics = {"epoch": state.position.epoch + 1}
        if self._config.validate_steps:
            place["step"] = self._step()
        return {**place, **train_metrics, **metrics}

    def _asked_to_stop(self) -> bool:
        """Whether a callback has asked to end the training, in whichever process it runs."""
        return self._has_callbacks and self.cluster.any(self.model.stop_training)

    def _set_intercepts(self, data: FunnelData) -> None:
        """Shifts the logits so that each task's predictions sum to its labels, and amounts too.

        So they do at the minimum of the cross entropy. The last noisy steps leave these sums off by
        some per cent. Starting from shifts of 0 each time, it may be interrupted and done again.
        """
        wanted = math.ceil(self._config.intercept_rows / self.cluster.workers)
        if wanted == 0:
            return
        seen = Predictions(data.schema)

        def add(logits: np.ndarray, batch: Any) -> bool:
            seen.add(logits, batch)
            return seen.rows < wanted

        self.evaluator.predict(data, "all", add)
        rows = self.cluster.gather(seen.arrays())
        labels, weights = labels_and_weights(rows)
        shifts = intercept_shifts(
            rows["logits"],
            labels,
            weights,
            self.model.products,
        )
        self.model.shift_logits(shifts)
        if data.schema.amount is not None:
            self.model.scale_amount(amount_scale(rows, weights, shifts, self.model.products))
        self._validations.keep_best()
