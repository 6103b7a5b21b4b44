"""The server's REST door: predict, status and metadata, as in TensorFlow Serving's REST API."""

from __future__ import annotations

import http.server
import json
import re
import threading
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

BODY_BYTES = 1 << 28  # of a request at most
_IDLE_SECONDS = 60.0  # after which a silent connection is closed
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
_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"(?i)/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)")
_GET = re.compile(rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?:/(?P<method>metadata))?")


class RestServer(http.server.ThreadingHTTPServer):
    """Listens as soon as it is made, and answers once `start` is called.

    Args:
        models: The models that requests ask.
        host: The interface to listen on, such as "localhost".
        port: The TCP port; 0 for any free one.
        threads: The number of requests answered at a time.

    Raises:
        OSError: If the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, models: ServedModels, host: str, port: int, threads: int) -> None:
        super().__init__((host, port), _Handler)
        self.models = models
        self.threads = threads
        self.slots = threading.Semaphore(threads)

    def start(self) -> None:
        """Answers from a thread of its own."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self, grace: float) -> None:
        """Takes no new request, and waits `grace` seconds at most for each that runs."""
        self.shutdown()
        self.server_close()
        for _ in range(self.threads):
            self.slots.acquire(timeout=grace)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    timeout = _IDLE_SECONDS
    server: RestServer

    def do_GET(self) -> None:
        self._reply_to(_GET)

    def do_POST(self) -> None:
        self._reply_to(_POST)

    def _reply_to(self, pattern: re.Pattern[str]) -> None:
        """Answers one request, whose path must match the pattern."""
        with self.server.slots:
            try:
                answer = self._answer(pattern, self._body())
            except ServingError as error:
                self._send(_HTTP_CODES.get(error.code, 500), {"error": error.message})
            except (TimeoutError, ConnectionError):
                self.close_connection = True
            except Exception as error:
                traceback.print_exc()
                self._send(500, {"error": f"{type(error).__name__}: {error}"})
            else:
                self._send(200, answer)

    def _send(self, code: int, answer: dict[str, Any]) -> None:
        text = (json.dumps(answer, indent=4) + "\n").encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _body(self) -> bytes:
        """The request's body. Where its end is not known, the connection cannot be kept."""
        length = self.headers.get("Content-Length", "0")
        in_chunks = "Transfer-Encoding" in self.headers
        if in_chunks or not re.fullmatch("[0-9]+", length) or int(length) > BODY_BYTES:
            self.close_connection = True
            raise invalid(
                f"a request needs a Content-Length of at most {BODY_BYTES} bytes. "
                f"Received: {length}"
            )
        return self.rfile.read(int(length))

    def _answer(self, pattern: re.Pattern[str], body: bytes) -> dict[str, Any]:
        path = urllib.parse.urlsplit(self.path).path
        found = pattern.fullmatch(path)
        if not path.lower().startswith("/v1/"):
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Not Found: {path}")
        if found is None:
            raise invalid(f"Malformed request: {self.command} {path}")
        spec = _spec(found)
        method = (found["method"] or "status").lower()
        models = self.server.models
        if method == "predict":
            return _predict(models, spec, body)
        if method in ("classify", "regress"):
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED, f"{method}: a funnel model has no such signature"
            )
        if not spec.name:
            raise invalid("Missing model name in request.")
        if method == "status":
            return _status(models, spec)
        return _metadata(models, spec)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, since errors go to the caller."""

    def handle(self) -> None:
        """Handles a connection; a caller who hangs up is no error."""
        try:
            super().handle()
        except (TimeoutError, ConnectionError):
            self.close_connection = True


def _spec(found: re.Match[str]) -> model_pb2.ModelSpec:
    """The model, and the version or label, that a path names."""
    spec = model_pb2.ModelSpec(name=urllib.parse.unquote(found["name"] or ""))
    if found["version"]:
        if int(found["version"]) >= 1 << 63:
            raise invalid(f"Failed to convert version: {found['version']} to numeric.")
        spec.version.value = int(found["version"])
    if found["label"]:
        spec.version_label = urllib.parse.unquote(found["label"])
    return spec


def _predict(models: ServedModels, spec: model_pb2.ModelSpec, body: bytes) -> dict[str, Any]:
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
