"""What both doors of the server answer: predictions and metadata, in TensorFlow Serving's words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2, predict_pb2

from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel
from tafe_tf.serving.request_log.records import DESCRIBE
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import failed_precondition, from_number, invalid

# A larger request would take gigabytes. TensorFlow Serving has no such limit, and dies of it.
MAX_ROWS = 1 << 16
METADATA = "signature_def"


def predict(
    models: ServedModels, request: predict_pb2.PredictRequest
) -> predict_pb2.PredictResponse:
    """Answers a Predict request.

    Raises:
        ServingError: With what is wrong with the request.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    with models.use(request.model_spec) as version:
        session = version.session
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if session is None or name not in session.signatures:
            raise failed_precondition(f'Serving signature key "{name}" not found.')
        signature = session.signatures[name]
        feeds = _feeds(signature, request.inputs)
        outputs = _outputs(signature.outputs, request.output_filter)
        values = _run(session, name, feeds, outputs)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = version.model
    response.model_spec.signature_name = name
    response.model_spec.version.value = version.number
    for output, array in zip(outputs, values, strict=True):
        tensors.encode(array, response.outputs[output], as_fields=True)
    log = models.log
    if log is not None and name != DESCRIBE and log.draws():
        log.add(request.SerializeToString(), response.SerializeToString())
    return response


def _run(
    session: SessionModel, name: str, feeds: dict[str, np.ndarray], outputs: list[str]
) -> list[np.ndarray]:
    """Runs a signature; an error of the runtime becomes the caller's."""
    wanted = session.signatures[name].inputs
    try:
        _check_types(session.arguments[name], feeds)
        return session.run(name, feeds, outputs)
    except tf.errors.OpError as error:
        text = f"{error.message}{_explain(wanted, feeds)}"
        raise from_number(error.error_code, text) from None
    except UnicodeDecodeError as error:  # the runtime's text shows bytes of the request
        text = error.object.decode(errors="replace")
        raise invalid(f"{text}{_explain(wanted, feeds)}") from None


def _check_types(
    arguments: Sequence[tuple[str, np.dtype]], feeds: Mapping[str, np.ndarray]
) -> None:
    """Refuses an array of a wrong type as a session does that gets its arrays by name.

    `SessionModel.run` calls the session by a faster way, which has another text.

    Raises:
        tf.errors.InvalidArgumentError: About the first such argument.
    """
    for number, (name, dtype) in enumerate(arguments):
        found = feeds[name].dtype
        if found != dtype:
            text = f"Expects arg[{number}] to be {_shown(dtype)} but {_shown(found)} is provided"
            raise tf.errors.InvalidArgumentError(None, None, text)


def _shown(dtype: np.dtype) -> str:
    """TensorFlow's name of a type, by NumPy's."""
    names = {"object": "string", "float32": "float", "float64": "double"}
    return names.get(dtype.name, dtype.name)


def _feeds(
    signature: meta_graph_pb2.SignatureDef, given: Mapping[str, tensor_pb2.TensorProto]
) -> dict[str, np.ndarray]:
    """The arrays of a request, one for each input of the signature, which may have a default."""
    wanted = signature.inputs
    too_few = len(given) < len(wanted) and not signature.defaults
    if too_few or len(given) > len(wanted):
        extra = set(given) - set(wanted)
        missing = set(wanted) - set(given)
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)} "
            f"len({_names(given)}) != len({_names(wanted)}). "
            f"Sent extra: {_names(extra)}. Missing but required: {_names(missing)}."
        )
    feeds = {}
    for name, info in wanted.items():
        if name in given:
            feeds[name] = _decoded(name, given[name], info)
        elif name in signature.defaults:
            feeds[name] = _decoded(name, signature.defaults[name], info)
        else:
            defaults = ",".join(sorted(signature.defaults))
            raise invalid(
                f"Signature input alias: {name}(feed name: {info.name}) not found in request and "
                "no default value provided. Inputs expected to be in the request "
                f"{_names(given)}, or default input alias set: {defaults}"
            )
    unknown = set(given) - set(wanted)
    if unknown:
        used = ",".join(sorted(set(given) & set(wanted)))
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {used}, "
            f"request input: {','.join(sorted(given))}"
        )
    return feeds


def _decoded(
    name: str, proto: tensor_pb2.TensorProto, info: meta_graph_pb2.TensorInfo
) -> np.ndarray:
    """The array of one input.

    An array of another rank would give an answer that fits no row, or end the process: TensorFlow's
    shapes have at most 254 dimensions, and some of its operations fewer.
    """
    try:
        array = tensors.decode(proto)
    except ValueError as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from None
    rank = len(info.tensor_shape.dim)
    if array.ndim != rank and not info.tensor_shape.unknown_rank:
        shape = ",".join("?" * rank)
        received = ",".join(map(str, array.shape))
        raise invalid(f"input {name} must have shape [{shape}]. Received: [{received}]")
    rows = len(array) if array.ndim else 0
    if rows > MAX_ROWS:
        raise invalid(f"input {name} has {rows} rows; send at most {MAX_ROWS} a request")
    return array


def _explain(wanted: Mapping[str, Any], feeds: Mapping[str, np.ndarray]) -> str:
    """What is odd about a request that the runtime refused; it names operations, not inputs."""
    found = []
    for name, array in sorted(feeds.items()):
        info = wanted[name]
        dtype = tf.dtypes.as_dtype(info.dtype)
        rank = len(info.tensor_shape.dim)
        given = "string" if array.dtype == object else array.dtype.name
        if given != dtype.name or array.ndim != rank:
            shape = ",".join(map(str, array.shape))
            wanted_shape = ",".join("?" * rank)
            found.append(f"{name} is {given} [{shape}], wanted is {dtype.name} [{wanted_shape}]")
    rows = {name: len(array) for name, array in sorted(feeds.items()) if array.ndim}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in rows.items())
        found.append(f"rows differ: {counts}")
    return f" ({'; '.join(found)})" if found else ""


def _outputs(known: Collection[str], wanted: Sequence[str]) -> list[str]:
    """The names of the outputs to compute, all of the signature's if the request names none."""
    for i, name in enumerate(wanted):
        if name not in known:
            raise invalid(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {_names(known)}."
            )
        if name in wanted[:i]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return list(wanted) or sorted(known)


def _names(names: Collection[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def metadata(
    models: ServedModels, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Answers a GetModelMetadata request.

    Raises:
        ServingError: With what is wrong with the request.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != METADATA:
            raise invalid(f"Metadata field {field} is not supported")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    with models.use(request.model_spec) as version:
        definitions = version.session.signature_defs if version.session else {}
        for name, signature in definitions.items():
            signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = version.model
    response.model_spec.version.value = version.number
    response.metadata[METADATA].Pack(signatures)
    return response


def inputs(models: ServedModels, spec: model_pb2.ModelSpec) -> Mapping[str, Any]:
    """The inputs of the signature that a request names: `TensorInfo`s by name.

    Raises:
        ServingError: If there is no such model, version or signature.
    """
    name = spec.signature_name or DEFAULT_SIGNATURE
    with models.use(spec) as version:
        if version.session is None or name not in version.session.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        return dict(version.session.signatures[name].inputs)
