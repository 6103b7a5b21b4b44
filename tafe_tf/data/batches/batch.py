"""Rows on their way into batches, and the batches."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

import numpy as np

from tafe_tf.schema import Schema

Part = Literal["train", "valid", "all"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of one shuffle window in the order of training, not yet cut into batches.

    Attributes:
        columns: The columns that the batches need, by name; [n] or [n, max_length].
        labels: 0, 1 or `schema.UNKNOWN`, int8 [n, N].
        file: The index of each row's file, int32 [n].
        row: Each row's number inside its file, from 1, int64 [n].
        reader: The number of the reader that gives the rows.
        position: The raw row of the reader's order at which the window begins, and how many rows
            the windows before it gave: what `Position.readers` holds of a reader.
        age: How old each row is in seconds, float32 [n]; None where `FunnelData.gives_ages` does
            not ask for it. Default: None.
    """

    columns: dict[str, np.ndarray]
    labels: np.ndarray
    file: np.ndarray
    row: np.ndarray
    reader: int
    position: tuple[int, int]
    age: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.row)


class Batch(NamedTuple):
    """One batch as the loop sees it: B rows of N tasks, as NumPy arrays or tensors.

    Attributes:
        inputs: The raw columns by name, or what `Features` made of them.
        labels: 0, 1 or `schema.UNKNOWN`, float32 [B, N]; in training [B, N + A], with the actions
            of the A tasks that have `via` last, and behind them the amount, if the schema has one:
            0 where it is not known, or the last step did not happen.
        weight: The sample weights, float32 [B]; ones where the schema has none. Where tasks have a
            `weight_column`, those of each row's steps, of the labels' shape; an amount has that of
            the last step.
        file: The index of each row's file, int32 [B].
        row: Each row's number inside its file, from 1, int64 [B].
        position: Where each of the R readers would begin to read for this batch, int64 [R, 2], as
            in `Position.readers`. It is 0 for readers of other processes, so that the positions of
            all processes add up to that of the batch.
        more: Whether this pass has another batch after this one, bool [1].
        extra: Further columns that evaluation reads (group, truth, amount), by name; none in
            training. An amount is NaN there where it is not known.
        unseen: Which ids training takes for those of unseen values, bool [B, S]; () where none are
            drawn, and once they are.
        age: How old each row is in seconds, float32 [B], in training that asks for it
            (`FunnelData.gives_ages`); otherwise nothing, ().
    """

    inputs: Any
    labels: Any
    weight: Any
    file: Any
    row: Any
    position: Any
    more: Any
    extra: Any
    unseen: Any = ()
    age: Any = ()


def columns_of(schema: Schema, part: Part) -> list[str]:
    """The names of the columns that batches of a part need, each once."""
    names = [column.name for column in schema.inputs]
    if schema.sample_weight:
        names.append(schema.sample_weight)
    names += schema.step_weights
    if part == "train":
        names += target_columns_of(schema)
    else:
        names += extra_columns_of(schema)
    return list(dict.fromkeys(names))


def extra_columns_of(schema: Schema) -> list[str]:
    """The columns that evaluation reads beside the inputs: group, each task's truth, amount."""
    names = [
        schema.group,
        *(task.truth for task in schema.tasks),
    ]
    if schema.amount is not None:
        names.append(schema.amount.column)
    return [name for name in names if name]


def target_columns_of(schema: Schema) -> list[str]:
    """The columns that training learns from beside the labels: the actions, then the amount."""
    names = [*schema.actions]
    if schema.amount is not None:
        names.append(schema.amount.column)
    return names
