"""Batches -> the tf.data pipeline that the loop reads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import tensorflow as tf

from tafe_tf.data.batches.batch import Batch, Part, extra_columns_of, target_columns_of
from tafe_tf.data.errors import DataError
from tafe_tf.schema import MISSING, UNSEEN, Schema


class Stream:
    """A tf.data pipeline over a generator of batches that keeps the generator's own error.

    TensorFlow gives an error of its own in place of the generator's; `reraise` gives it back.

    Args:
        batches: Makes the generator.
        schema: Names the columns and their types.
        part: What the batches are of.
        transform: Makes model inputs of raw inputs; it runs in the pipeline.
        draws_unseen: Whether the batches say which ids are taken for those of unseen values, which
            then takes place in the pipeline, too. Default: False.
        gives_ages: Whether the batches hold the ages of their rows. Default: False.

    Attributes:
        dataset: A `tf.data.Dataset` of `Batch`es of tensors.
    """

    def __init__(
        self,
        batches: Callable[[], Iterator[Batch]],
        schema: Schema,
        part: Part,
        transform: Callable[..., Any],
        *,
        draws_unseen: bool = False,
        gives_ages: bool = False,
    ) -> None:
        self._batches = batches
        self._error: Exception | None = None
        signature = _signature(
            schema,
            part,
            draws_unseen=draws_unseen,
            gives_ages=gives_ages,
        )
        dataset = tf.data.Dataset.from_generator(self._generate, output_signature=signature)

        @tf.autograph.experimental.do_not_convert  # it has no control flow, and each pass traces it
        def transformed(batch: Batch) -> Batch:
            inputs = transform(batch.inputs)
            if draws_unseen:
                inputs = {**inputs, "ids": with_unseen(inputs["ids"], batch.unseen)}
            return batch._replace(inputs=inputs, unseen=())

        dataset = dataset.map(transformed, num_parallel_calls=2)
        self.dataset = dataset.prefetch(4).with_options(_without_tuning())

    def _generate(self) -> Iterator[Batch]:
        try:
            yield from self._batches()
        except Exception as error:
            self._error = error
            raise

    def reraise(self, error: Exception) -> NoReturn:
        """Raises what went wrong in the generator, or `error` itself if nothing did."""
        raise (self._error or error) from None


def _without_tuning() -> tf.data.Options:
    """Turns the tuning off, which has nothing to do here and would cost up to half the time.

    It looks at the pipeline after 10 ms, 20 ms, 40 ms and so on. An iterator that is read to its
    end waits for the next of these looks before it is gone: after 2.7 seconds of training, until
    5.1.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def with_unseen(ids: tf.Tensor, unseen: tf.Tensor) -> tf.Tensor:
    """Takes some ids for those of unseen values; a missing value stays one.

    Args:
        ids: As `Features` gives them, int32 [B, S].
        unseen: Which of them, bool [B, S].
    """
    is_taken = unseen & (ids != MISSING)
    return tf.where(is_taken, UNSEEN, ids)


def deal(batches: Iterator[Batch], replicas: int) -> Iterator[Batch]:
    """Cuts each batch into equal pieces, one for each replica.

    The position goes with the first piece, and the others' positions are 0, so that the replicas'
    positions add up to that of the batch. After the last batch its pieces come again without end:
    what reads ahead never meets one.

    Args:
        batches: The batches.
        replicas: How many replicas of the model this process has.

    Raises:
        DataError: If a batch cannot be cut so.
    """
    pieces: list[Batch] = []
    for batch in batches:
        rows = len(batch.labels)
        if rows % replicas:
            rule = f"cannot be cut into equal pieces for {replicas} replicas"
            raise DataError(f"a batch of {rows} rows {rule}")
        size = rows // replicas
        pieces = []
        for replica in range(replicas):
            cut = slice(replica * size, (replica + 1) * size)
            piece = tf.nest.map_structure(
                lambda array, cut=cut: array[cut],
                batch._replace(position=(), more=()),
            )
            position = batch.position if replica == 0 else 0 * batch.position
            piece = piece._replace(position=position, more=batch.more)
            pieces.append(piece)
        yield from pieces
    yield from itertools.cycle(pieces)


def _signature(
    schema: Schema,
    part: Part,
    *,
    draws_unseen: bool,
    gives_ages: bool,
) -> Batch:
    """The types and shapes of a batch."""
    columns = {}
    for column in schema.columns:
        shape = [None, column.max_length] if column.max_length else [None]
        columns[column.name] = tf.TensorSpec(shape, column.dtype)
    targets = len(schema.tasks)
    extra = []
    if part == "train":
        targets += len(target_columns_of(schema))
    else:
        extra = extra_columns_of(schema)
    labels = tf.TensorSpec([None, targets], tf.float32)
    slots = sum(feature.slots for feature in schema.id_features)
    of_rows = tf.TensorSpec([None], tf.float32)
    return Batch(
        inputs={column.name: columns[column.name] for column in schema.inputs},
        labels=labels,
        weight=labels if schema.step_weights else of_rows,
        file=tf.TensorSpec([None], tf.int32),
        row=tf.TensorSpec([None], tf.int64),
        position=tf.TensorSpec([None, 2], tf.int64),
        more=tf.TensorSpec([1], tf.bool),
        extra={name: columns[name] for name in extra},
        unseen=tf.TensorSpec([None, slots], tf.bool) if draws_unseen else (),
        age=of_rows if gives_ages else (),
    )
