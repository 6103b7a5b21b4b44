"""What a server of an exported model must do over REST; `serving.conformance` runs all of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.serving.conformance.grpc_checks import Check
from tafe_tf.serving.conformance.target import Target, close, must

REST_CHECKS: list[Check] = []


def rest_check(function: Check) -> Check:
    """Adds a function to the checks of REST."""
    REST_CHECKS.append(function)
    return function


def _json(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    texts = {
        n: np.vectorize(bytes.decode, otypes=[object])(x) if x.dtype == object else x
        for n, x in arrays.items()
    }
    return {name: values.tolist() for name, values in texts.items()}


@rest_check
def rest_answers_as_grpc(target: Target) -> None:
    arrays = target.rows(3)
    columns, expected = _json(arrays), target.client.predict(arrays)
    code, answer = target.http(f"{target.model}:predict", json.dumps({"inputs": columns}).encode())
    must(code == 200, f"columns: {code} {answer}")
    close(answer["outputs"], expected, 1e-6)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    path = f"{target.model}/versions/{expected.version}:predict"
    code, answer = target.http(path, json.dumps({"instances": rows}).encode())
    must(code == 200, f"rows: {code} {answer}")
    close({name: [row[name] for row in answer["predictions"]] for name in expected}, expected, 1e-6)
    one = sorted(name for name in target.signatures if name in expected)[0]
    body = json.dumps({"signature_name": one, "instances": rows}).encode()
    code, answer = target.http(f"{target.model}:predict", body)
    must(code == 200, f"signature {one}: {code} {answer}")
    close({one: answer["predictions"]}, {one: expected[one]}, 1e-6)


@rest_check
def rest_tells_status_and_metadata(target: Target) -> None:
    code, answer = target.http(target.model)
    states = [version["state"] for version in answer["model_version_status"]]
    must(code == 200 and "AVAILABLE" in states, f"status: {code} {answer}")
    code, answer = target.http(f"{target.model}/metadata")
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    must(
        code == 200 and set(target.signatures) <= set(signatures),
        f"metadata: {code} {sorted(signatures)}",
    )


@rest_check
def rest_refuses_wrong_requests(target: Target) -> None:
    model = target.model
    cases: list[tuple[str, bytes | None, int, str]] = [
        ("no_model", None, 404, "Could not find any versions of model no_model"),
        (
            "no_model:predict",
            b'{"inputs": {}}',
            404,
            r"Servable not found for request: Latest\(no_model\)",
        ),
        (f"{model}:predict", b"", 400, "JSON Parse error"),
        (f"{model}:predict", b"{", 400, "JSON Parse error"),
        (f"{model}:predict", b"[]", 400, "Is not object"),
        (f"{model}:predict", b"{}", 400, "Missing 'inputs' or 'instances' key"),
        (f"{model}:predict", b'{"instances": []}', 400, "No values in 'instances' array"),
        (
            f"{model}:predict",
            b'{"instances": [{"no_input": 1}]}',
            400,
            "does not have named input: no_input",
        ),
        (f"{model}:predict", b'{"inputs": {"no_input": 1}}', 400, "Missing named input: "),
        (
            f"{model}:predict",
            b'{"signature_name": "no", "inputs": {}}',
            400,
            'Serving signature name: "no" not found',
        ),
        (f"{model}:no_method", b"{}", 400, "Malformed request: POST"),
    ]
    for path, body, wanted, text in cases:
        code, answer = target.http(path, body)
        said = answer.get("error", "")
        must(
            code == wanted and re.search(text, said) is not None,
            f"{path} {body!r}: {code} {said!r}",
        )
    target.lives()
