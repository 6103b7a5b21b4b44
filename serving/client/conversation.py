"""What a client says and in which order, without the wire: both clients, blocking and asyncio, carry it out."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, TypeVar

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

from tafe_tf.serving.client import columns
from tafe_tf.serving.client.columns import Types
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError, failed_precondition

Answer = TypeVar("Answer")
Steps = Generator[
    tuple[str, Any], Any, Answer
]  # yields (method, request), is sent the response or thrown the error

_METADATA = "signature_def"
_RESTARTS = 5


class Predictions(dict[str, np.ndarray]):
    """Outputs by name, [n] each.

    Attributes:
        version: of the model, the same for all rows.
    """

    def __init__(self, outputs: Mapping[str, np.ndarray], version: int) -> None:
        super().__init__(outputs)
        self.version = version


class Conversation:
    """The requests behind each call of a client of one model.

    Args:
        spec: the model, and the version or label to ask for, if it is not the latest.
        rows_per_request: larger calls are sent in pieces.
    """

    def __init__(self, spec: model_pb2.ModelSpec, rows_per_request: int) -> None:
        self._spec, self._rows_per_request = spec, rows_per_request
        self._signatures: dict[str, Any] = {}

    def status(self) -> Steps[dict[int, str]]:
        """State of each version by its number."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        response = yield "GetModelStatus", request
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {status.version: name(status.state) for status in response.model_version_status}

    def signatures(self) -> Steps[dict[str, Any]]:
        """The model's `SignatureDef`s by name."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=[_METADATA]
        )
        response = yield "GetModelMetadata", request
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[_METADATA].Unpack(signatures)
        self._signatures = {name: s for name, s in signatures.signature_def.items() if s.inputs}
        return self._signatures

    def predict(self, given: Any, signature: str, outputs: Sequence[str]) -> Steps[Predictions]:
        """Scores rows, all with one version of the model."""
        inputs = yield from self._inputs(signature)
        while True:
            try:
                return (yield from self._predict(given, inputs, signature, outputs))
            except ServingError as error:
                if error.code != grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                self._signatures = {}  # a new version may take other columns
                known, inputs = inputs, (yield from self._inputs(signature))
                if inputs == known:
                    raise

    def _inputs(self, signature: str) -> Steps[Types]:
        signatures = self._signatures or (yield from self.signatures())
        if signature not in signatures:
            self._signatures = {}
            raise failed_precondition(f'Serving signature key "{signature}" not found.')
        return columns.types(signatures[signature].inputs)

    def _predict(
        self, given: Any, inputs: Types, signature: str, outputs: Sequence[str]
    ) -> Steps[Predictions]:
        arrays, rows = columns.to_arrays(given, inputs, signature)
        for attempt in range(_RESTARTS + 1):
            parts: list[Predictions] = []
            try:
                for start in range(0, max(rows, 1), self._rows_per_request):
                    stop = start + self._rows_per_request
                    piece = {
                        name: x[start:stop] if len(x) == rows else x for name, x in arrays.items()
                    }
                    version = parts[0].version if parts else None
                    parts.append((yield from self._piece(piece, signature, outputs, version)))
            except ServingError as error:
                # the version that answered the first pieces has gone: all rows again, by its successor
                if not parts or error.code != grpc.StatusCode.NOT_FOUND or attempt == _RESTARTS:
                    raise
                continue
            if len(parts) == 1:
                return parts[0]
            joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            return Predictions(joined, parts[0].version)
        raise AssertionError("the last attempt returns or raises")

    def _piece(
        self,
        arrays: Mapping[str, np.ndarray],
        signature: str,
        outputs: Sequence[str],
        version: int | None,
    ) -> Steps[Predictions]:
        request = predict_pb2.PredictRequest(model_spec=self._spec, output_filter=outputs)
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for name, array in arrays.items():
            tensors.encode(array, request.inputs[name])
        response = yield "Predict", request
        decoded = {name: tensors.decode(proto) for name, proto in response.outputs.items()}
        return Predictions(decoded, response.model_spec.version.value)
