"""Flags that several commands share. Those of training are made from the code that uses them.

A flag of training has the name, the type and the explanation of a field of `TrainingConfig` or of
an argument of a model's constructor. Its own default is None, "not given": what is not given is not
passed on, so that every default is written once, where it is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from absl import flags

from tafe_tf import source_flags
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.splits import Sources
from tafe_tf.distributed import cluster as clusters
from tafe_tf.models import BY_NAME
from tafe_tf.terminal import command
from tafe_tf.terminal.command import CommandError
from tafe_tf.training import settings
from tafe_tf.training.config import FREE_SETTINGS, ModelConfig, TrainingConfig, model_arguments
from tafe_tf.training.settings import Setting
from tafe_tf.trees.config import NAME as TREES
from tafe_tf.trees.config import OF_TRAINING, TreesConfig

flags.adopt_module_key_flags(source_flags)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "Directory of the rows: train.EXT, test.EXT and, if there is one, valid.EXT, where EXT is csv, "
    "csv.gz, parquet, orc, tfrecord or tfrecord.gz; or shards train-*.EXT or train/*.EXT, and so "
    "on. Or one file of training rows, or a directory whose files have other names, all of "
    "training rows. Training needs it.",
)
RUN_DIR = flags.DEFINE_string(
    "run_dir",
    "",
    "Directory where the run keeps vocabularies, checkpoints and metrics, or its URI in a store.",
)
SCHEMA = flags.DEFINE_string(
    "schema",
    "",
    "TOML file that says what the columns are. By default schema.toml beside the data.",
)
SPLIT = flags.DEFINE_string(
    "split",
    "test",
    'Which files tafe_tf.evaluate reads: "test" (the default), "valid" or "train".',
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
            of_models = found.setdefault(name, {})
            of_models[model] = setting
    return found


def _default(setting: Setting) -> str:
    """The default as the end of a help text; empty where the explanation tells it already."""
    if setting.default is None or "default" in setting.explanation.lower():
        return ""
    default = setting.default
    if setting.kind is list:
        default = ",".join(str(size) for size in default)
    if isinstance(default, bool):
        default = str(default).lower()
    if default == "":
        default = "none"
    return f" Default: {default}."


def _model_help(of_models: dict[str, Setting]) -> str:
    """What an argument means to each model that has it; models that agree are named together."""
    models_by_text: dict[str, list[str]] = {}
    for model, setting in of_models.items():
        text = setting.explanation + _default(setting)
        agreeing = models_by_text.setdefault(text, [])
        agreeing.append(model)
    is_of_all = len(of_models) == len(BY_NAME)
    if len(models_by_text) == 1 and is_of_all:
        return next(iter(models_by_text))
    texts = []
    for text, models in models_by_text.items():
        listed = ", ".join(models)
        texts.append(f"[{listed}] {text}")
    return " ".join(texts)


def _trees_help(setting: Setting) -> str:
    """What a setting means to the trees."""
    return f"[{TREES}] {setting.explanation}{_default(setting)}"


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
_OF_TREES = settings.of_dataclass(TreesConfig)

_MODEL = settings.of_dataclass(ModelConfig)["name"]
flags.DEFINE_enum(
    "model",
    None,
    [*BY_NAME, TREES],
    f"The model to train; {TREES} is for tafe_tf.compare, tafe_tf.tune and tafe_tf.gbdt alone. "
    f"Default: {_MODEL.default}.",
)
for _setting in _TRAINING.values():
    _explanation = _setting.explanation + _default(_setting)
    _define(_setting, _explanation)
for _of_models in _OF_MODELS.values():
    _first, *_ = _of_models.values()
    _explanation = _model_help(_of_models)
    _of_trees = _OF_TREES.get(_first.name)
    if _of_trees is not None:  # one flag for both
        _explanation = f"{_explanation} {_trees_help(_of_trees)}"
    _define(_first, _explanation)
for _name, _setting in _OF_TREES.items():
    if _name not in _OF_MODELS:
        _define(_setting, _trees_help(_setting))


_OF_ROWS = ("data_dir", "train", "valid", "test", "input_format")


def names() -> list[str]:
    """Names of all flags that the trained weights depend on."""
    of_training = [name for name in _TRAINING if name not in FREE_SETTINGS]
    found = {*_OF_ROWS, "schema", "model", *of_training, *_OF_MODELS, *_OF_TREES}
    return sorted(found)


def read_by(model: str) -> set[str]:
    """Names of the flags that the weights, or the trees, of a model depend on.

    Args:
        model: A key of `tafe_tf.models.BY_NAME`, or "gbdt".
    """
    if model == TREES:
        return {*_OF_TREES, *OF_TRAINING} - FREE_SETTINGS
    of_training = {*_TRAINING} - FREE_SETTINGS
    return {*of_training, *model_arguments(model)}


def kinds() -> dict[str, type | None]:
    """The type of each flag in `names()`: int, float, bool, str or a list of whole numbers.

    It is None for a flag that says which rows, which schema or which model.
    """
    return {name: _kind(name) for name in names()}


def given(name: str) -> Any:
    """The value of a flag of training; None if it was not given.

    Raises:
        CommandError: If it should be a list of sizes and is none.
    """
    flag = flags.FLAGS[name]
    if flag.value is None or _kind(name) is not list:
        return flag.value
    sizes = _sizes(name, flag.value)
    return sizes or None  # an empty list means the model's own default


def check_value(model: str, name: str, text: str) -> None:
    """Refuses a value that a flag cannot have, whatever the other flags are.

    Args:
        model: A key of `tafe_tf.models.BY_NAME`, or "gbdt".
        name: The flag, one of `read_by(model)`.
        text: The value, as it would stand on the command line.

    Raises:
        ValueError: Naming the flag, the rule and the value.
    """
    try:
        value = flags.FLAGS[name].parser.parse(text)
    except ValueError as error:
        raise CommandError(f"--{name}: {error}. Received: {text}") from None
    if _kind(name) is list:
        value = _sizes(name, value) or None
    if model == TREES and name in _OF_TREES:
        TreesConfig(**{name: value})
    elif name in _TRAINING:
        TrainingConfig(**{name: value})
    else:
        ModelConfig(name=model, arguments={name: value})


def _kind(name: str) -> type | None:
    """The type of a flag of training, of a model or of the trees; None for any other flag."""
    of_models = _OF_MODELS.get(name, {})
    of_a_model = next(iter(of_models.values()), None)
    setting = _TRAINING.get(name) or of_a_model or _OF_TREES.get(name)
    return setting.kind if setting is not None else None


def _sizes(name: str, texts: list[str]) -> list[int]:
    are_positive = all(text.isdigit() and int(text) > 0 for text in texts)
    if not are_positive:
        received = ",".join(texts)
        raise CommandError(
            f"--{name} must be positive integers, comma-separated. Received: {received}"
        )
    return [int(text) for text in texts]


def training_config() -> TrainingConfig:
    """What the flags ask of training."""
    return TrainingConfig(**_given_of(_TRAINING))


def model_config() -> ModelConfig:
    """The model that the flags ask for.

    Flags of other models are passed over, so that one flagfile serves several models.

    Raises:
        CommandError: If it is the trees, which no network's command trains.
    """
    name = given("model") or _MODEL.default
    if name == TREES:
        raise CommandError(
            f"--model={TREES} is no network; `tafe compare --models={TREES}` trains the trees "
            f"beside the networks, and `tafe {TREES}` alone"
        )
    arguments = _given_of(model_arguments(name))
    return ModelConfig(name=name, arguments=arguments)


def trees_config() -> TreesConfig:
    """What the flags ask of the trees.

    Raises:
        CommandError: If another model is asked for.
    """
    name = given("model")
    if name not in (None, TREES):
        raise CommandError(f"--model must be {TREES} for trees, or left out. Received: {name}")
    return TreesConfig(**_given_of(_OF_TREES))


def _given_of(names_of_flags: Iterable[str]) -> dict[str, Any]:
    """The values of those of some flags that were given."""
    found = {}
    for name in names_of_flags:
        value = given(name)
        if value is not None:
            found[name] = value
    return found


def as_flagfile(but: Collection[str] = ()) -> str:
    """The flags that were given and that the weights depend on, except `but`, one a line."""
    lines = []
    for name in names():
        flag = flags.FLAGS[name]
        is_given = flag.value not in (None, "", [])
        if is_given and name not in but:
            lines += flag.serialize().splitlines()
    return "".join(f"{line}\n" for line in sorted(lines))


def schema_file() -> str:
    """--schema, or the schema beside the data.

    Raises:
        DataError: If the data are no single file or directory.
    """
    return SCHEMA.value or sources().schema_file


def sources() -> Sources:
    """Where the rows are: --data_dir, or --train, --valid and --test.

    Raises:
        DataError: If both are given.
    """
    return source_flags.sources(DATA_DIR.value)


def required_with_rows(**values: Any) -> None:
    """Raises CommandError unless --data_dir or --train is given, and all the flags named.

    Args:
        **values: The values of further flags by name.
    """
    command.required(**{"data_dir": str(sources()), **values})


def bad_rows() -> BadRows:
    """What --on_bad_row and --max_bad_rows ask for."""
    config = training_config()
    return BadRows(config.on_bad_row, config.max_bad_rows)
