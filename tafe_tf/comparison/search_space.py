"""What a search draws each flag from, as `--search` has it."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tafe_tf.comparison.runs import Variant

Space = dict[str, BaseDistribution]  # what each flag is drawn from
_FORM = "must be FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C"
# What a trial is judged by and on; scores that differ in it do not compare.
_OF_ALL_TRIALS = frozenset({"seed", "monitor", "valid", "valid_fraction", "valid_split"})


def distribution(text: str, kinds: Mapping[str, type | None]) -> tuple[str, BaseDistribution]:
    """Reads an element of `--search`.

    Args:
        text: FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C.
        kinds: The types of the flags that may be searched, see `tafe_tf.flags.kinds`.

    Returns:
        The flag, and what its values are drawn from.

    Raises:
        ValueError: If the text has another form, the flag is unknown or of another kind, a range is
            empty or has no end, or a list has a value twice. The message says which it is.
    """
    try:
        flag, _, values = text.partition("=")
        if flag not in kinds:
            raise ValueError(f"must name a flag of training, and {flag!r} is not one")
        if ":" in values:
            return flag, _range(flag, values.split(":"), kinds[flag])
        return flag, _choices(flag, values.split("|"), kinds[flag])
    except ValueError as error:
        raise ValueError(f"--search {error}. Received: {text}") from None


def _choices(flag: str, values: list[str], kind: type | None) -> CategoricalDistribution:
    """What A|B|C is drawn from."""
    if "" in values:
        raise ValueError(_FORM)
    different: set[object] = set(values)
    if kind in (int, float, list):
        different = {_number(flag, value, kind) for value in values}  # 0 and 0.0 are one value
    if len(different) < len(values):
        raise ValueError("must have no value twice")
    return CategoricalDistribution(values)


def _range(
    flag: str,
    parts: list[str],
    kind: type | None,
) -> FloatDistribution | IntDistribution:
    """What LOW:HIGH or LOW:HIGH:log is drawn from."""
    low_text, high_text, *scale = parts
    if scale not in ([], ["log"]):
        raise ValueError(_FORM)
    if kind not in (int, list, float):
        raise ValueError(f"must list the values of {flag}, as A|B|C, since they are not numbers")
    low, high = _number(flag, low_text, kind), _number(flag, high_text, kind)
    is_log = bool(scale)
    if low > high:
        raise ValueError("must have a LOW of at most HIGH")
    if not math.isfinite(float(high) - float(low)):
        raise ValueError("must have a range that is not wider than the largest number")
    if is_log and low <= 0:
        raise ValueError("must have a LOW above 0 on a logarithmic scale")
    if kind is float:
        return FloatDistribution(low, high, log=is_log)
    return IntDistribution(int(low), int(high), log=is_log)


def _number(flag: str, text: str, kind: type | None) -> float:
    """Reads a value of a flag that has numbers."""
    numbers = "numbers" if kind is float else "whole numbers"
    try:
        number = float(text) if kind is float else int(text)
    except ValueError:
        raise ValueError(f"must have {numbers} for {flag}") from None
    if not math.isfinite(float(text)):
        raise ValueError(f"must have finite {numbers} for {flag}")
    return number


def space_from(texts: Sequence[str], kinds: Mapping[str, type | None]) -> Space:
    """Reads `--search`.

    Args:
        texts: The elements.
        kinds: See `distribution`.

    Raises:
        ValueError: See `distribution`; or if a flag is there twice.
    """
    space: Space = {}
    for text in texts:
        flag, drawn_from = distribution(text, kinds)
        if flag in space:
            raise ValueError(f"--search must have each flag once. Received: {', '.join(texts)}")
        space[flag] = drawn_from
    return dict(sorted(space.items()))  # the same search, whatever the order it is written in


def space_of(
    variant: Variant,
    space: Space,
    read: Collection[str],
) -> Space:
    """The part of a search that concerns a model: trials of other flags would all be the same.

    So would be those of a flag that the variant sets itself, and the scores of trials with another
    seed, metric or other held-out rows do not compare.

    Args:
        variant: The model and its settings.
        space: What each flag is drawn from.
        read: The flags that the model reads.

    Raises:
        ValueError: If there is no such flag, or one is set by the variant or must be the same in
            all trials.
    """
    for flag in space:
        if flag in _OF_ALL_TRIALS or flag in variant.settings:
            rule = "must not have a flag that is the same in all trials"
            raise ValueError(f"--search {rule} of {variant.text}. Received: {flag}")
    found = {flag: each for flag, each in space.items() if flag in read}
    if not found:
        raise ValueError(
            f"--search must have a flag that {variant.model} reads, which are "
            f"{', '.join(sorted(read))}. Received: {', '.join(space)}"
        )
    return found


def described(space: Space) -> str:
    """A space as `--search` has it."""
    texts = []
    for flag, each in space.items():
        if isinstance(each, CategoricalDistribution):
            texts.append(f"{flag}={'|'.join(map(str, each.choices))}")
        elif isinstance(each, FloatDistribution | IntDistribution):
            texts.append(f"{flag}={each.low}:{each.high}{':log' if each.log else ''}")
    return ",".join(texts)


def grid_of(space: Space) -> Iterator[dict[str, Any]] | None:
    """All combinations of the flags' values; None unless every flag has a list of them."""
    choices = []
    for each in space.values():
        if not isinstance(each, CategoricalDistribution):
            return None
        choices.append(each.choices)
    points = itertools.product(*choices)
    return (dict(zip(space, point, strict=True)) for point in points)


def count_of(space: Space) -> int:
    """How many combinations of values a space has; `sys.maxsize` if they cannot be counted."""
    count = 1
    for each in space.values():
        if isinstance(each, CategoricalDistribution):
            count *= len(each.choices)
        elif isinstance(each, IntDistribution):
            count *= each.high - each.low + 1
        elif not each.single():
            return sys.maxsize
    return count


def ends_of(drawn_from: BaseDistribution) -> list[str]:
    """The values of a list, or the two ends of a range, as they would stand on a command line."""
    if isinstance(drawn_from, CategoricalDistribution):
        return [str(value) for value in drawn_from.choices]
    assert isinstance(drawn_from, FloatDistribution | IntDistribution)
    return [str(drawn_from.low), str(drawn_from.high)]
