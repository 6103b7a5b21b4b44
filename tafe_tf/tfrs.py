"""Any of the models as a TensorFlow Recommenders model, for those who train with its `fit` (extra `[tfrs]`).

TensorFlow Recommenders needs legacy Keras in its process: set TF_USE_LEGACY_KERAS=1 before Python starts. The model
inside stays the Keras 3 object that it is, so a run directory saves and `export.saved_model` exports it as ever:

    recommender = FunnelRecommender(model, schema, features)
    recommender.compile(tf.keras.optimizers.Adagrad(0.1))
    recommender.fit(batches, epochs=3)
    run.save_model_config(model)
    run.best(model).save()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from tafe_tf.features.graph import Features
from tafe_tf.losses import FunnelLoss
from tafe_tf.models import FunnelModel
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import Schema

# Steps of 0.1 in the logit: Keras's own, even in the probability, cannot tell rare conversions apart.
THRESHOLDS = (1.0 / (1.0 + np.exp(-np.arange(-160, 121) / 10))).tolist()


class FunnelRecommender(tfrs.models.Model):
    """A funnel model with one `tfrs.tasks.Ranking` a step, over the entire space of impressions.

    The loss is that of the model's paper, as everywhere in this package: sum_i w_i task_i, each task the cross entropy
    of its step, and the loss's other terms (L_D, order, actions, debiased risks). What layers add is TFRS's
    regularization loss. Each task measures `auc/<step>`, the AUC of its step over all impressions in bins of 0.1 in the
    logit.

    Legacy Adam spreads an embedding's sparse gradient over the whole table, at the table's cost; Adagrad and SGD touch
    the batch's rows alone. On more than one replica train with `tafe_tf.training`: TFRS's tasks average over one.

    Args:
        model: any model of `tafe_tf.models`.
        schema: the dataset.
        features: its feature graph, if batches hold raw columns; otherwise they hold what it makes of them, "ids"
            [B, S] and, with lists, "weights" [B, S].
        loss: by default the model's `paper_loss` with the schema's task weights.

    Attributes:
        model: the same.
        tasks: the Ranking tasks, N.

    `fit` and `evaluate` take batches as mappings: raw columns or ids, and beside them the schema's label columns, its
    `sample_weight` and, for ESM2, its `via` columns; [B] each. Call arguments:
        inputs: such a mapping; labels may be missing.

    Returns:
        The served probabilities by name, [B] each; see `tafe_tf.outputs`.
    """

    def __init__(
        self,
        model: FunnelModel,
        schema: Schema,
        features: Features | None = None,
        loss: FunnelLoss | None = None,
    ) -> None:
        super().__init__(autocast=False)  # raw columns keep their precision
        # Past legacy Keras, which would count Keras 3's variables as further ones; it shall see what is behind them.
        object.__setattr__(self, "model", model)
        self._values = [variable.value for variable in model.variables]
        self._features, self._schema = features, schema
        n = len(schema.tasks)
        loss = loss or model.paper_loss([task.weight for task in schema.tasks])
        self._task_weights = loss._weights(n)
        self._terms = type(loss).from_config({**loss.get_config(), "task_weights": [0.0] * n})
        self.tasks = [
            tfrs.tasks.Ranking(
                tf.keras.losses.BinaryCrossentropy(from_logits=True),
                [tf.keras.metrics.AUC(thresholds=THRESHOLDS, from_logits=True, name=f"auc/{name}")],
                name=name,
            )
            for name in schema.step_names
        ]
        self.built = True  # all weights are there

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """The `tf.Variable`s behind those that the Keras 3 model trains, frozen layers' left out."""
        return [variable.value for variable in self.model.trainable_variables]

    @property
    def losses(self) -> list[tf.Tensor]:
        """What the model's layers added to the loss in its last call."""
        return self.model.losses

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, tf.Tensor]:
        """Columns [B] -> probabilities [B] by name."""
        logits = self.model(self._ids(inputs), training=training)[:, : len(self.tasks)]
        return probabilities(logits, self._schema)

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """The loss of a batch, a scalar; updates the tasks' metrics."""
        schema = self._schema
        columns = [*schema.labels, *(schema.tasks[i].via for i in schema.via)]
        labels = tf.stack(
            [tf.cast(inputs[column], tf.float32) for column in columns], axis=1
        )  # [B, N + A]
        weight = tf.cast(inputs[schema.sample_weight], tf.float32) if schema.sample_weight else None
        logits = self.model(self._ids(inputs), training=training)
        loss = self._terms(labels, logits, sample_weight=weight)
        for i, (task, task_weight) in enumerate(zip(self.tasks, self._task_weights, strict=True)):
            column = slice(i, i + 1)
            loss += task_weight * task(labels[:, column], logits[:, column], sample_weight=weight)
        return loss

    def _ids(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        if self._features is not None:
            return self._features(inputs)
        return {name: inputs[name] for name in ("ids", "weights") if name in inputs}
