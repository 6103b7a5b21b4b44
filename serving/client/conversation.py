"""What a client says and in which order, without the network.

A conversation is a generator: it yields a method and its request, and is sent the response or
thrown the error. `Client` carries it out with blocking calls, and `AsyncClient` with asyncio.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

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
from tafe_tf.serving.client.description import DESCRIBE, DESCRIPTION, FIELDS, Description, Seen
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError, failed_precondition

Answer = TypeVar("Answer")
Steps = Generator[tuple[str, Any], Any, Answer]

_METADATA = "signature_def"
_RESTARTS = 5  # times that a call in pieces begins anew because its version has gone


class Predictions(dict[str, np.ndarray]):
    """The outputs of a model by name, [n] each.

    Attributes:
        version: The number of the model's version that computed all of them.
    """

    def __init__(self, outputs: Mapping[str, np.ndarray], version: int) -> None:
        super().__init__(outputs)
        self.version = version


class _Model(NamedTuple):
    """What a model says of itself.

    Attributes:
        signatures: Its `SignatureDef`s by name.
        description: What its signature `describe` answers; None if it has none.
    """

    signatures: dict[str, Any]
    description: Description | None

    def inputs(self, signature: str) -> Types:
        """What one of its signatures takes."""
        types = columns.types(self.signatures[signature].inputs)
        return self.description.complete(types) if self.description else types

    def describes(self, version: int) -> bool:
        """Whether this is what a version says of itself, or no version says anything."""
        return self.description is None or self.description.version == version


class Conversation:
    """The requests behind each call of a client of one model.

    Args:
        spec: The model's name, and the version or label to ask, if it is not to be the latest.
        rows_per_request: Rows that one request carries at most.
    """

    def __init__(self, spec: model_pb2.ModelSpec, rows_per_request: int) -> None:
        self._spec = spec
        self._rows_per_request = rows_per_request
        self._model: _Model | None = None

    def status(self) -> Steps[dict[int, str]]:
        """The state of each version by its number."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=self._spec)
        response = yield "GetModelStatus", request
        name = get_model_status_pb2.ModelVersionStatus.State.Name
        return {status.version: name(status.state) for status in response.model_version_status}

    def signatures(self) -> Steps[dict[str, Any]]:
        """The model's `SignatureDef`s by name, without those that take no input."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=[_METADATA]
        )
        response = yield "GetModelMetadata", request
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[_METADATA].Unpack(signatures)
        return {name: s for name, s in signatures.signature_def.items() if s.inputs}

    def seen(self, given: Any) -> Steps[Seen]:
        """Finds which values of rows the model knows from training; see `Client.seen`."""
        answer, model = yield from self._answer(given, FIELDS, ())
        if model.description is None:
            raise failed_precondition(f'Serving signature key "{DESCRIBE}" not found.')
        return model.description.seen(answer, answer.version)

    def predict(self, given: Any, signature: str, outputs: Sequence[str]) -> Steps[Predictions]:
        """Scores rows, all with one version of the model; see `Client.predict`."""
        answer, _ = yield from self._answer(given, signature, outputs)
        return answer

    def _answer(
        self, given: Any, signature: str, outputs: Sequence[str]
    ) -> Steps[tuple[Predictions, _Model]]:
        """The answer to rows, and the model as the rows were converted for it.

        A new version may take other columns, or spell them otherwise, than this client knows. So if
        a request is refused, or another version answers than the one that described itself, the
        model is asked anew what it takes, and the rows are sent again if that has changed.
        """
        model = yield from self._known(signature)
        for attempt in range(_RESTARTS + 1):
            inputs = model.inputs(signature)
            refused: ServingError | None = None
            try:
                answer = yield from self._predict(given, inputs, signature, outputs)
            except ServingError as error:
                if error.code != grpc.StatusCode.INVALID_ARGUMENT:
                    raise
                refused = error
            else:
                if model.describes(answer.version):
                    return answer, model
            self._model = None
            model = yield from self._known(signature)
            now = model.inputs(signature)
            has_changed = now != inputs or now.missing != inputs.missing
            if has_changed and attempt < _RESTARTS:
                continue
            if refused is not None:
                raise refused
            return answer, model
        raise AssertionError("the last attempt returns or raises")

    def _known(self, signature: str) -> Steps[_Model]:
        """What the model says of itself, asked once and remembered.

        Other threads may ask at the same time: each goes on with what it was told.
        """
        model = self._model
        if model is None:
            signatures = yield from self.signatures()
            description = None
            if DESCRIBE in signatures:
                description = yield from self._describe()
            model = _Model(signatures, description)
        if signature not in model.signatures:
            self._model = None  # perhaps a new version has it
            raise failed_precondition(f'Serving signature key "{signature}" not found.')
        self._model = model
        return model

    def _describe(self) -> Steps[Description]:
        question = {DESCRIBE: np.array([b""], object)}
        answer = yield from self._piece(question, DESCRIBE, (), None)
        return Description(answer[DESCRIPTION][0], answer.version)

    def _predict(
        self, given: Any, inputs: Types, signature: str, outputs: Sequence[str]
    ) -> Steps[Predictions]:
        """Converts the rows and sends them in pieces, from the start again if the version goes."""
        arrays, rows = columns.to_arrays(given, inputs, signature)
        pieces = _pieces(arrays, rows, self._rows_per_request)
        for attempt in range(_RESTARTS + 1):
            answers: list[Predictions] = []
            try:
                for piece in pieces:
                    version = answers[0].version if answers else None
                    answer = yield from self._piece(piece, signature, outputs, version)
                    answers.append(answer)
            except ServingError as error:
                version_went = bool(answers) and error.code == grpc.StatusCode.NOT_FOUND
                if not version_went or attempt == _RESTARTS:
                    raise
                continue  # all rows again, by the version that replaced it
            return _joined(answers)
        raise AssertionError("the last attempt returns or raises")

    def _piece(
        self,
        arrays: Mapping[str, np.ndarray],
        signature: str,
        outputs: Sequence[str],
        version: int | None,
    ) -> Steps[Predictions]:
        """Asks for one request's rows, by `version` if it is given."""
        request = predict_pb2.PredictRequest(model_spec=self._spec, output_filter=outputs)
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for name, array in arrays.items():
            tensors.encode(array, request.inputs[name])
        response = yield "Predict", request
        decoded = {name: tensors.decode(proto) for name, proto in response.outputs.items()}
        return Predictions(decoded, response.model_spec.version.value)


def _pieces(
    arrays: Mapping[str, np.ndarray], rows: int, rows_per_request: int
) -> list[dict[str, np.ndarray]]:
    """The arrays of each request; a single row beside longer columns goes with every request."""
    pieces = []
    for start in range(0, max(rows, 1), rows_per_request):
        here = slice(start, start + rows_per_request)
        piece = {name: x[here] if len(x) == rows else x for name, x in arrays.items()}
        pieces.append(piece)
    return pieces


def _joined(answers: Sequence[Predictions]) -> Predictions:
    """The answers to all pieces as one; all are of the same version."""
    first = answers[0]
    if len(answers) == 1:
        return first
    outputs = {name: np.concatenate([answer[name] for answer in answers]) for name in first}
    return Predictions(outputs, first.version)
