"""The answers of the REST API by path, as in TensorFlow Serving's REST API."""

from __future__ import annotations

import json
import re
import traceback
import urllib.parse
from typing import Any

import grpc
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from tafe_tf.serving.server import rest_json
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.predict import METADATA, inputs, metadata, predict
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError, invalid

_HTTP_CODES = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}  # all others are 500
_WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = rf"(?i)/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)"
_GET = rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?:/(?P<method>metadata))?"
_PATTERNS = {"POST": re.compile(_POST), "GET": re.compile(_GET)}
_VERSION_DIGITS = 19  # of the largest version, 2^63 - 1


def answer(models: ServedModels, method: str, path: str, body: bytearray) -> tuple[int, bytes]:
    """Answers one request, whatever it holds.

    Args:
        models: The models that requests ask.
        method: HTTP's method, such as "POST".
        path: The path as it was sent, without a query.
        body: The body, empty if there is none.

    Returns:
        HTTP's status code, and a JSON object.
    """
    try:
        found = _answer(models, method, path, body)
    except ServingError as error:
        return _HTTP_CODES.get(error.code, 500), as_text({"error": error.message})
    except Exception as error:
        traceback.print_exc()
        return 500, as_text({"error": f"{type(error).__name__}: {error}"})
    return 200, as_text(found)


def as_text(document: dict[str, Any]) -> bytes:
    """A JSON object as an answer carries it."""
    return (json.dumps(document, indent=4) + "\n").encode()


def _answer(models: ServedModels, method: str, path: str, body: bytearray) -> dict[str, Any]:
    if not path.lower().startswith("/v1/"):
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"Not Found: {path}")
    pattern = _PATTERNS.get(method)
    found = pattern.fullmatch(path) if pattern else None
    if found is None:
        raise invalid(f"Malformed request: {method} {path}")
    spec = _spec(found)
    wanted = (found["method"] or "status").lower()
    if wanted == "predict":
        return _predict(models, spec, body)
    if wanted in ("classify", "regress"):
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED, f"{wanted}: a funnel model has no such signature"
        )
    if not spec.name:
        raise invalid("Missing model name in request.")
    if wanted == "status":
        return _status(models, spec)
    return _metadata(models, spec)


def _spec(found: re.Match[str]) -> model_pb2.ModelSpec:
    """The model, and the version or label, that a path names."""
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(found["name"] or ""))
    digits = found["version"]
    if digits:
        is_short = len(digits.lstrip("0")) <= _VERSION_DIGITS  # Python reads 4,300 digits at most
        if not is_short or int(digits) >= 1 << 63:
            raise invalid(f"Failed to convert version: {digits} to numeric.")
        spec.version.value = int(digits)
    if found["label"]:
        spec.version_label = urllib.parse.unquote(found["label"])
    return spec


def _predict(models: ServedModels, spec: model_pb2.ModelSpec, body: bytearray) -> dict[str, Any]:
    document = rest_json.parse(body)
    spec.signature_name = document.get("signature_name", "")
    arrays, as_rows = rest_json.to_arrays(document, inputs(models, spec))
    request = predict_pb2.PredictRequest(model_spec=spec)
    for name, array in arrays.items():
        tensors.encode(array, request.inputs[name])
    response = predict(models, request)
    outputs = {name: tensors.decode(proto) for name, proto in response.outputs.items()}
    return rest_json.from_arrays(outputs, as_rows)


def _status(models: ServedModels, spec: model_pb2.ModelSpec) -> dict[str, Any]:
    response = get_model_status_pb2.GetModelStatusResponse(model_version_status=models.status(spec))
    return _as_json(response)


def _metadata(models: ServedModels, spec: model_pb2.ModelSpec) -> dict[str, Any]:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=[METADATA]
    )
    response = metadata(models, request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[METADATA].Unpack(signatures)
    return {
        "model_spec": _as_json(response.model_spec),
        "metadata": {METADATA: _as_json(signatures)},
    }


def _as_json(message: Any) -> dict[str, Any]:
    fields = json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    return dict(fields)
