"""One raw column, as readers deliver it and the served model takes it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from tafe_tf.schema.rules import check_integer, check_one_of, check_separator

Dtype = Literal["string", "int64", "float32", "float64"]

MOST_LENGTH = 10_000  # of a list; the lists of a batch are padded to it
ABSENT: dict[str, Any] = {
    "string": "",
    "int64": -1,
    "float32": math.nan,
    "float64": math.nan,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One raw column as the readers deliver it and the served model takes it.

    Attributes:
        name: The column's name in the files.
        dtype: "string", "int64", "float32" or "float64".
        max_length: 0 (the default) for one value a row; otherwise the column holds lists, which are
            cut to this many values.
        separator: The character between the values of a list in a CSV cell. Default: "|".
        is_exact: Whether each list has `max_length` values, or is missing. Default: no.
        input: The name by which the served model takes the column. Default: `name`; see
            `tafe_tf.input_names` for what a column is called whose name no input can have.
        keep: Which values of longer lists are kept, the "first" (the default) or the "last".

    Raises:
        SchemaError: If an attribute breaks its rule.

    Example:
        >>> from tafe_tf.schema import Column
        >>> Column(name="tags", dtype="string", max_length=5).separator
        '|'
    """

    name: str
    dtype: Dtype
    max_length: int = 0
    separator: str = "|"
    is_exact: bool = False
    input: str = ""
    keep: str = "first"

    def __post_init__(self) -> None:
        where = f"column {self.name!r}"
        check_one_of(self.dtype, ABSENT, f"{where}: dtype")
        check_integer(self.max_length, 0, f"{where}: max_length", MOST_LENGTH)
        check_separator(self.separator, f"{where}: separator")
        check_one_of(self.keep, ("first", "last"), f"{where}: keep")
        object.__setattr__(self, "input", self.input or self.name)
