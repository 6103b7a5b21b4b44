"""Which run a directory holds: the settings that its weights depend on, as a flagfile.

--batch_size=512
--model=tafe
--num_layers=2
# train=/data/a.parquet,/data/b.parquet
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tafe_tf.models import BY_NAME
from tafe_tf.training import settings
from tafe_tf.training.config import (
    BEFORE,
    FREE_SETTINGS,
    ModelConfig,
    TrainingConfig,
    constructor_arguments,
    follows_the_rows,
    model_arguments,
)
from tafe_tf.training.settings import Setting


def lines_of(
    model: ModelConfig,
    training: TrainingConfig,
    flags: Mapping[str, str],
    comments: Mapping[str, str],
) -> dict[str, str]:
    """The line of every setting that the weights of a run depend on, by the setting's name.

    Args:
        model: Which model.
        training: How it is trained.
        flags: Further flags and their values; those that are empty are left out.
        comments: What no flag says; those that are empty are left out.
    """
    lines = {"model": f"--model={model.name}"}
    arguments = model.all_arguments()
    for name, setting in model_arguments(model.name).items():
        if arguments[name] is None and follows_the_rows(model.name, name):
            lines[name] = _by_rows(name)
        else:
            lines[name] = _line(setting, arguments[name])
    for name, setting in settings.of_dataclass(TrainingConfig).items():
        if name not in FREE_SETTINGS:
            lines[name] = _line(setting, getattr(training, name))
    for name, value in flags.items():
        if value:
            lines[name] = f"--{name}={value}"
    for name, value in comments.items():
        if value:
            lines[name] = f"# {name}={value}"
    return {name: line for name, line in lines.items() if line}


def as_text(lines: Mapping[str, str]) -> str:
    """The lines as a flagfile."""
    return "".join(f"{line}\n" for line in sorted(lines.values()))


def differing(
    known: str,
    lines: Mapping[str, str],
    model: str,
) -> list[str]:
    """The lines by which two runs differ.

    A setting that one of the two does not name has its default, an argument of the model the
    constructor's: another version of this package may have written the text, with more settings or
    fewer, and for models that this run does not have. A new argument's default in the constructor
    is the model as it was before, and so is what `BEFORE` says of a setting of training.

    Args:
        known: A text that `as_text` made.
        lines: Another run's lines.
        model: The other run's model.
    """
    defaults = {
        **settings.of_dataclass(TrainingConfig),
        **constructor_arguments(model),
    }
    other: dict[str, str] = {}
    for line in known.splitlines():
        other[_name(line, defaults)] = line
    found: set[str] = set()
    for name, line in lines.items():
        if name == "schema":  # its content is compared, wherever it lies
            continue
        default = ""
        if name in defaults:
            default = _line(defaults[name], BEFORE.get(name, defaults[name].default))
        there = other.get(name, default)
        means_default = there == f"--{name}="  # an empty list means the model's own
        if there != line and not (means_default and line == default):
            found |= {line, there}
    for name in other.keys() - lines.keys():
        names_rows = other[name].startswith("# ") or name == "data_dir"
        has_no_default = name in defaults and defaults[name].default is None
        if names_rows or (has_no_default and other[name] != f"--{name}="):
            found.add(other[name])
    return sorted(found - {""})


def chosen(known: str) -> list[str]:
    """The lines of a run's settings that are not the defaults of a job: what somebody chose.

    Args:
        known: A text that `as_text` made.
    """
    lines = known.splitlines()
    kinds = settings.of_dataclass(TrainingConfig)
    defaults = {name: setting.default for name, setting in kinds.items()}
    models = [line.removeprefix("--model=") for line in lines if line.startswith("--model=")]
    for model in models:
        if model in BY_NAME:  # and not boosted trees
            kinds |= model_arguments(model)
            defaults |= ModelConfig(name=model).all_arguments()
    found = []
    for line in lines:
        name = _name(line, kinds)
        is_default = name in kinds and line in (_by_rows(name), _line(kinds[name], defaults[name]))
        if not is_default and not line.endswith("="):
            found.append(line)
    return found


def has_more_epochs(
    known: str,
    lines: Mapping[str, str],
    different: Sequence[str],
) -> bool:
    """Whether a run differs from a known one in nothing but a larger number of epochs.

    Args:
        known: A text that `as_text` made.
        lines: The other run's lines.
        different: What `differing` found.

    Raises:
        ValueError: If the learning rate falls to 0 over all epochs: no later epoch would train.
    """
    flag = "--epochs="
    if not all(line.startswith(flag) for line in different):
        return False
    known_epochs = [line for line in known.splitlines() if line.startswith(flag)]
    before, now = (int(line.removeprefix(flag)) for line in (*known_epochs, lines["epochs"]))
    if now < before:
        return False
    if lines["learning_rate_decay"] == "--learning_rate_decay=linear":
        rule = "cannot be raised, since the learning rate has fallen to 0 over the epochs so far"
        raise ValueError(f"--epochs {rule} (--learning_rate_decay). Received: {now}")
    return True


def _line(setting: Setting, value: Any) -> str:
    """A setting as a flag; empty where the value is None."""
    if value is None:
        return ""
    if setting.kind is bool:
        return f"--{setting.name}" if value else f"--no{setting.name}"
    if setting.kind is list:
        sizes = ",".join(str(size) for size in value)
        return f"--{setting.name}={sizes}"
    return f"--{setting.name}={setting.kind(value)}"


def _by_rows(name: str) -> str:
    """The line of a setting that the number of rows decides, which is no flag."""
    return f"# {name}=by the number of rows"


def _name(line: str, known: Mapping[str, Setting]) -> str:
    """The setting that a line is about."""
    setting = line.removeprefix("# ").removeprefix("--")
    name, equals, _ = setting.partition("=")
    if name in known:
        return name
    affirmed = name.removeprefix("no")
    is_negated = not equals and affirmed in known
    return affirmed if is_negated else name
