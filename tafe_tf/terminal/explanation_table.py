"""What each field adds to the outputs of a row, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from rich.table import Table

from tafe_tf.shown import shown
from tafe_tf.terminal.tables import number

_LONGEST = 30  # characters of a value


class Explained(Protocol):
    """What is shown of an explanation, see `tafe_tf.insight.importance.gradients`."""

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def attributions(self) -> np.ndarray: ...

    @property
    def value(self) -> np.ndarray: ...

    @property
    def baseline(self) -> np.ndarray: ...


def explanation_table(
    title: str,
    explained: Explained,
    columns: Mapping[str, np.ndarray | None],
) -> Table:
    """Makes the table of a row: the baseline, the fields, the largest first, and the row itself.

    Args:
        title: Text above the table.
        explained: The explanation.
        columns: The row's raw columns by feature, [1] or [1, length]; None where it has none.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("field")
    table.add_column("value")
    for name in explained.outputs:
        table.add_column(name, justify="right")
    table.add_row("the baseline", "", *_numbers(explained.baseline), end_section=True)
    sizes = np.abs(explained.attributions).sum(axis=1)
    for place in np.argsort(-sizes, kind="stable"):
        name = explained.fields[place]
        cells = [f"{one:+.4f}" for one in explained.attributions[place]]
        table.add_row(name, _value(columns.get(name)), *cells)
    table.add_section()
    table.add_row("the row", "", *_numbers(explained.value))
    return table


def _numbers(values: np.ndarray) -> Sequence[str]:
    return [number(float(value)) for value in values]


def _value(column: np.ndarray | None) -> str:
    """A field's value in short; empty where no column of the row has it by itself."""
    if column is None:
        return ""
    value = column[0]
    text = _list(value) if isinstance(value, np.ndarray) else _one(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _list(values: np.ndarray) -> str:
    """The first values of a list, as many as may be shown."""
    return f"[{', '.join(_one(value) for value in values[:_LONGEST])}]"


def _one(value: object) -> str:
    """A value, of a float32 the digits that tell it apart: 27.31 and not 27.309999465942383."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, np.floating):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    return shown(value)
