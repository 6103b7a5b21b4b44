"""How an element of `--search` is read."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tafe_tf.comparison.runs import Variant
from tafe_tf.comparison.search import distribution, space_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dropout=0:0.3", FloatDistribution(0.0, 0.3)),
        ("dropout=1e-4:0.3:log", FloatDistribution(1e-4, 0.3, log=True)),
        ("dropout=0.1|0.2", CategoricalDistribution(["0.1", "0.2"])),
        ("dropout=0.1", CategoricalDistribution(["0.1"])),
    ],
)
def test_what_a_flag_is_drawn_from(text: str, expected: Any) -> None:
    assert distribution(text, ["dropout"]) == ("dropout", expected)


@pytest.mark.parametrize(
    "text", ["dropout", "dropout=", "dropout=0:x", "dropout=0:1:lin", "dropout=0:1:log:2", "no=1:2"]
)
def test_a_search_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="--search must be FLAG=LOW:HIGH"):
        distribution(text, ["dropout"])


def test_a_model_is_searched_by_the_flags_that_it_reads() -> None:
    rate = FloatDistribution(0.0, 0.3)
    leaves = CategoricalDistribution(["15", "31"])
    space: dict[str, Any] = {"dropout": rate, "num_leaves": leaves}
    trees = Variant("gbdt", "gbdt", {})
    assert space_of(trees, space, {"num_leaves", "seed"}) == {"num_leaves": leaves}
    rule = "--search must have a flag that gbdt reads, which are seed. Received: dropout, num_lea"
    with pytest.raises(ValueError, match=rule):
        space_of(trees, space, {"seed"})
