"""What the server is asked to serve: TensorFlow Serving's `ModelServerConfig`, and its rules."""

from __future__ import annotations

import pathlib

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.wire.errors import invalid

PLATFORM = "tensorflow"


def one_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration of a single model, whose latest version is served.

    Args:
        name: The model's name in requests.
        base_path: The directory of its numbered versions; absolute.
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


def check(config: model_server_config_pb2.ModelServerConfig) -> None:
    """Checks everything that the configuration alone, and the disk, can show to be wrong.

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
        _check_model(model)


def _check_model(model: model_server_config_pb2.ModelConfig) -> None:
    if not pathlib.PurePath(model.base_path).is_absolute():
        raise invalid(
            f"Expected model {model.name} to have an absolute path or URI; "
            f"got base_path()={model.base_path}"
        )
    if not model.model_platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if model.model_platform != PLATFORM:
        raise invalid(f"Model {model.name} requests unsupported platform {model.model_platform}")
    if not pathlib.Path(model.base_path).is_dir():
        raise invalid(f"Could not find base path {model.base_path} for servable {model.name}")
