"""One field of the model that is made of a user's history."""

from __future__ import annotations

import dataclasses
from typing import Any

from tafe_tf.schema.rules import (
    check,
    check_distinct,
    check_integer,
    check_name,
    check_one_of,
    check_texts,
    tuple_of,
)

ATTENTIONS = ("din", "dot", "transformer")
ENDS = ("last", "first")
_MOST_UNITS = 4096

_KEYS_OF_ATTENTION = {"din": {"hidden"}, "dot": set(), "transformer": {"blocks", "heads"}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceField:
    """One field of the model that a candidate reads out of a history, the schema's [[sequences]].

    Attributes:
        name: The field's name, another one than those of features: letters, digits and underscores,
            starting with a letter.
        features: The names of one or more features that hold lists, of one `max_length`. In each
            row their lists have one length: the first values of all are one entry of the history,
            and so on. They are no fields of their own.
        query: The names of features of one value a row, the candidate, with which entries are
            compared: at most as many as `features`. The first is what the first of `features` says
            of the candidate, and so on; what further lists tell of an entry, such as its age, has
            no counterpart.
        attention: How the candidate reads the history. "din" (the default): the sum of its entries
            times what DIN's activation unit gives each (Zhou et al. 2018). "dot": their mean,
            weighted by scaled dot products. "transformer": the same of the states of a small causal
            transformer (Kang & McAuley 2018).
        hidden: Sizes of the hidden layers of the activation unit, for "din". Default: (36,).
        blocks: Number of the transformer's blocks, for "transformer". Default: 2.
        heads: Number of heads of its attention, a divisor of the embedding dimension, for
            "transformer". Default: 1.
        newest: At which end of the lists the newest entry stands: "last" (the default), as logs
            that are appended to have it, or "first". Of longer lists the newest `max_length`
            entries are kept.

    Raises:
        SchemaError: If an attribute breaks its rule, or is set and has no meaning for this kind of
            attention.

    Example:
        >>> from tafe_tf.schema import SequenceField
        >>> SequenceField(name="recent", features=["history"], query=["item"]).attention
        'din'
    """

    name: str
    features: tuple[str, ...]
    query: tuple[str, ...]
    attention: str = "din"
    hidden: tuple[int, ...] = (36,)
    blocks: int = 2
    heads: int = 1
    newest: str = "last"

    def __post_init__(self) -> None:
        check_name(self.name, "sequences.name")
        where = f"sequence {self.name!r}"
        check_texts(self, f"{where}: ")
        for key in ("features", "query"):
            names = tuple_of(str, getattr(self, key), f"{where}: {key}")
            object.__setattr__(self, key, names)
            check(len(names) > 0, f"{where}: {key}", "must name at least one feature", names)
            check_distinct(f"{where}: feature", list(names))
        rule = f"must name at most as many features as `features`, {len(self.features)}"
        check(len(self.query) <= len(self.features), f"{where}: query", rule, self.query)
        check_one_of(self.attention, ATTENTIONS, f"{where}: attention")
        check_one_of(self.newest, ENDS, f"{where}: newest")
        hidden = tuple_of(int, self.hidden, f"{where}: hidden")
        object.__setattr__(self, "hidden", hidden)
        check(len(hidden) > 0, f"{where}: hidden", "must hold at least one size", hidden)
        for size in hidden:
            check_integer(size, 1, f"{where}: hidden", _MOST_UNITS)
        for key in ("blocks", "heads"):
            check_integer(getattr(self, key), 1, f"{where}: {key}", _MOST_UNITS)
        self._check_meaning(where)

    def _check_meaning(self, where: str) -> None:
        """Checks that nothing is set that the attention does not have."""
        of_any = set().union(*_KEYS_OF_ATTENTION.values())
        for key in sorted(of_any - _KEYS_OF_ATTENTION[self.attention]):
            value = getattr(self, key)
            rule = f"has no meaning for attention {self.attention!r}"
            check(value == getattr(type(self), key), f"{where}: {key}", rule, value)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the field's layer, `tafe_tf.layers.SequenceEncoder`."""
        settings: dict[str, Any] = {"attention": self.attention}
        if self.attention == "din":
            settings["units"] = list(self.hidden)
        if self.attention == "transformer":
            settings |= {"num_blocks": self.blocks, "num_heads": self.heads}
        return settings
