"""What a server answers is believed only where it fits what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from tafe_tf.serving.wire import messages, tensors
from tafe_tf.serving.wire.errors import WrongAnswerError
from tafe_tf.shown import cut, shown

_SIGNATURES = "signature_def"
_TYPE_OF_SIGNATURES = "tensorflow.serving.SignatureDefMap"


class Predictions(dict[str, np.ndarray]):
    """The outputs of a model by name, [n] each.

    Attributes:
        version: The number of the model's version that computed all of them.
    """

    def __init__(self, outputs: Mapping[str, np.ndarray], version: int) -> None:
        super().__init__(outputs)
        self.version = version


class OutputType(NamedTuple):
    """What a signature says of one of its outputs.

    Attributes:
        dtype: The NumPy type; object for strings, None if NumPy has no such type.
        sizes: The size of each dimension, -1 for any; None if their number is not known.
    """

    dtype: np.dtype | None
    sizes: tuple[int, ...] | None


class Expected(NamedTuple):
    """What an answer must be.

    Attributes:
        model: The model's name.
        rows: The number of rows that were sent.
        outputs: What the outputs are, by name.
        are_finite: Whether no number may be NaN or infinite.
        version: The version that was asked. Default: None, any.
    """

    model: str
    rows: int
    outputs: Mapping[str, OutputType]
    are_finite: bool
    version: int | None = None


def parsed(method: str, answer: bytes) -> Any:
    """The message in the bytes that a method answered.

    Raises:
        WrongAnswerError: If there is none.
    """
    return _message(messages.METHODS[method].response, answer, f"to {method}")


def signatures(response: Any) -> dict[str, Any]:
    """The `SignatureDef`s of a `GetModelMetadataResponse` by name.

    Raises:
        WrongAnswerError: If it has none.
    """
    if _SIGNATURES not in response.metadata:
        raise WrongAnswerError(f"its metadata have no {_SIGNATURES!r}")
    packed = response.metadata[_SIGNATURES]
    _, _, kind = packed.type_url.rpartition("/")
    if kind != _TYPE_OF_SIGNATURES:
        raise WrongAnswerError(f"its signatures are of type {cut(kind)}")
    found = _message(messages.SignatureDefMap, packed.value, "of signatures")
    return dict(found.signature_def)


def output_types(infos: Mapping[str, Any]) -> dict[str, OutputType]:
    """What a signature says of its outputs, from their `TensorInfo`s."""
    found = {}
    for name, info in infos.items():
        shape = info.tensor_shape
        is_known = info.HasField("tensor_shape") and not shape.unknown_rank
        sizes = tuple(dim.size for dim in shape.dim) if is_known else None
        found[name] = OutputType(tensors.numpy_type(info.dtype), sizes)
    return found


def predictions(response: Any, expected: Expected) -> Predictions:
    """The outputs in a `PredictResponse`.

    Raises:
        WrongAnswerError: If it is not what was asked. The message names the output, and the row of
            a number that is none.
    """
    spec = response.model_spec
    if spec.name and spec.name != expected.model:
        raise WrongAnswerError(f"model {shown(spec.name)} answers for {expected.model!r}")
    if not spec.HasField("version"):
        raise WrongAnswerError("it does not tell the model's version")
    version = spec.version.value
    if expected.version not in (None, version):
        raise WrongAnswerError(f"version {version} answers for version {expected.version}")
    if set(response.outputs) != set(expected.outputs):
        names = shown(sorted(response.outputs))
        raise WrongAnswerError(f"its outputs are {names}, expected {sorted(expected.outputs)}")
    found = {}
    for name, kind in expected.outputs.items():
        found[name] = _array(name, response.outputs[name], kind, expected)
    return Predictions(found, version)


def _message(kind: Any, content: bytes, which: str) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise WrongAnswerError(f"{len(content)} bytes are no message {which}") from None


def _array(name: str, proto: Any, kind: OutputType, expected: Expected) -> np.ndarray:
    try:
        array = tensors.decode(proto)
    except (OverflowError, ValueError) as error:
        raise WrongAnswerError(f"output {name!r}: {error}") from None
    if not _fits(array, kind, expected.rows):
        received = f"{array.dtype} {list(array.shape)}"
        wanted = f"{kind.dtype or 'any type'} {_shape(kind, expected.rows)}"
        raise WrongAnswerError(f"output {name!r} is {received}, expected {wanted}")
    if expected.are_finite and array.dtype.kind == "f":
        is_finite = np.isfinite(array)
        if not is_finite.all():
            row = int(np.argwhere(~is_finite)[0][0])
            raise WrongAnswerError(f"output {name!r}, row {row + 1}: is NaN or infinite")
    return array


def _fits(array: np.ndarray, kind: OutputType, rows: int) -> bool:
    """Whether an output is of its type, and has a row for each row that was sent."""
    if kind.dtype is not None and array.dtype != kind.dtype:
        return False
    if array.ndim == 0 or len(array) != rows:
        return False
    if kind.sizes is None:
        return True
    pairs = zip(array.shape[1:], kind.sizes[1:], strict=False)
    return array.ndim == len(kind.sizes) and all(size in (found, -1) for found, size in pairs)


def _shape(kind: OutputType, rows: int) -> str:
    """The shape that an output must have, "?" for any size."""
    if kind.sizes is None:
        return f"[{rows}, ...]"
    sizes = ["?" if size < 0 else str(size) for size in kind.sizes[1:]]
    return f"[{', '.join([str(rows), *sizes])}]"
