"""The programs of other languages, run against the local server."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from servers import LocalServer
from tensorflow_serving.apis import predict_pb2

from tafe_tf.data.public.synthetic import SyntheticFunnel
from tafe_tf.export.description import describe
from tafe_tf.export.versions import CARD_FILE
from tafe_tf.serving.client import Client
from tafe_tf.serving.examples import request
from tafe_tf.serving.examples.languages import LANGUAGES
from tafe_tf.serving.examples.request import Request
from tafe_tf.serving.wire import messages, tensors

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "clients.md"

# Language -> the file that its program stands in, and the command that runs it.
RUN = {
    "curl": ("predict.sh", ("sh",)),
    "go": ("predict.go", ("go", "run")),
    "java": ("Predict.java", ("java",)),
    "node": ("predict.mjs", ("node",)),
}
NEEDS = {"curl": "curl", "go": "go", "java": "javac", "node": "node"}


def expected(made: Request) -> dict[str, np.ndarray]:
    """What our own client is answered."""
    with Client(made.target, made.model) as client:
        return client.predict(made.columns())


@pytest.mark.slow
@pytest.mark.parametrize("language", RUN)
def test_a_program_gets_the_clients_answer(
    language: str, server: LocalServer, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    if shutil.which(NEEDS[language]) is None:
        pytest.skip(f"{NEEDS[language]} is not installed")
    file, command = RUN[language]
    for name in ("shop", "numbers"):
        made = request.of_card(exports[name], target=server.grpc, rest=server.rest)
        (tmp_path / file).write_text(LANGUAGES[language](made), encoding="utf-8")
        done = subprocess.run([*command, file], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["predictions"]
        outputs = expected(made)
        assert set(rows[0]) == set(outputs)
        for output, values in outputs.items():
            found = np.array([row[output] for row in rows], values.dtype)
            np.testing.assert_array_equal(found, values)


@pytest.mark.slow
def test_grpcurls_request_gets_the_clients_answer(
    server: LocalServer, exports: dict[str, pathlib.Path]
) -> None:
    for name in ("shop", "loans"):
        made = request.of_card(exports[name].parent, target=server.grpc)
        message = json_format.Parse(made.grpc_body(), predict_pb2.PredictRequest())
        with Client(made.target) as client:
            answer = client.call("Predict", message)
        for output, values in expected(made).items():
            np.testing.assert_array_equal(tensors.decode(answer.outputs[output]), values)


def demo() -> Request:
    """The request to the model of `make demo`, from what its card says."""
    schema = SyntheticFunnel().schema()
    return Request(model=schema.name, inputs=describe(schema, {})["inputs"])


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"proto"}))
def test_the_page_shows_what_the_command_prints_for_the_demo(language: str) -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert LANGUAGES[language](demo()) in blocks


def test_the_proto_is_the_one_that_our_client_reads() -> None:
    assert LANGUAGES["proto"](demo()) == messages.PROTO.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({}, "does not say what the model takes; export the model again"),
        ({"name": "shop", "inputs": []}, "does not say what the model takes"),
        ({"name": "shop", "inputs": [{"name": "user"}]}, "does not say what the model takes"),
        (
            {"name": "shop", "inputs": [{"name": "a'; rm", "dtype": "string", "max_length": 0}]},
            "does not say what the model takes",
        ),
        (
            {"name": "shop", "inputs": [{"name": "user", "dtype": "half", "max_length": 0}]},
            "does not say what the model takes",
        ),
        ({"inputs": [{"name": "user", "dtype": "string", "max_length": 0}]}, "has no 'name'"),
        ([], "does not say what the model takes"),
    ],
)
def test_what_is_no_card(card: Any, text: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "7" / CARD_FILE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(card))
    for path in (tmp_path, file):
        with pytest.raises(ValueError, match=f"model_card.json: {text}"):
            request.of_card(path)


def test_a_models_name_is_quoted_in_addresses() -> None:
    made = Request(model="a/b 'c'", inputs=demo().inputs)
    assert made.url() == "http://localhost:8501/v1/models/a%2Fb%20%27c%27:predict"
    assert json.loads(made.grpc_body())["model_spec"] == {"name": "a/b 'c'"}
