"""Which configurations are refused, in TensorFlow Serving's words."""

from __future__ import annotations

import pathlib
from typing import TypeAlias

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.server.configuration import check
from tafe_tf.serving.wire.errors import ServingError

Config: TypeAlias = model_server_config_pb2.ModelServerConfig


def config(*models: str) -> Config:
    """A configuration of models, each the fields of a `ModelConfig` in text form."""
    text = " ".join(f"config {{ {model} }}" for model in models)
    found: Config = text_format.Parse(f"model_config_list {{ {text} }}", Config())
    return found


@pytest.mark.parametrize(
    ("models", "text"),
    [
        (
            ['name: "a" base_path: "b"'],
            "model a to have an absolute path or URI; got base_path.*=b",
        ),
        (['name: "a" base_path: "b"'] * 2, "Illegal to list model a multiple times"),
        (['name: "a" base_path: "/"'], "neither .* nor .*, model name is a"),
        (
            ['name: "a" base_path: "/" model_type: TENSORFLOW model_platform: "tensorflow"'],
            "setting both .* and .*, model name is a",
        ),
        (['name: "a" base_path: "/" model_type: OTHER'], "model_type choice 2 not supported"),
        (
            ['name: "a" base_path: "/" model_platform: "x"'],
            "Model a requests unsupported platform x",
        ),
        (
            ['name: "s" base_path: "/" model_platform: "x"'],
            "Illegal to change a model's platform. For model s platform was tensorflow and new "
            "platform requested is x",
        ),
        (
            [f'name: "a" base_path: "/{"x" * 5000}" model_platform: "tensorflow"'],
            "Could not find base path /xxx.* for servable a",
        ),
        (
            [r'name: "a" base_path: "/\000" model_platform: "tensorflow"'],
            "Could not find base path /.* for servable a",
        ),
    ],
)
def test_what_is_refused(models: list[str], text: str) -> None:
    served = config('name: "s" base_path: "/" model_type: TENSORFLOW')
    with pytest.raises(ServingError, match=text):
        check(config(*models), served)


def test_what_is_accepted(tmp_path: pathlib.Path) -> None:
    """The platform may be told by the older field; it is the same platform."""
    old = config(f'name: "s" base_path: "{tmp_path}" model_type: TENSORFLOW')
    new = config(f'name: "s" base_path: "{tmp_path}" model_platform: "tensorflow"')
    check(old, Config())
    check(new, old)
