"""Flags that several commands share. Those of training are made from the code that uses them.

A flag of training has the name, the type and the explanation of a field of `TrainingConfig` or of
an argument of a model's constructor. Its own default is None, "not given": what is not given is not
passed on, so that every default is written once, where it is used.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from absl import flags

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.distributed import cluster as clusters
from tafe_tf.models import BY_NAME
from tafe_tf.terminal.command import CommandError
from tafe_tf.training import settings
from tafe_tf.training.config import FREE_SETTINGS, ModelConfig, TrainingConfig, model_arguments
from tafe_tf.training.settings import Setting

DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "Directory of the rows: train.EXT, test.EXT and, if there is one, valid.EXT, where EXT is csv, "
    "csv.gz, parquet, tfrecord or tfrecord.gz; or shards train-*.EXT or train/*.EXT, and so on. "
    "Training needs it.",
)
RUN_DIR = flags.DEFINE_string(
    "run_dir", "", "Directory where the run keeps vocabularies, checkpoints and metrics."
)
SCHEMA = flags.DEFINE_string(
    "schema", "", "TOML file that says what the columns are. By default <data_dir>/schema.toml."
)
SPLIT = flags.DEFINE_string(
    "split", "test", 'Which files tafe_tf.evaluate reads: "test" (the default), "valid" or "train".'
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    clusters.NAMES,
    "Where to train. By default, auto: on parameter servers or several workers if TF_CONFIG has "
    "them, on the TPU of --tpu, on all GPUs if there are several, and otherwise on one device.",
)
TPU = flags.DEFINE_string(
    "tpu",
    "",
    "Address of the TPU to train on, or 'local' on its own host. By default there is none.",
)


def _model_settings() -> dict[str, dict[str, Setting]]:
    """The arguments of all models: by argument, then by model."""
    found: dict[str, dict[str, Setting]] = {}
    for model in BY_NAME:
        for name, setting in model_arguments(model).items():
            found.setdefault(name, {})[model] = setting
    return found


def _default(setting: Setting) -> str:
    """The default as the end of a help text; empty where the explanation tells it already."""
    if setting.default is None or "default" in setting.explanation.lower():
        return ""
    default = setting.default
    if setting.kind is list:
        default = ",".join(str(size) for size in default) or "none"
    if isinstance(default, bool):
        default = str(default).lower()
    return f" Default: {default}." if default != "" else " Default: none."


def _model_help(of_models: dict[str, Setting]) -> str:
    """What an argument means to each model that has it; models that agree are named together."""
    models_by_text: dict[str, list[str]] = {}
    for model, setting in of_models.items():
        text = setting.explanation + _default(setting)
        models_by_text.setdefault(text, []).append(model)
    if len(models_by_text) == 1 and len(of_models) == len(BY_NAME):
        return next(iter(models_by_text))
    return " ".join(f"[{', '.join(names)}] {text}" for text, names in models_by_text.items())


def _define(setting: Setting, explanation: str) -> None:
    """Defines a flag that is None unless it is given."""
    name = setting.name
    if setting.choices:
        flags.DEFINE_enum(name, None, setting.choices, explanation)
    elif setting.kind is bool:
        flags.DEFINE_bool(name, None, explanation)
    elif setting.kind is int:
        flags.DEFINE_integer(name, None, explanation)
    elif setting.kind is float:
        flags.DEFINE_float(name, None, explanation)
    elif setting.kind is list:
        flags.DEFINE_list(name, None, f"{explanation} Comma-separated.")
    else:
        flags.DEFINE_string(name, None, explanation)


_TRAINING = settings.of_dataclass(TrainingConfig)
_OF_MODELS = _model_settings()

_MODEL = settings.of_dataclass(ModelConfig)["name"]
flags.DEFINE_enum("model", None, list(BY_NAME), f"The model to train. Default: {_MODEL.default}.")
for _setting in _TRAINING.values():
    _define(_setting, _setting.explanation + _default(_setting))
for _of_models in _OF_MODELS.values():
    _define(next(iter(_of_models.values())), _model_help(_of_models))


def names() -> list[str]:
    """Names of all flags that the trained weights depend on."""
    of_training = [name for name in _TRAINING if name not in FREE_SETTINGS]
    return sorted(["data_dir", "schema", "model", *of_training, *_OF_MODELS])


def given(name: str) -> Any:
    """The value of a flag of training; None if it was not given.

    Raises:
        CommandError: if it should be a list of sizes and is none.
    """
    flag = flags.FLAGS[name]
    setting = _TRAINING.get(name) or next(iter(_OF_MODELS.get(name, {}).values()), None)
    if flag.value is None or setting is None or setting.kind is not list:
        return flag.value
    return _sizes(name, flag.value) or None  # an empty list means the model's own default


def _sizes(name: str, texts: list[str]) -> list[int]:
    if not all(text.isdigit() and int(text) > 0 for text in texts):
        raise CommandError(
            f"--{name} must be positive integers, comma-separated. Received: {','.join(texts)}"
        )
    return [int(text) for text in texts]


def training_config() -> TrainingConfig:
    """What the flags ask of training."""
    asked = {name: given(name) for name in _TRAINING}
    return TrainingConfig(**{name: value for name, value in asked.items() if value is not None})


def model_config() -> ModelConfig:
    """The model that the flags ask for.

    Flags of other models are passed over, so that one flagfile serves several models.
    """
    name = given("model") or _MODEL.default
    asked = {argument: given(argument) for argument in model_arguments(name)}
    arguments = {argument: value for argument, value in asked.items() if value is not None}
    return ModelConfig(name=name, arguments=arguments)


def as_flagfile(but: Collection[str] = ()) -> str:
    """The flags that were given and that the weights depend on, except `but`, one a line."""
    lines = []
    for name in names():
        if name not in but and flags.FLAGS[name].value not in (None, "", []):
            lines.append(flags.FLAGS[name].serialize())
    return "".join(f"{line}\n" for line in sorted(lines))


def schema_file() -> str:
    """--schema, or the schema beside the data."""
    return SCHEMA.value or f"{DATA_DIR.value}/schema.toml"


def bad_rows() -> BadRows:
    """What --on_bad_row asks for."""
    return BadRows(training_config().on_bad_row)
