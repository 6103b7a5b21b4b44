"""Configurations taken from the constructors' arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest

from tafe_tf.layers import Configured


class Wide(Configured):
    def __init__(self, sizes: Sequence[int], rate: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sizes = sizes
        self.rate = rate


class Wider(Wide):
    def __init__(self, count: int, rate: float = 0.25, **kwargs: Any) -> None:
        super().__init__(rate=rate, **kwargs)
        self.count = count


class Closed(Wide):
    def __init__(self, count: int) -> None:
        super().__init__([count])


def test_arguments_are_those_of_the_constructor_defaults_included() -> None:
    layer = Wide((3, 4), name="wide", dtype="float64")
    assert layer.arguments == {"sizes": [3, 4], "rate": 0.5}
    config = layer.get_config()
    assert (config["name"], config["sizes"]) == ("wide", [3, 4])
    again = Wide.from_config(config)
    assert again.get_config() == config and again.dtype_policy.name == "float64"


def test_what_a_constructor_hands_on_counts_and_comes_first() -> None:
    layer = Wider(2, sizes=[5])
    assert list(layer.arguments.items()) == [("sizes", [5]), ("rate", 0.25), ("count", 2)]
    assert list(Wider.parameters()) == ["sizes", "rate", "count"]
    assert Wider.from_config(layer.get_config()).get_config() == layer.get_config()


def test_a_constructor_that_hands_nothing_on_has_its_own_arguments_only() -> None:
    assert Closed(3).arguments == {"count": 3}


def test_numpy_becomes_python_and_nothing_is_tracked() -> None:
    layer = Wide(list(np.array([3, 4])), np.float64(0.1))
    assert keras.saving.serialize_keras_object(layer)["config"]["sizes"] == [3, 4]
    assert type(layer.arguments["rate"]) is float
    layer.get_config()["sizes"].append(5)
    assert layer.arguments["sizes"] == [3, 4]


def test_wrong_arguments_are_refused_as_python_does() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'sizes'"):
        Wide()  # type: ignore[call-arg]
