"""Settings are read off signatures and docstrings; every one of the package is explained."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from tafe_tf.models import BY_NAME
from tafe_tf.training import settings
from tafe_tf.training.config import TrainingConfig, constructor_arguments, model_arguments
from tafe_tf.training.settings import Setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Oven:
    """An oven.

    Attributes:
        heat: Temperature in
            degrees.
        mode: How it heats.
        door: Whether it is open.

    Raises:
        ValueError: never.
    """

    heat: int = 180
    mode: Literal["fan", "grill"] = "fan"
    door: bool = False
    trays: Sequence[int] | None = None
    rise: float | None = None


def test_a_dataclass() -> None:
    found = settings.of_dataclass(Oven)
    assert list(found) == ["heat", "mode", "door", "trays", "rise"]
    assert found["heat"] == Setting(
        name="heat", kind=int, choices=(), default=180, explanation="Temperature in degrees."
    )
    assert found["mode"].kind is str and found["mode"].choices == ("fan", "grill")
    assert [found[name].kind for name in ("door", "trays", "rise")] == [bool, list, float]
    assert found["trays"].explanation == ""


def test_a_constructor_and_its_bases() -> None:
    found = settings.of_constructor(BY_NAME["mmoe"])
    assert found["num_experts"].default == 8
    assert found["gate"].choices == ("softmax", "dselect_k")
    assert found["embedding_stddev"].default == 0.05  # of FunnelModel
    assert "field_rows" not in found  # without a default it is nobody's choice


@pytest.mark.parametrize("model", BY_NAME)
def test_every_argument_of_a_model_is_explained(model: str) -> None:
    for setting in model_arguments(model).values():
        assert setting.explanation.endswith("."), setting
        assert setting.explanation[0].isupper(), setting
        assert setting.kind in (int, float, bool, str, list), setting


def test_every_setting_of_training_is_explained() -> None:
    for setting in settings.of_dataclass(TrainingConfig).values():
        assert setting.explanation.endswith(".") and len(setting.explanation) > 20, setting


def test_defaults_of_models_are_those_of_their_constructors() -> None:
    for name, cls in BY_NAME.items():
        made: Any = cls([5, 6], 2)
        config = made.get_config()
        for argument, setting in constructor_arguments(name).items():
            if setting.default is not None:
                default = setting.default
                expected = list(default) if setting.kind is list else default
                assert config[argument] == expected, (name, argument)
