"""Ali-CCP's fields, which of them a protocol reads and how, and the schema that goes with it."""

from __future__ import annotations

import dataclasses
from typing import Any

from tafe_tf.schema import Feature, Schema, Task

USER = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
ITEM = ("205", "206", "207", "216")
COMBINED = ("508", "509", "702", "853")  # of user and item; their values are logarithms of counts
CONTEXT = ("301",)
BEHAVIOUR = ("109_14", "110_14", "127_14", "150_14")  # the user's lists, with weights
INTENTION = ("210",)  # the item's list
FIELDS = (*USER, *ITEM, *COMBINED, *CONTEXT, *BEHAVIOUR, *INTENTION)
TASKS = ("click", "conversion")

MIN_COUNT = 11  # "ids that occur more than 10 times"
MAX_COMBINED = 5  # most rows have one value of a combined field, a few have several


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is read of a row.

    Attributes:
        name: The protocol's name.
        single: The fields of one id each.
        lists: The fields of ids with a weight each, and how many of the largest weights are kept.
    """

    name: str
    single: tuple[str, ...]
    lists: dict[str, int]

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields: the single ones, then the lists."""
        return (*self.single, *self.lists)

    def schema(self) -> Schema:
        """The dataset's schema; rows are grouped by the user, field 101."""
        return Schema(
            name=f"ali_ccp_{self.name}",
            group=column("101"),
            tasks=tuple(Task(name=task) for task in TASKS),
            features=tuple(self._feature(field) for field in self.fields),
        )

    def _feature(self, field: str) -> Feature:
        return Feature(
            name=column(field),
            kind="vocabulary",
            dtype="int64",
            min_count=MIN_COUNT,
            side="user" if field in (*USER, *BEHAVIOUR) else "item",
            **self._list_keys(field),
        )

    def _list_keys(self, field: str) -> dict[str, Any]:
        if field not in self.lists:
            return {}
        # A combined field mostly has one value, whose weight a weighted mean would lose.
        pooling = "sum" if field in COMBINED else "mean"
        return {
            "max_length": self.lists[field],
            "weights": f"{column(field)}_weights",
            "pooling": pooling,
        }


def column(field: str) -> str:
    """The column of a field: a name must start with a letter."""
    return f"f{field}"


def protocol(name: str, max_values: int = 50) -> Protocol:
    """The protocol "aitm18" (18 fields of one id) or "full23" (all, 9 of them as lists).

    Args:
        name: The protocol's name.
        max_values: The largest number of values of a list; a combined field keeps at most 5.
            Default: 50.

    Raises:
        ValueError: For another name, or fewer values than 1.
    """
    if name not in ("aitm18", "full23") or max_values < 1:
        rule = "protocol must be 'aitm18' or 'full23', and max_values 1 or more"
        raise ValueError(f"{rule}. Received: {name!r}, {max_values!r}")
    if name == "aitm18":
        return Protocol(
            name=name,
            single=(*USER, *ITEM, *COMBINED, *CONTEXT),
            lists={},
        )
    lists = dict.fromkeys((*BEHAVIOUR, *INTENTION), max_values)
    lists |= dict.fromkeys(COMBINED, min(max_values, MAX_COMBINED))
    return Protocol(
        name=name,
        single=(*USER, *ITEM, *CONTEXT),
        lists=lists,
    )
