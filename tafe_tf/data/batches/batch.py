"""The batch as the loop sees it, and the tf.data pipeline that brings it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.schema import Schema

Part = Literal["train", "valid", "all"]


class Batch(NamedTuple):
    """One batch as the loop sees it; B rows, N tasks.

    Attributes:
        inputs: raw columns, or what `Features` made of them.
        labels: float32 [B, N]; in training [B, N + A], with the actions of the A tasks that have `via` last.
        weight: sample weights, float32 [B]; ones where the schema has none.
        file: index of each row's file, int32 [B].
        row: each row's number inside its file, from 1, int64 [B].
        position: int64 [R, 2]; where each of the R readers would start reading for this batch, see `Position`.
        more: whether this pass has another batch after this one, bool [1].
        extra: further columns that evaluation reads (group, truth), by column name; none in training.
    """

    inputs: Any
    labels: Any
    weight: Any
    file: Any
    row: Any
    position: Any
    more: Any
    extra: Any


def from_block(block: Block, schema: Schema, part: Part, position: tuple[int, int]) -> Batch:
    """A block's rows as one batch; the position is repeated row by row, so that pieces of it keep theirs."""
    n = len(block.row)
    return Batch(
        inputs={column.name: block.columns[column.name] for column in schema.inputs},
        labels=_with_actions(block, schema) if part == "train" else block.labels.astype(np.float32),
        weight=block.columns[schema.sample_weight]
        if schema.sample_weight
        else np.ones(n, np.float32),
        file=block.file,
        row=block.row,
        position=np.tile(np.array(position, np.int64), (n, 1)),
        more=np.ones(n, np.bool_),
        extra={}
        if part == "train"
        else {name: block.columns[name] for name in _evaluation_columns(schema)},
    )


def _signature(schema: Schema, part: Part) -> Batch:
    """The types and shapes of what `from_block` makes, for tf.data."""
    columns = {
        c.name: tf.TensorSpec([None, c.max_length] if c.max_length else [None], c.dtype)
        for c in schema.columns
    }
    return Batch(
        inputs={c.name: columns[c.name] for c in schema.inputs},
        labels=tf.TensorSpec(
            [None, len(schema.tasks) + (len(schema.via) if part == "train" else 0)], tf.float32
        ),
        weight=tf.TensorSpec([None], tf.float32),
        file=tf.TensorSpec([None], tf.int32),
        row=tf.TensorSpec([None], tf.int64),
        position=tf.TensorSpec([None, 2], tf.int64),
        more=tf.TensorSpec([1], tf.bool),
        extra={}
        if part == "train"
        else {name: columns[name] for name in _evaluation_columns(schema)},
    )


def _with_actions(block: Block, schema: Schema) -> np.ndarray:
    actions = [block.columns[schema.tasks[i].via] for i in schema.via]
    return np.column_stack([block.labels, *actions]).astype(np.float32)


def _evaluation_columns(schema: Schema) -> list[str]:
    return [name for name in (schema.group, *(task.truth for task in schema.tasks)) if name]


def concatenate(parts: Sequence[Batch]) -> Batch:
    """The rows of several batches as one."""
    if len(parts) == 1:
        return parts[0]
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def take(rows: Batch, which: slice | np.ndarray, squeeze: bool = True) -> Batch:
    """Some of the rows; with `squeeze` the position of the first one stands for the batch."""
    taken = tf.nest.map_structure(lambda array: array[which], rows)
    return taken._replace(position=taken.position[:1], more=taken.more[:1]) if squeeze else taken


def deal(batches: Iterator[Batch], replicas: int) -> Iterator[Batch]:
    """Each batch in equal pieces, one a replica; the first one's position is the batch's, the others' are 0.

    After the last batch its pieces come again without end: what reads ahead never meets one.

    Raises:
        DataError: if a batch cannot be cut so.
    """
    pieces: list[Batch] = []
    for batch in batches:
        rows = len(batch.labels)
        if rows % replicas:
            raise DataError(
                f"a batch of {rows} rows cannot be cut into equal pieces for {replicas} replicas"
            )
        cuts = [slice(rows * i // replicas, rows * (i + 1) // replicas) for i in range(replicas)]
        whole = batch._replace(position=(), more=())
        pieces = [
            take(whole, cut, squeeze=False)._replace(
                position=batch.position * (i == 0), more=batch.more
            )
            for i, cut in enumerate(cuts)
        ]
        yield from pieces
    yield from itertools.cycle(pieces)


class Stream:
    """A tf.data pipeline over a generator of batches that keeps the generator's own error.

    Args:
        batches: makes the generator.
        schema: the dataset.
        part: what the batches are of.
        transform: raw inputs -> model inputs, run in the pipeline.

    Attributes:
        dataset: `Batch`es of tensors.
    """

    def __init__(
        self,
        batches: Callable[[], Iterator[Batch]],
        schema: Schema,
        part: Part,
        transform: Callable[..., Any],
    ) -> None:
        self._batches = batches
        self._error: Exception | None = None
        dataset = tf.data.Dataset.from_generator(
            self._generate, output_signature=_signature(schema, part)
        )
        dataset = dataset.map(
            lambda batch: batch._replace(inputs=transform(batch.inputs)), num_parallel_calls=2
        )
        self.dataset = dataset.prefetch(4)

    def _generate(self) -> Iterator[Batch]:
        try:
            yield from self._batches()
        except Exception as error:
            self._error = error
            raise

    def reraise(self, error: Exception) -> None:
        """Raises what went wrong in the generator, or else `error` itself."""
        raise (self._error or error) from None
