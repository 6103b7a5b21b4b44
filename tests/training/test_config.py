"""Configurations check themselves; each error names the setting, its rule and what was received."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from tafe_tf.models import TAFE
from tafe_tf.training.config import ModelConfig, TrainingConfig

FLAGFILES = pathlib.Path(__file__).parents[2] / "flagfiles"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, r"patience must be 1 or more. Received: 0"),
        ({"batch_size": -3}, r"batch_size must be 1 or more. Received: -3"),
        ({"learning_rate": -1e-3}, r"learning_rate must be 0 or more. Received: -0.001"),
        ({"order_weight": -1.0}, r"order_weight must be 0 or more. Received: -1.0"),
        ({"valid_fraction": 1.0}, r"valid_fraction must be between 0 and 0.9. Received: 1.0"),
        (
            {"valid_split": "latest"},
            r"valid_split must be one of random, time, group, group_time. Received: 'latest'",
        ),
        ({"dtype_policy": "float64"}, r"dtype_policy must be one of float32, mixed_bfloat16. "),
    ],
)
def test_errors_of_training(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 64.0}, r"batch_size must be a whole number. Received: 64.0"),
        ({"epochs": True}, r"epochs must be a whole number. Received: True"),
        ({"learning_rate": "0.1"}, r"learning_rate must be a finite number. Received: '0.1'"),
        ({"order_weight": float("nan")}, r"order_weight must be a finite number. Received: nan"),
        ({"save_predictions": "no"}, r"save_predictions must be True or False. Received: 'no'"),
        ({"seed": None}, r"seed must be a whole number. Received: None"),
        ({"monitor": 3}, r"monitor must be a text. Received: 3"),
    ],
)
def test_values_of_the_wrong_kind(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


def test_numbers_of_numpy_are_numbers() -> None:
    config = TrainingConfig(
        epochs=np.int64(3),  # type: ignore[arg-type]
        learning_rate=np.float32(0.5),  # type: ignore[arg-type]
    )
    assert config.epochs == 3 and config.learning_rate == 0.5


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("tafe", {"embedding_dim": 4.0}, r"embedding_dim must be a whole number. Received: 4.0"),
        ("tafe", {"num_layers": 0}, r"`num_layers` must be 1 or more. Received: num_layers=0"),
        ("ple", {"num_levels": 0}, r"`num_levels` must be 1 or more. Received: num_levels=0"),
        ("tafe", {"dropout": 1.5}, r"`dropout` must be 0 or more and below 1. Received: dropout=1"),
        ("escm2", {"min_propensity": -1}, r"`min_propensity` must be 0 or more. Received: min"),
        ("mmoe", {"entropy_weight": -1.0}, r"`entropy_weight` must be 0 or more. Received: ent"),
        ("mmoe", {"tower_units": 32}, r"tower_units must be a list of positive whole numbers. "),
        ("mmoe", {"tower_units": [8, 0]}, r"tower_units must be a list of positive whole num"),
        ("mmoe", {"gate": "top_k"}, r"gate must be one of softmax, dselect_k. Received: 'top_k'"),
    ],
)
def test_values_that_no_model_can_have(model: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(name=model, arguments=arguments)


def test_configurations_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 3  # type: ignore[misc]


def test_errors_of_models() -> None:
    with pytest.raises(ValueError, match=r"model must be one of tafe, .*hm3. Received: 'taff'"):
        ModelConfig(name="taff")
    with pytest.raises(
        ValueError, match=r"model 'mmoe' has no argument 'num_layers'; it takes embedding_dim, "
    ):
        ModelConfig(name="mmoe", arguments={"num_layers": 2})


def test_arguments_that_are_left_out_have_the_constructors_defaults() -> None:
    arguments = ModelConfig(name="ple", arguments={"num_levels": 3}).all_arguments()
    assert arguments["num_levels"] == 3
    assert arguments["num_shared"] == 4 and arguments["dropout"] == 0.0
    assert not {"field_rows", "num_tasks", "slots", "embedding_parts"} & set(arguments)


def test_a_job_has_a_smaller_tafe_than_the_paper() -> None:
    arguments = ModelConfig(arguments={"num_layers": 3}).all_arguments()
    assert arguments["num_layers"] == 3
    assert (arguments["num_inducing"], arguments["deep_units"]) == (16, None)  # by the rows
    model = TAFE([4, 3], 2)
    assert (arguments["heads"], arguments["conditional_weight"]) == ("conditional", 1.0)
    paper = {
        "num_inducing": 64,
        "num_layers": 4,
        "deep_units": 0,
        "dropout": 0.0,
        "heads": "separate",
        "conditional_weight": 0.0,
    }
    assert {name: model.arguments[name] for name in paper} == paper


def test_the_paper_s_flagfile_asks_for_the_paper_s_model() -> None:
    """Table 1 to the letter, though a job's defaults are others."""
    text = (FLAGFILES / "ali_ccp_paper.flags").read_text()
    sizes = ("num_inducing=64", "num_layers=4", "deep_units=0", "dropout=0")
    for line in (*sizes, "heads=separate", "conditional_weight=0"):
        assert f"\n--{line}\n" in text
