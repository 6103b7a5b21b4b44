"""Predictions and metrics of a model on a dataset, batch by batch."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf import machine
from tafe_tf.data.batches.batch import Batch, Part
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.stream import Stream
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features.graph import Features
from tafe_tf.metrics import FunnelMetrics, Metrics, monitored
from tafe_tf.schema import Schema
from tafe_tf.training.predictions import amounts_given

# Of the model's output, logits [B, N] and with an amount two columns more, and its batch; tells
# whether to go on.
Use = Callable[[np.ndarray, Batch], bool]


class Evaluator:
    """Runs a model on a dataset, each process of the cluster on its share of the rows.

    Args:
        model: Any model of `tafe_tf.models`.
        features: The feature graph.
        cluster: The processes that evaluate together; by default this one alone.
    """

    def __init__(
        self,
        model: keras.Model,
        features: Features,
        cluster: Cluster | None = None,
    ) -> None:
        self.model = model
        self.features = features
        self.cluster = cluster or Cluster()

    def evaluate(
        self,
        data: FunnelData,
        part: Part = "all",
        also: Use | None = None,
        *,
        of_fields: bool = False,
    ) -> Metrics:
        """The metrics of a part of the data, and the "seconds" that it took.

        Args:
            data: The rows.
            part: "train", "valid" or "all"; the default is "all".
            also: Is called with the logits and the batches too.
            of_fields: Whether to add what `FieldCounts.as_metrics` says of the fields' values. The
                default is False.

        Raises:
            DataError: On a bad file or row.
            ValueError: If a logit is not finite.
        """
        began = time.monotonic()
        schema = data.schema
        metrics = metrics_of(schema)
        fields = FieldCounts([feature.name for feature in schema.counted_features])

        def update(logits: np.ndarray, batch: Batch) -> bool:
            add_batch(metrics, schema, logits, batch)
            return also(logits, batch) if also else True

        self.predict(data, part, update, fields if of_fields else None)
        if self.cluster.workers > 1:
            # A worker without any row needs the arrays that the others have.
            metrics.update(**_no_rows(schema))
            metrics = metrics.of_all(self.cluster.gather)
            if of_fields:
                of_workers = self.cluster.gather({"fields": fields.counts[None]})["fields"]
                fields.counts = of_workers.sum(axis=0)
        return {
            **metrics.result(),
            **(fields.as_metrics() if of_fields else {}),
            "seconds": round(time.monotonic() - began, 3),
        }

    def predict(
        self,
        data: FunnelData,
        part: Part,
        use: Use,
        fields: FieldCounts | None = None,
    ) -> None:
        """Calls `use` with the model's output and batch, both as NumPy, as long as it returns true.

        The rows come in the order of the files. Their values are added to `fields`.
        """
        data = dataclasses.replace(data, readers=self.cluster.workers)
        stream = Stream(
            lambda: data.evaluation_batches(part, self.cluster.worker),
            data.schema,
            part,
            self.features,
        )
        self.model.pieces = machine.pieces(data.batch_size)
        try:
            for batch in stream.dataset:
                logits = self._logits(batch.inputs).numpy()
                if fields is not None:
                    counted = self.features.counted_ids(batch.inputs)
                    fields.add_ids(counted.numpy(), self.features.counted_slots)
                without_inputs = batch._replace(inputs=())
                arrays = tf.nest.map_structure(lambda tensor: tensor.numpy(), without_inputs)
                if not use(logits, arrays):
                    return
        except tf.errors.OpError as error:
            stream.reraise(error)

    @tf.function(reduce_retracing=True, autograph=False)
    def _logits(self, inputs: Any) -> tf.Tensor:
        return self.model(inputs, training=False)


def metrics_of(schema: Schema) -> FunnelMetrics:
    """Metrics of a schema's steps, of no rows yet."""
    return FunnelMetrics(
        schema.step_names,
        schema.conditional_names,
        may_be_unknown=schema.may_be_unknown,
        amount_names=schema.amount_names,
    )


def check_monitor(monitor: str, schema: Schema) -> None:
    """Refuses what no evaluation of this schema's rows will give.

    Args:
        monitor: See `TrainingConfig.monitor`.
        schema: Of the rows.

    Raises:
        ValueError: Naming the metrics that there are.
    """
    metrics = metrics_of(schema)
    metrics.update(**_no_rows(schema))
    monitored(metrics.result(), monitor, schema.step_names)


def add_batch(
    metrics: FunnelMetrics,
    schema: Schema,
    outputs: np.ndarray,
    batch: Batch,
) -> None:
    """Adds a batch to metrics, with the weights, groups and truths that its schema names.

    Args:
        metrics: Of the schema's steps.
        schema: Of the rows.
        outputs: Logits of f, [B, N]; of a model with an amount its output, [B, N + 2].
        batch: The rows, as NumPy arrays.
    """
    amounts: dict[str, np.ndarray] = {}
    has_amount = outputs.shape[1] > len(schema.tasks)  # boosted trees predict none
    if schema.amount is not None and has_amount:
        amounts["amount"] = batch.extra[schema.amount.column]
        amounts["amount_given"] = amounts_given(outputs)
    metrics.update(
        outputs[:, : len(schema.tasks)],
        batch.labels,
        sample_weight=batch.weight if _has_weights(schema) else None,
        group=batch.extra[schema.group] if schema.group else None,
        truth=_truth(schema, batch),
        **amounts,
    )


def _has_weights(schema: Schema) -> bool:
    return bool(schema.sample_weight or schema.step_weights)


def _truth(schema: Schema, batch: Batch) -> np.ndarray | None:
    """The true probabilities [B, N], where the schema has a column of them for each task."""
    columns = [task.truth for task in schema.tasks]
    if not all(columns):
        return None
    return np.stack(
        [batch.extra[name] for name in columns],
        axis=1,
    )


def _no_rows(schema: Schema) -> dict[str, Any]:
    """Arguments of `FunnelMetrics.update` for a batch of 0 rows."""
    none = np.zeros((0, len(schema.tasks)))
    rows = {"logits": none, "labels": none}
    if _has_weights(schema):
        rows["sample_weight"] = none if schema.step_weights else none[:, 0]
    if schema.group:
        rows["group"] = none[:, 0]
    if all(task.truth for task in schema.tasks):
        rows["truth"] = none
    if schema.amount is not None:
        rows["amount"] = none[:, 0]
        rows["amount_given"] = none[:, 0]
    return rows
