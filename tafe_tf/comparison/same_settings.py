"""Whether two flagfiles of training ask for the same settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tafe_tf.models import BY_NAME
from tafe_tf.training import settings
from tafe_tf.training.config import TrainingConfig, model_arguments

# By default a table has Keras's type of variables, which is float32 under every policy on offer.
_SAME_AS_DEFAULT = "--embedding_dtype=float32"


def differing(first: str, second: str) -> list[str]:
    """Finds the lines by which two flagfiles of `tafe_tf.train` differ.

    A flag that only one of them names, with its default as the value, makes no difference: earlier
    versions of this package wrote every flag down, this one only those that were given.

    Args:
        first: The text of a flagfile, one flag a line.
        second: The text of the other one.
    """
    first_lines = set(first.splitlines())
    second_lines = set(second.splitlines())
    in_one_only = first_lines ^ second_lines
    defaults = _defaults()
    return sorted(line for line in in_one_only if not _is_default(line, defaults))


def _defaults() -> dict[str, list[Any]]:
    """The defaults of each flag; models may have different ones."""
    found: dict[str, list[Any]] = {}
    for name, setting in settings.of_dataclass(TrainingConfig).items():
        found[name] = [setting.default]
    for model in BY_NAME:
        for name, setting in model_arguments(model).items():
            found.setdefault(name, []).append(setting.default)
    return found


def _is_default(line: str, defaults: dict[str, list[Any]]) -> bool:
    if line == _SAME_AS_DEFAULT:
        return True
    name, equals, value = line.removeprefix("--").partition("=")
    if not equals:
        value = "true"
        if name not in defaults and name.startswith("no"):
            name = name.removeprefix("no")
            value = "false"
    if name not in defaults:
        return False
    is_models_own = equals == "=" and value == ""  # an empty list
    texts = [_as_text(default) for default in defaults[name]]
    return is_models_own or all(value == text for text in texts)


def _as_text(default: Any) -> str:
    """A default as the command line writes it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, Sequence) and not isinstance(default, str):
        return ",".join(str(size) for size in default)
    return str(default)
