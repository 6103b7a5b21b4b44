"""A base class that derives `get_config` from the arguments of the constructor."""

from __future__ import annotations

import inspect
from typing import Any, Self

import keras
import numpy as np


class Configured(keras.layers.Layer):
    """A layer or model whose configuration is the arguments that its constructor was given.

    Keras derives `get_config` itself only where every argument is a number, a string or None. Our
    constructors also take lists of sizes, and pass dtype policies on to their parts; without this
    class each of them would need a `get_config` that repeats its signature.

    Attributes:
        arguments: The value of each of `parameters()` by name, defaults included and sequences as
            lists.

    Example:
        >>> from tafe_tf.layers import Towers
        >>> Towers(2, (8, 4)).arguments
        {'count': 2, 'units': [8, 4], 'dropout': 0.0}
    """

    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Notes the arguments before any constructor runs."""
        made = super().__new__(cls, *args, **kwargs)
        # Written past Keras's `__setattr__`, which would track the lists as parts of the model.
        vars(made)["arguments"] = cls._bind(args, kwargs)
        return made

    @classmethod
    def parameters(cls) -> dict[str, inspect.Parameter]:
        """The constructor's parameters by name, without those of Keras (name, dtype, trainable).

        A constructor that takes `**kwargs` hands them on, so the parameters of the class above it
        count too, and come first.
        """
        found: dict[str, inspect.Parameter] = {}
        lineage = cls.__mro__
        below = lineage[: lineage.index(Configured)]  # the class, and those between it and this one
        for owner in below:
            constructor = vars(owner).get("__init__")
            if constructor is None:
                continue
            signature = inspect.signature(constructor)
            _self, *own = signature.parameters.values()
            named = {}
            for parameter in own:
                if parameter.kind is not parameter.VAR_KEYWORD:
                    named[parameter.name] = parameter
            found = {**named, **found}
            if len(named) == len(own):  # it hands nothing on
                break
        return found

    @classmethod
    def _bind(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The value of each parameter, given or by default."""
        signature = inspect.signature(cls.__init__)
        bound = signature.bind(None, *args, **kwargs)
        given = {**bound.arguments, **bound.kwargs}
        values: dict[str, Any] = {}
        for name, parameter in cls.parameters().items():
            value = given.get(name, parameter.default)
            if value is not parameter.empty:
                values[name] = plain(value)
        return values

    def get_config(self) -> dict[str, Any]:
        """Keras's own entries (name, dtype, trainable) and the constructor's arguments."""
        arguments = {name: plain(value) for name, value in self.arguments.items()}
        return {**super().get_config(), **arguments}


def plain(value: Any) -> Any:
    """The value as JSON knows it: a sequence as a list, a NumPy scalar as a Python number."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return value
