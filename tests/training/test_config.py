"""Configurations check themselves; each error names the setting, its rule and what was received."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tafe_tf.training.config import ModelConfig, TrainingConfig


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
            r"valid_split must be one of random, time. Received: 'latest'",
        ),
        ({"dtype_policy": "float64"}, r"dtype_policy must be one of float32, mixed_bfloat16. "),
    ],
)
def test_errors_of_training(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


def test_configurations_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 3  # type: ignore[misc]


def test_errors_of_models() -> None:
    with pytest.raises(ValueError, match=r"model must be one of tafe, .*esm2. Received: 'taff'"):
        ModelConfig(name="taff")
    with pytest.raises(
        ValueError, match=r"model 'mmoe' has no argument 'num_layers'; it takes embedding_dim, "
    ):
        ModelConfig(name="mmoe", arguments={"num_layers": 2})


def test_arguments_that_are_left_out_have_the_constructors_defaults() -> None:
    arguments = ModelConfig(name="tafe", arguments={"num_layers": 2}).all_arguments()
    assert arguments["num_layers"] == 2
    assert arguments["num_inducing"] == 64 and arguments["dropout"] == 0.0
    assert not {"field_rows", "num_tasks", "slots", "embedding_parts"} & set(arguments)
