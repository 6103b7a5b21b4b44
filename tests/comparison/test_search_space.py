"""How `--search` is read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tafe_tf import flags
from tafe_tf.comparison.runs import Variant
from tafe_tf.comparison.search_space import distribution, grid_of, space_from, space_of

KINDS = {"dropout": float, "num_leaves": int, "tower_units": list, "gate": str, "train": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dropout=0:0.3", FloatDistribution(0.0, 0.3)),
        ("dropout=1e-4:0.3:log", FloatDistribution(1e-4, 0.3, log=True)),
        ("dropout=0.1|0.2", CategoricalDistribution(["0.1", "0.2"])),
        ("dropout=0.1", CategoricalDistribution(["0.1"])),
        ("num_leaves=7:63", IntDistribution(7, 63)),
        ("tower_units=7:63:log", IntDistribution(7, 63, log=True)),
        ("gate=a|b", CategoricalDistribution(["a", "b"])),
        ("train=a.csv|b.csv", CategoricalDistribution(["a.csv", "b.csv"])),
    ],
)
def test_what_a_flag_is_drawn_from(text: str, expected: Any) -> None:
    flag, _, _ = text.partition("=")
    assert distribution(text, KINDS) == (flag, expected)


@pytest.mark.parametrize(
    "text",
    [
        "dropout",
        "dropout=",
        "dropout=0:x",
        "dropout=0:1:lin",
        "dropout=0:1:log:2",
        "dropout=0.3:0.1",
        "dropout=0:0.3:log",
        "dropout=0:inf",
        "dropout=nan:1",
        "dropout=0.1|0.1",
        "dropout=0.1|",
        "no=1:2",
        "num_leaves=7.5:63",
        "num_leaves=0:63:log",
        "gate=0:1",
        "train=0:1",
    ],
)
def test_a_search_that_cannot_be_read(text: str) -> None:
    rule = f"--search must be FLAG=LOW:HIGH.* Received: {re.escape(text)}$"
    with pytest.raises(ValueError, match=rule):
        distribution(text, KINDS)


def test_a_flag_is_searched_once() -> None:
    texts = ["dropout=0:0.1", "gate=a|b", "dropout=0:0.3"]
    with pytest.raises(ValueError, match=f"each flag once. Received: {re.escape(texts[0])}, gate"):
        space_from(texts, KINDS)
    assert list(space_from(texts[1:], KINDS)) == ["dropout", "gate"]
    assert list(space_from(texts[:2], KINDS)) == ["dropout", "gate"]  # in whatever order


def test_kinds_of_the_flags() -> None:
    kinds = flags.kinds()
    whole = {name for name, kind in kinds.items() if kind in (int, list)}
    assert {"num_leaves", "min_data_in_leaf", "batch_size", "tower_units", "num_layers"} <= whole
    numbers = {name for name, kind in kinds.items() if kind is float}
    assert {"learning_rate", "shrinkage_rate", "dropout"} <= numbers
    assert kinds["use_asrg"] is bool and kinds["gate"] is str and kinds["model"] is None


def test_a_model_is_searched_by_the_flags_that_it_reads() -> None:
    rate = FloatDistribution(0.0, 0.3)
    leaves = CategoricalDistribution(["15", "31"])
    space: dict[str, Any] = {"dropout": rate, "num_leaves": leaves}
    trees = Variant("gbdt", "gbdt", {})
    assert space_of(trees, space, {"num_leaves", "seed"}) == {"num_leaves": leaves}
    rule = "--search must have a flag that gbdt reads, which are seed. Received: dropout, num_lea"
    with pytest.raises(ValueError, match=rule):
        space_of(trees, space, {"seed"})


@pytest.mark.parametrize("flag", ["dropout", "seed", "monitor", "valid_fraction"])
def test_a_flag_that_all_trials_share_is_not_searched(flag: str) -> None:
    space: dict[str, Any] = {flag: CategoricalDistribution(["0", "0.2"])}
    variant = Variant("mmoe/dropout=0.1", "mmoe", {"dropout": "0.1"})
    rule = f"the same in all trials of mmoe/dropout=0.1. Received: {flag}"
    with pytest.raises(ValueError, match=rule):
        space_of(variant, space, {"dropout", "seed", "monitor", "valid_fraction"})


def test_a_range_of_few_values_is_a_grid() -> None:
    gates = CategoricalDistribution(["a", "b"])
    sizes = IntDistribution(1, 3)
    space: dict[str, Any] = {"gate": gates, "size": sizes, "rate": FloatDistribution(0.1, 0.1)}
    points = grid_of(space, 6)
    assert points is not None
    by_hand = [
        {"gate": gate, "size": size, "rate": 0.1} for gate in ("a", "b") for size in (1, 2, 3)
    ]
    assert list(points) == by_hand
    assert grid_of(space, 5) is None
    assert grid_of({"size": IntDistribution(1, 10**30)}, 5) is None
    assert grid_of({"rate": FloatDistribution(0.1, 0.2)}, 10**9) is None
    lists = grid_of({"gate": gates}, 1)
    assert lists is not None and len(list(lists)) == 2  # the first of them are taken
