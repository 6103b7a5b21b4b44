"""The amount that stands at the end of a funnel, such as the revenue of a conversion."""

from __future__ import annotations

import dataclasses
import math

from tafe_tf.schema.rules import check, check_name, check_texts, is_number
from tafe_tf.schema.scores import SCORE

GIVEN = "amount_given_"  # the output is named so, and by the last step
EXPECTED = "expected_amount"


def is_probability(output: str) -> bool:
    """Returns whether an output of an export is a probability, by its name.

    Example:
        >>> is_probability("ctcvr"), is_probability("amount_given_buy")
        (True, False)
    """
    return output not in (EXPECTED, SCORE) and not output.startswith(GIVEN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amount:
    """What the last step of a funnel brings: a number above 0 in each row in which it happened.

    In a TOML file it is the last of the `[[tasks]]`, with `kind = "amount"`. It is no step: a
    funnel of N steps with an amount has N steps.

    Attributes:
        name: The amount's name: letters, digits and underscores, starting with a letter.
        column: The column of the amounts. In rows in which the last step did not happen it is not
            read: it may be 0 or missing. Default: `name`.
        may_be_unknown: Whether an amount that is missing although the last step happened is unknown
            instead of an error. Such a row tells of the steps as any other. Default: false.
        weight: The weight in the loss of the amount's negative log likelihood. Default: 1.0.

    Raises:
        SchemaError: If an attribute breaks its rule.

    Example:
        >>> from tafe_tf.schema import Amount
        >>> Amount(name="spend", column="revenue").weight
        1.0
    """

    name: str
    column: str = ""
    may_be_unknown: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_name(self.name, "tasks.name", has_column=True)
        where = f"task {self.name!r}"
        check_texts(self, f"{where}: ")
        is_weight = is_number(self.weight) and 0 <= self.weight < math.inf
        check(is_weight, f"{where}: weight", "must be a number, 0 or more", self.weight)
        is_bool = isinstance(self.may_be_unknown, bool)
        check(is_bool, f"{where}: may_be_unknown", "must be true or false", self.may_be_unknown)
        object.__setattr__(self, "column", self.column or self.name)
