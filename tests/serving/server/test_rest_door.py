"""The REST door, asked by programs that are not ours."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from servers import LocalServer, answers

from tafe_tf.serving.conformance.target import close

OVMSCLIENT = """
import json, sys
import numpy as np
import ovmsclient
grpc, rest = sys.argv[1:]
inputs = {"user": np.array([3, 4, -1]), "item": np.array([7, 8, 9])}
found = {}
clients = {"grpc": ovmsclient.make_grpc_client(grpc), "rest": ovmsclient.make_http_client(rest)}
for name, client in clients.items():
    outputs = client.predict(inputs, "numbers", model_version=1)
    found[name] = {
        "outputs": {key: [float(x) for x in values] for key, values in outputs.items()},
        "status": client.get_model_status("numbers", model_version=1),
    }
    try:
        client.predict({"user": inputs["user"]}, "numbers", model_version=1)
    except Exception as error:
        found[name]["error"] = [type(error).__name__, str(error)]
    if name == "grpc":  # over REST it reads the names of another server
        metadata = client.get_model_metadata("numbers", model_version=1)
print(json.dumps([found, metadata]))
"""


@pytest.mark.slow
def test_an_independent_client_agrees(
    server: LocalServer, exports: dict[str, pathlib.Path]
) -> None:
    """Intel's ovmsclient, which brings its own protocol code."""
    command = [sys.executable, "-c", OVMSCLIENT, server.grpc, server.rest]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, metadata = json.loads(done.stdout)
    assert metadata["inputs"] == {
        name: {"shape": [-1], "dtype": "DT_INT64"} for name in ("user", "item")
    }
    assert set(metadata["outputs"]) == {"ctr", "ctcvr", "cvr"}
    expected = answers(
        exports["numbers"], {"user": np.array([3, 4, -1]), "item": np.array([7, 8, 9])}
    )
    for said in found.values():
        close(said["outputs"], expected, 1e-6)
        assert said["status"] == {"1": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
        kind, text = said["error"]
        assert kind == "InvalidInputError" and re.search(
            "Missing (but required|named input): {?item", text
        )


def test_curl(server: LocalServer) -> None:
    body = '{"instances": [{"user": 1, "item": 2}]}'
    url = f"http://{server.rest}/v1/models/numbers:predict"
    done = subprocess.run(
        ["curl", "--silent", "--fail", url, "--data", body], capture_output=True, text=True
    )
    assert set(json.loads(done.stdout)["predictions"][0]) == {"ctr", "ctcvr", "cvr"}
