"""The trees' settings, and what is said where LightGBM is not installed."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tafe_tf.comparison.runs import MODELS, Variant
from tafe_tf.terminal.command import CommandError
from tafe_tf.training import settings
from tafe_tf.training.config import TrainingConfig
from tafe_tf.trees.config import OF_TRAINING, TreesConfig


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ({"num_leaves": 1}, "num_leaves must be 2 or more"),
        ({"feature_fraction": 0.0}, "feature_fraction must be above 0 and at most 1"),
        ({"bagging_fraction": 1.5}, "bagging_fraction must be above 0 and at most 1"),
        ({"heads": "product"}, "heads must be one of separate, conditional"),
        ({"num_leaves": 131_073}, "num_leaves must be 131072 or less"),
        ({"shrinkage_rate": 0.0}, "shrinkage_rate must be above 0"),
        ({"lambda_l2": -1.0}, "lambda_l2 must be 0 or more"),
    ],
)
def test_settings_check_themselves(setting: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        TreesConfig(**setting)


def test_settings_of_training_that_the_trees_take_are_there() -> None:
    assert set(settings.of_dataclass(TrainingConfig)) >= OF_TRAINING


def test_every_setting_but_two_is_a_parameter_of_lightgbm() -> None:
    plain = TreesConfig().parameters(seed=3, rows=9, threads=1)
    assert plain["seed"] == 3
    others: dict[str, Any] = {
        "num_leaves": 5,
        "min_data_in_leaf": 7,
        "shrinkage_rate": 0.5,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.5,
        "lambda_l2": 2.0,
        "cat_smooth": 3.0,
        "cat_l2": 4.0,
    }
    for name, value in others.items():
        given = TreesConfig(**{name: value}).parameters(seed=3, rows=9, threads=1)
        named = "learning_rate" if name == "shrinkage_rate" else name
        assert given == {**plain, named: value}


@pytest.mark.parametrize(
    ("error", "rule"),
    [
        (ModuleNotFoundError("lightgbm"), r"^gbdt needs LightGBM: pip install 'tafe_tf\[gbdt\]'$"),
        (OSError("libgomp.so.1: cannot open"), r"cannot open\); .* apt-get install libgomp1$"),
    ],
)
def test_without_lightgbm_its_mend_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, rule: str
) -> None:
    def fails(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fails)
    with pytest.raises(CommandError, match=rule):
        Variant.parse("gbdt/num_leaves=3", MODELS, ["num_leaves"])
    assert Variant.parse("mmoe", MODELS, []).model == "mmoe"
