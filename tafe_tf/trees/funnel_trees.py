"""A booster of LightGBM for each step of a funnel, and the logits of the funnel."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterator

import lightgbm
import numpy as np

from tafe_tf import machine
from tafe_tf.data.atomic import read_text, write_text
from tafe_tf.data.errors import DataError
from tafe_tf.metrics import log_sigmoid
from tafe_tf.trees.config import TreesConfig
from tafe_tf.trees.probabilities import logit_of_log
from tafe_tf.trees.stopping import StepMonitor
from tafe_tf.trees.table import TreeRows, TreeTable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grown:
    """What the training of a step's trees took.

    Attributes:
        rows: The number of rows that they learned from.
        trees: The number of trees that were grown, those after the best one included.
        kept: The number of trees that were kept.
        seconds: The time that it took.
    """

    rows: int
    trees: int
    kept: int
    seconds: float


class FunnelTrees:
    """The trees of all steps.

    Args:
        boosters: One for each step so far, in the funnel's order.
        is_conditional: Whether those of a step i >= 2 give P(step i | step i - 1).
    """

    def __init__(self, boosters: list[lightgbm.Booster], is_conditional: bool) -> None:
        self.boosters = boosters
        self._is_conditional = is_conditional

    def logits(self, table: np.ndarray) -> np.ndarray:
        """The logits of f_1, ..., f_N, float32 [n, N].

        Args:
            table: Rows as `TreeTable` makes them, [n, C].
        """
        own = [booster.predict(table, raw_score=True) for booster in self.boosters]
        logits = np.column_stack(own)
        if not self._is_conditional:
            return logits.astype(np.float32)
        log_f = np.cumsum(log_sigmoid(logits), axis=1)
        products = np.column_stack([logits[:, 0], logit_of_log(log_f[:, 1:])])
        falling = np.minimum.accumulate(products, axis=1)  # where a product rounds up
        return falling.astype(np.float32)

    @property
    def parameters(self) -> int:
        """How many numbers the trees hold: a leaf one, and a split two, a column and a bound."""
        count = 0
        for booster in self.boosters:
            for tree in booster.dump_model()["tree_info"]:
                leaves = tree["num_leaves"]
                count += leaves + 2 * (leaves - 1)
        return count


class Grower:
    """Grows the trees of one step after the other.

    Args:
        config: How to grow them.
        seed: Of the columns and rows that are drawn.
        monitor: See `TrainingConfig.monitor`.
        step_names: Names of the N steps, for messages.
        table: Makes the columns of the rows, and names them.
    """

    def __init__(
        self,
        config: TreesConfig,
        *,
        seed: int,
        monitor: str,
        step_names: list[str],
        table: TreeTable,
    ) -> None:
        self._config = config
        self._seed = seed
        self._monitor = monitor
        self._step_names = step_names
        self._table = table

    def grow(
        self,
        before: FunnelTrees,
        rows: TreeRows,
        held_out: TreeRows,
    ) -> tuple[lightgbm.Booster, Grown]:
        """Grows the trees of the step after those that there are.

        Args:
            before: The trees of the steps before.
            rows: The training rows.
            held_out: The rows that say when to stop; without any, all trees are grown and kept.

        Returns:
            The booster with the trees up to the best one, and what it took.

        Raises:
            DataError: If the trees of a conditional probability have no row to learn from, or if
                LightGBM refuses the rows or the settings.
        """
        began = time.monotonic()
        step = len(before.boosters)
        learned = self._learned_from(rows, step)
        dataset = self._dataset(rows, step, learned)
        callbacks = []
        valid_sets = []
        monitor = None
        if len(held_out.table):
            valid_sets = [self._dataset(held_out, step, slice(None), dataset)]
            callbacks = [lightgbm.early_stopping(self._config.early_stopping_round, verbose=False)]
            monitor = StepMonitor(
                held_out,
                step,
                self._monitor,
                self._log_before(before, held_out),
            )
        count = len(rows.labels[learned])
        parameters = self._config.parameters(self._seed, count, machine.threads())
        with _refusals(self._step_names[step]):
            grown = lightgbm.train(
                parameters,
                dataset,
                num_boost_round=self._config.num_iterations,
                valid_sets=valid_sets,
                feval=monitor,
                callbacks=callbacks,
            )
        if monitor:
            self._say_if_undefined(monitor, step)
        kept = grown.best_iteration if monitor else grown.num_trees()
        text = grown.model_to_string(num_iteration=kept)
        took = Grown(
            rows=count,
            trees=monitor.trees if monitor else kept,
            kept=kept,
            seconds=time.monotonic() - began,
        )
        return lightgbm.Booster(model_str=text), took

    def _say_if_undefined(self, monitor: StepMonitor, step: int) -> None:
        """Says that nothing told when to stop, where the held-out rows do not define the metric."""
        if not monitor.was_defined:
            name = self._step_names[step]
            print(
                f"warning: task {name!r}: the held-out rows do not define {monitor.kind}, so that "
                "only its first tree was kept; hold other rows out, or take --monitor=log_loss",
                flush=True,
            )

    def _learned_from(self, rows: TreeRows, step: int) -> np.ndarray | slice:
        """Which rows the trees of a step learn from; those of weight 0 tell nothing."""
        knows = self._weights(rows, step) > 0
        if step == 0 or self._config.heads == "separate":
            return slice(None) if knows.all() else knows
        reached = rows.labels[:, step - 1] & knows
        if not reached.any():
            previous, name = self._step_names[step - 1], self._step_names[step]
            nobody = f"no training row reached {previous!r}"
            if rows.labels[:, step - 1].any():
                nobody = f"no training row that reached {previous!r} knows its label"
            raise DataError(
                f"task {name!r}: {nobody}, so that nothing tells "
                f"P({name} | {previous}); take heads=separate"
            )
        return reached

    def _weights(self, rows: TreeRows, step: int) -> np.ndarray:
        """How much each row counts for the trees of a step, [n]."""
        if step == 0 or self._config.heads == "separate":
            return rows.weight[:, step]
        return rows.conditional_weight[:, step]

    def _log_before(self, before: FunnelTrees, rows: TreeRows) -> np.ndarray | None:
        """log f_{i-1} of rows [n], where the next trees give P(step i | step i - 1)."""
        if not before.boosters or self._config.heads == "separate":
            return None
        logits = before.logits(rows.table)
        return log_sigmoid(logits[:, -1])

    def _dataset(
        self,
        rows: TreeRows,
        step: int,
        which: np.ndarray | slice,
        reference: lightgbm.Dataset | None = None,
    ) -> lightgbm.Dataset:
        """Rows as LightGBM takes them; `reference` has the bins that they are cut into."""
        return lightgbm.Dataset(
            rows.table[which],
            label=rows.labels[which, step].astype(np.float32),
            weight=self._weights(rows, step)[which].copy(),
            feature_name=self._table.names,
            categorical_feature=self._table.categories,
            reference=reference,
            params={"verbosity": -1, "num_threads": machine.threads()},
        )


@contextlib.contextmanager
def _refusals(step_name: str) -> Iterator[None]:
    """Turns what LightGBM refuses into an error that names the step."""
    try:
        yield
    except lightgbm.basic.LightGBMError as error:
        raise DataError(f"task {step_name!r}: LightGBM cannot grow its trees: {error}") from None


def save(booster: lightgbm.Booster, path: pathlib.Path) -> None:
    """Writes a booster in LightGBM's own text form, which every tool for it reads."""
    write_text(path, booster.model_to_string(num_iteration=-1))


def load(path: pathlib.Path) -> lightgbm.Booster:
    """Reads what `save` wrote.

    Raises:
        DataError: If the file is damaged.
    """
    try:
        return lightgbm.Booster(model_str=read_text(path))
    except lightgbm.basic.LightGBMError as error:
        raise DataError(f"{path}: is damaged ({error}); remove it, and it is made anew") from None
