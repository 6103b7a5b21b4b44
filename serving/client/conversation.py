"""What a client says and in which order, without the network.

A conversation is a generator: it yields a method and its request, and is sent the bytes of the
response or thrown the error. `deadline.persistent` gives it its time and repeats what has to be
repeated; `Client` carries it out with blocking calls, and `AsyncClient` with asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import grpc
import numpy as np

from tafe_tf.data.errors import is_utf8
from tafe_tf.serving.client import answers, columns
from tafe_tf.serving.client.answers import Expected, OutputType, Predictions
from tafe_tf.serving.client.deadline import Steps
from tafe_tf.serving.client.description import DESCRIBE, DESCRIPTION, FIELDS, Description, Seen
from tafe_tf.serving.client.model import Model
from tafe_tf.serving.wire import messages, tensors
from tafe_tf.serving.wire.errors import (
    ServingError,
    WrongAnswerError,
    failed_precondition,
    invalid,
)
from tafe_tf.shown import shown

_METADATA = "signature_def"
_RESTARTS = 5  # times that a call in pieces begins anew because its version has gone
_DESCRIPTION = {DESCRIPTION: OutputType(np.dtype(object), (-1,))}


class _Question(NamedTuple):
    """What rows are sent for.

    Attributes:
        signature: The signature that answers.
        names: The outputs to return; all if there are none.
        outputs: What the signature says of its outputs.
        are_finite: Whether no number of the answer may be NaN or infinite.
    """

    signature: str
    names: Sequence[str]
    outputs: Mapping[str, OutputType]
    are_finite: bool

    def expected(self) -> dict[str, OutputType]:
        """What is to be answered, by name."""
        if not self.names:
            return dict(self.outputs)
        return {name: self.outputs.get(name, OutputType(None, None)) for name in self.names}


class Conversation:
    """The requests behind each call of a client of one model.

    Args:
        spec: The model's name, and the version or label to ask, if it is not to be the latest.
        rows_per_request: Rows that one request carries at most.
    """

    def __init__(self, spec: Any, rows_per_request: int) -> None:
        self._spec = spec
        self._rows_per_request = rows_per_request
        self._model: Model | None = None

    def status(self) -> Steps[dict[int, str]]:
        """The state of each version by its number."""
        request = messages.GetModelStatusRequest(model_spec=self._spec)
        response = yield from asked("GetModelStatus", request)
        states = {}
        for status in response.model_version_status:
            states[status.version] = messages.STATES.get(status.state, "UNKNOWN")
        return states

    def signatures(self) -> Steps[dict[str, Any]]:
        """The model's `SignatureDef`s by name, without those that take no input."""
        request = messages.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=[_METADATA]
        )
        response = yield from asked("GetModelMetadata", request)
        found = answers.signatures(response)
        return {name: signature for name, signature in found.items() if signature.inputs}

    def seen(self, given: Any, check: Callable[[], None] = columns.no_check) -> Steps[Seen]:
        """Finds which values of rows the model knows from training; see `Client.seen`."""
        answer, model = yield from self._answer(given, FIELDS, (), check)
        if model.description is None:
            raise failed_precondition(f'Serving signature key "{DESCRIBE}" not found.')
        return model.description.seen(answer, answer.version)

    def predict(
        self,
        given: Any,
        signature: str,
        outputs: Sequence[str],
        check: Callable[[], None] = columns.no_check,
    ) -> Steps[Predictions]:
        """Scores rows, all with one version of the model; see `Client.predict`.

        Args:
            given: The rows.
            signature: The signature to ask.
            outputs: Names of the outputs to return; all if there are none.
            check: Is called between parts of the work, and raises to end it. Default: nothing.
        """
        _check_names(signature, outputs)
        answer, _ = yield from self._answer(given, signature, outputs, check)
        return answer

    def _answer(
        self, given: Any, signature: str, outputs: Sequence[str], check: Callable[[], None]
    ) -> Steps[tuple[Predictions, Model]]:
        """The answer to rows, and the model as the rows were converted for it.

        A new version may take or give other columns, or spell them otherwise, than this client
        knows. So if a request is refused or its answer is wrong, or another version answers than
        the one that described itself, the model is asked anew what it is, and the rows are sent
        again if that has changed.
        """
        model = yield from self._known(signature)
        for attempt in range(_RESTARTS + 1):
            before = model.signature(signature)
            failure: ServingError | None = None
            try:
                arrays, rows = columns.to_arrays(given, before.inputs, signature, check)
                are_finite = model.description is not None  # other models may mean something by NaN
                question = _Question(signature, outputs, before.outputs, are_finite)
                answer = yield from self._predict(arrays, rows, question)
            except UnicodeEncodeError:
                raise columns.no_utf8(arrays, before.inputs) from None
            except ServingError as error:
                is_wrong = isinstance(error, WrongAnswerError)
                if error.code != grpc.StatusCode.INVALID_ARGUMENT and not is_wrong:
                    raise
                failure = error
            else:
                if model.describes(answer.version):
                    return answer, model
            self._model = None
            model = yield from self._known(signature)
            has_changed = model.signature(signature).differs(before)
            if has_changed and attempt < _RESTARTS:
                continue
            if failure is not None:
                raise failure
            return answer, model
        raise AssertionError("the last attempt returns or raises")

    def _known(self, signature: str) -> Steps[Model]:
        """What the model says of itself, asked once and remembered.

        Other threads may ask at the same time: each goes on with what it was told.
        """
        model = self._model
        if model is None:
            signatures = yield from self.signatures()
            description = None
            if DESCRIBE in signatures:
                description = yield from self._describe()
            model = Model(signatures, description)
        if signature not in model.signatures:
            self._model = None  # perhaps a new version has it
            raise failed_precondition(f'Serving signature key "{signature}" not found.')
        self._model = model
        return model

    def _describe(self) -> Steps[Description]:
        question = _Question(DESCRIBE, (), _DESCRIPTION, are_finite=False)
        rows = {DESCRIBE: np.array([b""], object)}
        answer = yield from self._piece(rows, 1, question, None)
        return Description(answer[DESCRIPTION][0], answer.version)

    def _predict(
        self, arrays: Mapping[str, np.ndarray], rows: int, question: _Question
    ) -> Steps[Predictions]:
        """Sends rows in pieces, from the start again if the version that answers goes."""
        for attempt in range(_RESTARTS + 1):
            found: list[Predictions] = []
            try:
                for start in range(0, max(rows, 1), self._rows_per_request):
                    end = min(start + self._rows_per_request, rows)
                    piece = _piece(arrays, rows, slice(start, end))
                    version = found[0].version if found else None
                    answer = yield from self._piece(piece, end - start, question, version)
                    found.append(answer)
            except ServingError as error:
                version_went = bool(found) and error.code == grpc.StatusCode.NOT_FOUND
                if not version_went or attempt == _RESTARTS:
                    raise
                continue  # all rows again, by the version that replaced it
            return _joined(found)
        raise AssertionError("the last attempt returns or raises")

    def _piece(
        self,
        arrays: Mapping[str, np.ndarray],
        rows: int,
        question: _Question,
        version: int | None,
    ) -> Steps[Predictions]:
        """Asks for one request's rows, by `version` if it is given."""
        request = messages.PredictRequest(model_spec=self._spec, output_filter=question.names)
        spec = request.model_spec
        spec.signature_name = question.signature
        if version is not None:
            spec.version.value = version
        for name, array in arrays.items():
            tensors.encode(array, request.inputs[name])
        response = yield from asked("Predict", request)
        expected = Expected(
            model=spec.name,
            rows=rows,
            outputs=question.expected(),
            are_finite=question.are_finite,
            version=spec.version.value if spec.HasField("version") else None,
        )
        return answers.predictions(response, expected)


def asked(method: str, request: Any) -> Steps[Any]:
    """The response to a request."""
    content = yield method, request
    return answers.parsed(method, content)


def _check_names(signature: str, outputs: Sequence[str]) -> None:
    """Raises ServingError, INVALID_ARGUMENT, if these are no names."""
    if isinstance(outputs, str | bytes):
        raise invalid(f"`outputs` must be a list of names. Received: {shown(outputs)}")
    for name in (signature, *outputs):
        if not isinstance(name, str) or not is_utf8(name):
            raise invalid(f"a name must be a text that UTF-8 holds. Received: {shown(name)}")


def _piece(arrays: Mapping[str, np.ndarray], rows: int, here: slice) -> dict[str, np.ndarray]:
    """The arrays of one request; a single row beside longer columns goes with every request."""
    return {name: x[here] if len(x) == rows else x for name, x in arrays.items()}


def _joined(answers: Sequence[Predictions]) -> Predictions:
    """The answers to all pieces as one; all are of the same version."""
    first = answers[0]
    if len(answers) == 1:
        return first
    outputs = {name: np.concatenate([answer[name] for answer in answers]) for name in first}
    return Predictions(outputs, first.version)
