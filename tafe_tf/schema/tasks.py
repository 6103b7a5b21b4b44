"""One step of the funnel: how its label is read, and when it is known."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Literal

from tafe_tf.schema.rules import check, check_name, check_one_of, check_texts, is_number, tuple_of

UNKNOWN = -1  # the label of a step of which a row says nothing
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SPAN = re.compile(r"[0-9]+[wdhms]\Z")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One step of the funnel.

    Attributes:
        name: The step's name: letters, digits and underscores, starting with a letter.
        column: The label column. Default: `name`.
        positive: The texts that mean 1, such as `("yes",)`. Default: 1, 1.0 and true.
        negative: The texts that mean 0, such as `("no", "-1")`; an empty one says that a missing
            label is 0. Default: 0, 0.0 and false. A label that is missing after a 0 is 0 anyway.
        when: "present" if any value at all (a date, an amount) means 1, and a missing value 0.
            Default: "", the label is read by `positive` and `negative`.
        may_be_unknown: Whether a label that is missing after a 1, or in the first step, is unknown
            instead of an error: of this row the step says nothing, in the loss as in metrics. What
            the other steps tell is used: a step that happened makes all earlier ones 1, one that
            did not makes all later ones 0. Default: false.
        matures_after: How long after the row's time the label is known, such as "7d" or "12h": a
            number of weeks (w), days (d), hours (h), minutes (m) or seconds (s). In younger rows it
            is unknown whatever it says. It needs `Schema.time`, where a number counts seconds.
            Default: "", it is known at once.
        weight: w_i of eq. 25, the step's share in the loss. Default: 1.0.
        weight_column: A column with the weight of the step in each row, a number, 0 or more, beside
            the row's own (`Schema.sample_weight`). Default: none.
        truth: A column with the true P(T_i = 1 | X), which synthetic data has and only evaluation
            reads. Default: none.
        via: A column, 0 or 1 (or false and true), of an action that may come between the step
            before and this one (a cart between click and buy), or several in order, the micro
            before the macro action (`("reviews", "cart")`); the models `esm2` and `hm3` learn from
            them. Default: none.

    Raises:
        SchemaError: If an attribute breaks its rule.

    Example:
        >>> from tafe_tf.schema import Task
        >>> Task(name="buy", column="bought", weight=2.0).column
        'bought'
    """

    name: str
    column: str = ""
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    when: Literal["", "present"] = ""
    may_be_unknown: bool = False
    matures_after: str = ""
    weight: float = 1.0
    weight_column: str = ""
    truth: str = ""
    via: str | tuple[str, ...] = ""

    def __post_init__(self) -> None:
        check_name(self.name, "tasks.name", has_column=True)
        where = f"task {self.name!r}"
        self._check_via(where)
        check_texts(self, f"{where}: ", but=("via",))
        self._check_values(where)
        is_weight = is_number(self.weight) and 0 <= self.weight < math.inf
        check(
            is_weight,
            f"{where}: weight",
            "must be a number, 0 or more",
            self.weight,
        )
        is_bool = isinstance(self.may_be_unknown, bool)
        check(is_bool, f"{where}: may_be_unknown", "must be true or false", self.may_be_unknown)
        rule = 'has no meaning beside when = "present", for which a missing value means 0'
        is_read = not (self.may_be_unknown and self.when)
        check(is_read, f"{where}: may_be_unknown", rule, self.may_be_unknown)
        if self.matures_after:
            rule = 'must be a number and one of w, d, h, m and s, such as "7d"'
            is_span = _SPAN.match(self.matures_after) is not None
            check(is_span, f"{where}: matures_after", rule, self.matures_after)
        object.__setattr__(self, "column", self.column or self.name)

    @property
    def maturity(self) -> int:
        """How long after the row's time the label is known, in seconds."""
        if not self.matures_after:
            return 0
        number, unit = self.matures_after[:-1], self.matures_after[-1]
        return int(number) * _SECONDS[unit]

    @property
    def actions(self) -> tuple[str, ...]:
        """The columns of `via`, none, one or several."""
        if isinstance(self.via, str):
            return (self.via,) if self.via else ()
        return self.via

    def _check_via(self, where: str) -> None:
        """Checks the actions; none or one of them in a sequence become a text."""
        if isinstance(self.via, str):
            return
        names = tuple_of(str, self.via, f"{where}: via")
        check(all(names), f"{where}: via", "must hold names of columns, none of them empty", names)
        via: str | tuple[str, ...] = names
        if len(names) < 2:
            via = "".join(names)
        object.__setattr__(self, "via", via)

    def _check_values(self, where: str) -> None:
        """Checks how the label is read."""
        check_one_of(self.when, ("", "present"), f"{where}: when")
        for key in ("positive", "negative"):
            texts = tuple_of(str, getattr(self, key), f"{where}: {key}")
            object.__setattr__(self, key, texts)
            has_meaning = not (texts and self.when)
            check(has_meaning, f"{where}: {key}", "has no meaning beside `when`", texts)
        both = sorted(set(self.positive) & set(self.negative))
        check(not both, f"{where}: negative", "must not name a text of `positive`", both)
