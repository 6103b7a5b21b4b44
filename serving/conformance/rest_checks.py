"""What a server of an exported model must answer and refuse over REST."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.serving.conformance.target import Check, Target, close, must

_TOLERANCE = 1e-6  # the same rows in the same batch: only the decimal text lies between


def rest_answers_as_grpc(target: Target) -> None:
    """Columns, rows, and rows of one signature get over REST what they get over gRPC."""
    arrays = target.rows(3)
    expected = target.client.predict(arrays)
    columns = _as_json(arrays)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    by_column = _predict(target, f"{target.model}:predict", {"inputs": columns})
    close(by_column["outputs"], expected, _TOLERANCE)

    path = f"{target.model}/versions/{expected.version}:predict"
    by_row = _predict(target, path, {"instances": rows})["predictions"]
    found = {name: [row[name] for row in by_row] for name in expected}
    close(found, expected, _TOLERANCE)

    one = sorted(name for name in target.signatures if name in expected)[0]
    document = {"signature_name": one, "instances": rows}
    values = _predict(target, f"{target.model}:predict", document)["predictions"]
    close({one: values}, {one: expected[one]}, _TOLERANCE)


def _as_json(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    columns = {}
    for name, values in arrays.items():
        if values.dtype == object:
            values = np.vectorize(bytes.decode, otypes=[object])(values)
        columns[name] = values.tolist()
    return columns


def _predict(target: Target, path: str, document: dict[str, Any]) -> Any:
    """The answer to a request that must succeed."""
    code, answer = target.http(path, json.dumps(document).encode())
    must(code == 200, f"{path} with {', '.join(document)}: {code} {answer}")
    return answer


def rest_tells_status_and_metadata(target: Target) -> None:
    """A version is AVAILABLE, and the metadata hold all signatures."""
    code, answer = target.http(target.model)
    states = [version["state"] for version in answer["model_version_status"]]
    must(code == 200 and "AVAILABLE" in states, f"status: {code} {answer}")
    code, answer = target.http(f"{target.model}/metadata")
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    all_there = set(target.signatures) <= set(signatures)
    must(code == 200 and all_there, f"metadata: {code} {sorted(signatures)}")


def rest_refuses_wrong_requests(target: Target) -> None:
    """Wrong paths, bodies, models, signatures and inputs get a 4xx code and a text each."""
    text = "Could not find any versions of model no_model"
    _refuses(target, "no_model", None, 404, text)
    text = r"Servable not found for request: Latest\(no_model\)"
    _refuses(target, "no_model:predict", b'{"inputs": {}}', 404, text)
    _refuses(target, f"{target.model}:no_method", b"{}", 400, "Malformed request: POST")
    bodies = {
        b"": "JSON Parse error",
        b"{": "JSON Parse error",
        b"[]": "Is not object",
        b"{}": "Missing 'inputs' or 'instances' key",
        b'{"instances": []}': "No values in 'instances' array",
        b'{"instances": [{"no_input": 1}]}': "does not have named input: no_input",
        b'{"inputs": {"no_input": 1}}': "Missing named input: ",
        b'{"signature_name": "no", "inputs": {}}': 'Serving signature name: "no" not found',
    }
    for body, text in bodies.items():
        _refuses(target, f"{target.model}:predict", body, 400, text)
    target.lives()


def _refuses(target: Target, path: str, body: bytes | None, code: int, text: str) -> None:
    found, answer = target.http(path, body)
    said = answer.get("error", "")
    as_expected = found == code and re.search(text, said) is not None
    must(as_expected, f"{path} {body!r}: {found} {said!r}")


CHECKS: tuple[Check, ...] = (
    rest_answers_as_grpc,
    rest_tells_status_and_metadata,
    rest_refuses_wrong_requests,
)
