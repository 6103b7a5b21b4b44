"""How `--search` is read."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tafe_tf import flags
from tafe_tf.comparison.runs import Variant
from tafe_tf.comparison.search_space import (
    count_of,
    distribution,
    ends_of,
    grid_of,
    space_from,
    space_of,
)

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
    ("text", "rule"),
    [
        ("dropout", "must be FLAG=LOW:HIGH"),
        ("dropout=", "must be FLAG=LOW:HIGH"),
        ("dropout=0.1|", "must be FLAG=LOW:HIGH"),
        ("dropout=0:1:lin", "must be FLAG=LOW:HIGH"),
        ("dropout=0:1:log:2", "must be FLAG=LOW:HIGH"),
        ("dropout=0:x", "must have numbers for dropout"),
        ("dropout=:1", "must have numbers for dropout"),
        ("dropout=abc|0.1", "must have numbers for dropout"),
        ("num_leaves=7.5:63", "must have whole numbers for num_leaves"),
        ("num_leaves=7.0|63", "must have whole numbers for num_leaves"),
        ("dropout=0:inf", "must have finite numbers for dropout"),
        ("dropout=nan:1", "must have finite numbers for dropout"),
        ("dropout=-1e308:1e308", "must have a range that is not wider than the largest number"),
        ("num_leaves=1:1" + "0" * 400, "must have finite whole numbers for num_leaves"),
        ("dropout=nan|nan", "must have finite numbers for dropout"),
        ("dropout=0.3:0.1", "must have a LOW of at most HIGH"),
        ("dropout=0:0.3:log", "must have a LOW above 0 on a logarithmic scale"),
        ("num_leaves=0:63:log", "must have a LOW above 0 on a logarithmic scale"),
        ("dropout=0.1|0.1", "must have no value twice"),
        ("dropout=0|0.0", "must have no value twice"),
        ("num_leaves=7|07", "must have no value twice"),
        ("gate=a|b|a", "must have no value twice"),
        ("no=1:2", "must name a flag of training, and 'no' is not one"),
        ("=1:2", "must name a flag of training, and '' is not one"),
        ("gate=0:1", "must list the values of gate, as A|B|C, since they are not numbers"),
        ("train=0:1", "must list the values of train, as A|B|C, since they are not numbers"),
    ],
)
def test_a_search_that_cannot_be_read(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rf"^--search {re.escape(rule)}.*Received: ") as caught:
        distribution(text, KINDS)
    assert str(caught.value).endswith(f". Received: {text}")


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


def test_how_many_combinations_a_space_has() -> None:
    gates = CategoricalDistribution(["a", "b"])
    sizes = IntDistribution(1, 3)
    space: dict[str, Any] = {"gate": gates, "size": sizes, "rate": FloatDistribution(0.1, 0.1)}
    assert count_of(space) == 6
    assert count_of({"size": IntDistribution(1, 10**30)}) == 10**30
    assert count_of({"rate": FloatDistribution(0.1, 0.2), "gate": gates}) == sys.maxsize
    assert grid_of(space) is None
    lists = grid_of({"gate": gates, "use": CategoricalDistribution(["x", "y"])})
    assert lists is not None
    by_hand = [{"gate": gate, "use": use} for gate in ("a", "b") for use in ("x", "y")]
    assert list(lists) == by_hand


@pytest.mark.parametrize(
    ("model", "flag", "text", "said"),
    [
        ("tafe", "dropout", "2.0", "`dropout` must be 0 or more and below 1"),
        ("tafe", "dropout", "abc", "--dropout: .*abc"),
        ("tafe", "dropout", "nan", "dropout must be a finite number"),
        ("tafe", "num_layers", "0", "`num_layers` must be 1 or more"),
        ("tafe", "heads", "foo", "--heads: .*foo"),
        ("mmoe", "embedding_l2", "-1.0", "`embedding_l2` must be 0 or more"),
        ("mmoe", "tower_units", "0", "--tower_units must be positive integers"),
        ("aitm", "keep_negatives", "0.0", "keep_negatives must be above 0"),
        ("gbdt", "num_leaves", "1", "num_leaves must be 2 or more"),
    ],
)
def test_values_that_no_training_takes(model: str, flag: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        flags.check_value(model, flag, text)


def test_values_that_a_training_takes() -> None:
    for model, flag, text in [
        ("tafe", "dropout", "0.1"),
        ("tafe", "use_asrg", "false"),
        ("mmoe", "tower_units", "64"),
        ("mmoe", "gate", "dselect_k"),
        ("aitm", "learning_rate", "0.001"),
        ("gbdt", "num_leaves", "31"),
    ]:
        assert flag in flags.read_by(model)
        flags.check_value(model, flag, text)


def test_ends_of_what_is_drawn_from() -> None:
    assert ends_of(FloatDistribution(0.0, 0.3)) == ["0.0", "0.3"]
    assert ends_of(IntDistribution(7, 63)) == ["7", "63"]
    assert ends_of(CategoricalDistribution(["a", "b", "c"])) == ["a", "b", "c"]
