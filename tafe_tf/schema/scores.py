"""The score that an export computes of its outputs and of what only a request knows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from tafe_tf.input_names import argument_of, input_names
from tafe_tf.schema.rules import check, check_name, is_number, tuple_of

SCORE = "score"  # the signature, and its output
RANK_SCORE = "rank_score"  # the same for n items and one user
RANKS = ("rank", RANK_SCORE)  # the signatures whose user columns have one row


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A product of powers, such as bid^1 ctcvr^1 amount_given_buy^0.5.

    Attributes:
        powers: The exponent of each factor, a finite number other than 0. A factor is an output of
            the export or one of `inputs`. A mapping may be given; it is kept as pairs.
        inputs: Numbers that only a request knows, such as a bid, 0 or more. The signature `score`
            takes them beside the features' columns, float32, and no other signature does. Default:
            none.

    Raises:
        SchemaError: If an attribute breaks its rule.

    Example:
        >>> from tafe_tf.schema import Score
        >>> Score(powers={"ctcvr": 1.0, "bid": 0.5}, inputs=("bid",)).powers
        (('ctcvr', 1.0), ('bid', 0.5))
    """

    powers: tuple[tuple[str, float], ...]
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        powers = self.powers
        if isinstance(powers, Mapping):
            powers = tuple(powers.items())
        rule = "must be a table of exponents by name, one or more"
        is_table = isinstance(powers, tuple) and bool(powers)
        check(is_table, "score: powers", rule, self.powers)
        pairs = []
        for name, power in powers:
            is_power = is_number(power) and math.isfinite(power) and power != 0
            rule = f"of {name!r} must be a finite number other than 0"
            check(is_power, "score: powers", rule, power)
            pairs.append((str(name), float(power)))
        object.__setattr__(self, "powers", tuple(pairs))
        inputs = tuple_of(str, self.inputs, "score: inputs")
        object.__setattr__(self, "inputs", inputs)
        for name in inputs:
            check(inputs.count(name) == 1, "score: inputs", "must name each once", list(inputs))
            check_name(name, "score: inputs")
            is_free = input_names({name: name})[name] == name
            check(is_free, "score: inputs", "must not name a word of Python", name)
            is_used = name in dict(pairs)
            check(is_used, "score: inputs", "must be factors of `powers`", name)

    def __call__(self, factors: Mapping[str, Any]) -> Any:
        """Computes the score.

        Args:
            factors: Each factor by name, arrays or tensors of one shape; others are not read.

        Example:
            >>> from tafe_tf.schema import Score
            >>> Score(powers={"ctcvr": 1.0, "bid": 2.0}, inputs=("bid",))({"ctcvr": 0.5, "bid": 4})
            8.0
        """
        product: Any = None
        for name, power in self.powers:
            factor = factors[name] if power == 1.0 else factors[name] ** power
            product = factor if product is None else product * factor
        return product

    def check_names(self, outputs: tuple[str, ...], columns: tuple[str, ...]) -> None:
        """Checks the names against what the export has.

        Args:
            outputs: The export's outputs.
            columns: The names of the inputs of its other signatures.

        Raises:
            SchemaError: If a factor is unknown, or an input has a name that is taken.
        """
        for name, _ in self.powers:
            rule = f"must name outputs, {list(outputs)}, or `inputs` of the score"
            check(name in outputs or name in self.inputs, "score: powers", rule, name)
        taken = {argument_of(name) for name in (*outputs, *columns)}
        rule = (
            "must differ from outputs, features' inputs and each other in more than case or signs"
        )
        for name in self.inputs:
            is_free = argument_of(name) not in taken
            check(is_free, "score: inputs", rule, name)
            taken.add(argument_of(name))
