"""What the server is asked to serve: TensorFlow Serving's `ModelServerConfig`, and its rules."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import TypeAlias

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.wire.errors import invalid
from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import exists

PLATFORM = "tensorflow"

Model: TypeAlias = model_server_config_pb2.ModelConfig


def one_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration of a single model, whose latest version is served.

    Args:
        name: The model's name in requests.
        base_path: The directory of its numbered versions, absolute, or its URI in a store.
    """
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def from_file(path: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration in a file, in protobuf's text form.

    Raises:
        ServingError: If the file cannot be read, or holds no configuration.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise invalid(f"{path}: {error}") from None


def check(
    config: model_server_config_pb2.ModelServerConfig,
    before: model_server_config_pb2.ModelServerConfig,
) -> None:
    """Checks everything that the configurations, and the disk, can show to be wrong.

    Args:
        config: What is to be served from now on.
        before: What is served now; empty at first.

    Raises:
        ServingError: With TensorFlow Serving's text.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    models = config.model_config_list.config
    names: set[str] = set()
    for model in models:
        if model.name in names:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
    for model in models:
        _check_path(model)
    _check_platforms(models, before.model_config_list.config)
    for model in models:
        _check_model(model)


def _check_platforms(models: Iterable[Model], before: Iterable[Model]) -> None:
    old = {model.name: _platform(model) for model in before}
    for model in models:
        if model.name in old and _platform(model) != old[model.name]:
            raise invalid(
                f"Illegal to change a model's platform. For model {model.name} platform was "
                f"{old[model.name]} and new platform requested is {_platform(model)}"
            )


def _platform(model: Model) -> str:
    """A model's platform, which an older field may tell by a number."""
    if model.model_type == model_server_config_pb2.MODEL_TYPE_UNSPECIFIED:
        if not model.model_platform:
            raise invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        return str(model.model_platform)
    if model.model_platform:
        raise invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if model.model_type != model_server_config_pb2.TENSORFLOW:
        raise invalid(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    return PLATFORM


def _check_path(model: Model) -> None:
    try:
        has_place = is_remote(model.base_path) or pathlib.PurePath(model.base_path).is_absolute()
    except StoreError as error:  # a URI that holds a secret
        raise invalid(str(error)) from None
    if not has_place:
        raise invalid(
            f"Expected model {model.name} to have an absolute path or URI; "
            f"got base_path()={model.base_path}"
        )


def _check_model(model: Model) -> None:
    platform = _platform(model)
    if platform != PLATFORM:
        raise invalid(f"Model {model.name} requests unsupported platform {platform}")
    if not _has_base_path(model):
        raise invalid(f"Could not find base path {model.base_path} for servable {model.name}")


def _has_base_path(model: Model) -> bool:
    """Whether there is such a directory, or anything below such a prefix of a store.

    Raises:
        ServingError: INVALID_ARGUMENT, if the store does not say.
    """
    if not is_remote(model.base_path):
        return os.path.isdir(model.base_path)  # False for whatever is no path, too
    try:
        return exists(model.base_path)
    except StoreError as error:
        raise invalid(str(error)) from None
