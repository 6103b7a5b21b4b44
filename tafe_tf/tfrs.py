"""Any of the models as a TensorFlow Recommenders model, for those who train with its `fit`.

It needs the extra `[tfrs]`, and TensorFlow Recommenders needs legacy Keras in its process: set
TF_USE_LEGACY_KERAS=1 before Python starts. The model inside stays the Keras 3 object that it is, so
a run directory saves it and `export.saved_model` exports it like any other:

    recommender = FunnelRecommender(model, schema, features)
    recommender.compile(tf.keras.optimizers.Adagrad(0.1))
    recommender.fit(batches, epochs=3)
    run.save_model_config(model)
    run.save_best(model)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from scipy.special import expit

from tafe_tf.features.graph import Features
from tafe_tf.losses import FunnelLoss, expected_labels
from tafe_tf.models import FunnelModel
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import Schema
from tafe_tf.types import Tensor

# Steps of 0.1 in the logit: Keras's own thresholds, which are even in the probability, cannot tell
# rare conversions apart.
_LOGITS = np.arange(-160, 121) / 10
THRESHOLDS = expit(_LOGITS).tolist()


class FunnelRecommender(tfrs.models.Model):
    """A funnel model with one `tfrs.tasks.Ranking` for each step, over all impressions.

    The loss is that of the model's paper, as everywhere in this package: sum_i w_i task_i, where
    each task is the cross entropy of its step, and the loss's other terms (L_D, order, actions,
    debiased risks). What layers add to the loss is TFRS's regularization loss. Each task measures
    `auc/<step>`, the AUC of its step over all impressions in bins of 0.1 in the logit.

    Legacy Adam spreads an embedding's sparse gradient over the whole table, at the table's cost;
    Adagrad and SGD touch the batch's rows alone. On more than one replica train with
    `tafe_tf.training`: TFRS's tasks average over one replica.

    Args:
        model: Any model of `tafe_tf.models`.
        schema: The dataset's schema.
        features: Its feature graph, if batches hold raw columns. By default they hold what it makes
            of them, "ids" [B, S] and, with lists, "weights" [B, S].
        loss: The loss; by default the model's `paper_loss` with the schema's task weights.

    Attributes:
        model: The model.
        tasks: The Ranking tasks, N.

    Call arguments:
        inputs: A mapping with raw columns or ids, [B] each. For `fit` and `evaluate` it also holds
            the schema's label columns, its `sample_weight`, the steps' weights and, for ESM2 and
            HM3, its `via` columns, and the amount. Where a label may be unknown, -1 or NaN says so.

    Returns:
        The served probabilities by name, [B] each; see `tafe_tf.probabilities`.
    """

    def __init__(
        self,
        model: FunnelModel,
        schema: Schema,
        features: Features | None = None,
        loss: FunnelLoss | None = None,
    ) -> None:
        super().__init__(autocast=False)  # raw columns keep their precision
        # This bypasses legacy Keras's attribute tracking, which would count the Keras 3 variables a
        # second time; it is to see the tf.Variables behind them.
        object.__setattr__(self, "model", model)
        self._values = [variable.value for variable in model.variables]
        self._features = features
        self._schema = schema
        n = len(schema.tasks)
        task_weights = [task.weight for task in schema.tasks]
        if loss is None:
            own_loss: dict[str, Any] = {"may_be_unknown": schema.may_be_unknown}
            if schema.amount is not None:
                own_loss["amount_weight"] = schema.amount.weight
            loss = model.paper_loss(task_weights, **own_loss)
        self._task_weights = loss.weights_for(n)
        # The loss's other terms alone: the tasks' cross entropies have weight 0.
        own = {"task_weights": [0.0] * n, "may_be_unknown": schema.may_be_unknown}
        config = {**loss.get_config(), **own}
        self._terms = type(loss).from_config(config)
        self.tasks = [_ranking(name) for name in schema.step_names]
        self.built = True  # all weights are there

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """The `tf.Variable`s behind those that the Keras 3 model trains, without frozen layers."""
        return [variable.value for variable in self.model.trainable_variables]

    @property
    def losses(self) -> list[tf.Tensor]:
        """What the model's layers added to the loss in its last call."""
        return self.model.losses

    def call(self, inputs: Mapping[str, Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Computes the served probabilities: columns [B] -> probabilities [B] by name."""
        n = len(self.tasks)
        logits = self.model(self._ids(inputs), training=training)
        if self._schema.amount is None:
            logits = logits[:, :n]
        return probabilities(logits, self._schema)

    def compute_loss(self, inputs: Mapping[str, Tensor], training: bool = False) -> tf.Tensor:
        """Computes the loss of a batch, a scalar, and updates the tasks' metrics."""
        schema = self._schema
        columns = [*schema.labels, *schema.actions]
        of_columns = []
        for column in columns:
            label = tf.cast(inputs[column], tf.float32)  # [B]
            of_columns.append(label)
        if schema.amount is not None:
            amounts = tf.cast(inputs[schema.amount.column], tf.float32)
            has_amount = (of_columns[len(self.tasks) - 1] > 0.5) & (amounts > 0.0)
            of_columns.append(tf.where(has_amount, amounts, 0.0))
        labels = tf.stack(of_columns, axis=1)  # [B, N + A], with the amount behind
        weight = None
        if schema.sample_weight:
            weight = tf.cast(inputs[schema.sample_weight], tf.float32)
        if schema.step_weights:
            weight = self._weights_of_steps(inputs, labels, weight)  # [B, N + A]
        if schema.may_be_unknown:
            labels = tf.where(labels >= 0.0, labels, -1.0)  # NaN is unknown, too
        logits = self.model(self._ids(inputs), training=training)
        loss = self._terms(labels, logits, sample_weight=weight)
        for i, task_weight in enumerate(self._task_weights):
            own_weight = weight
            if weight is not None and len(weight.shape) == 2:
                own_weight = weight[:, i]
            loss += task_weight * self._of_task(i, labels, logits, own_weight)
        return loss

    def _of_task(
        self,
        i: int,
        labels: tf.Tensor,
        logits: tf.Tensor,
        weight: tf.Tensor | None,
    ) -> tf.Tensor:
        """Computes a task's loss, and updates its metrics with the labels that are known."""
        task = self.tasks[i]
        own = slice(i, i + 1)
        if not self._schema.may_be_unknown:
            return task(labels[:, own], logits[:, own], sample_weight=weight)
        n = len(self.tasks)
        of_rows = tf.ones(tf.shape(labels)[0]) if weight is None else weight
        expected = expected_labels(labels[:, :n], logits[:, :n])
        knows_any = tf.reduce_any(labels[:, :n] >= 0.0, axis=1)
        loss = task(
            expected[:, own],
            logits[:, own],
            sample_weight=of_rows * tf.cast(knows_any, tf.float32),
            compute_metrics=False,
        )
        is_known = labels[:, i] >= 0.0
        task(
            tf.maximum(labels[:, own], 0.0),
            logits[:, own],
            sample_weight=of_rows * tf.cast(is_known, tf.float32),
        )
        return loss

    def _weights_of_steps(
        self,
        inputs: Mapping[str, Tensor],
        labels: tf.Tensor,
        row_weight: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns the weight of each row's steps and actions, [B, N + A]."""
        weights = tf.ones_like(labels)
        if row_weight is not None:
            weights *= row_weight[:, None]
        of_columns = tf.unstack(weights, axis=1)
        for i, task in enumerate(self._schema.tasks):
            if task.weight_column:
                of_columns[i] *= tf.cast(inputs[task.weight_column], tf.float32)
        last = self._schema.tasks[-1].weight_column
        if self._schema.amount is not None and last:
            of_columns[-1] *= tf.cast(inputs[last], tf.float32)
        return tf.stack(of_columns, axis=1)

    def _ids(self, inputs: Mapping[str, Tensor]) -> dict[str, tf.Tensor]:
        """Returns what the model reads."""
        if self._features is not None:
            return self._features(inputs)
        read = {}
        for name in ("ids", "weights", "numbers", "vectors"):
            if name in inputs:
                read[name] = inputs[name]
        return read


def _ranking(step: str) -> tfrs.tasks.Ranking:
    """Makes the task of a step: its cross entropy from logits, and its AUC."""
    auc = tf.keras.metrics.AUC(
        thresholds=THRESHOLDS,
        from_logits=True,
        name=f"auc/{step}",
    )
    loss = tf.keras.losses.BinaryCrossentropy(from_logits=True)
    return tfrs.tasks.Ranking(loss, [auc], name=step)
