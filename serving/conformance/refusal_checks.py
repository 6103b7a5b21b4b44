"""What a server of an exported model must refuse over gRPC, in which words, and survive."""

from __future__ import annotations

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from tafe_tf.serving.conformance.target import Check, Failure, Target, must

_NOBODY = 1 << 40  # a version that no server has


def refuses_an_unknown_model(target: Target) -> None:
    """Wrong models, versions, labels and signatures are refused, each in its own words."""
    rows = target.rows(1)
    target.refuses("INVALID_ARGUMENT", "Missing ModelSpec", predict_pb2.PredictRequest())
    target.refuses(
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified",
        target.request(rows, name=""),
    )
    target.refuses(
        "NOT_FOUND",
        r"Servable not found for request: Latest\(no_model\)",
        target.request(rows, name="no_model"),
    )
    target.refuses(
        "NOT_FOUND",
        rf"Servable not found for request: Specific\({target.model}, {_NOBODY}\)",
        target.request(rows, version=_NOBODY),
    )
    target.refuses(
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: no_label",
        target.request(rows, version_label="no_label"),
    )
    target.refuses(
        "FAILED_PRECONDITION",
        'Serving signature key "no_signature" not found.',
        target.request(rows, signature_name="no_signature"),
    )


def refuses_wrong_inputs(target: Target) -> None:
    """An input too few, too many, or with another name is refused by its name."""
    rows = target.rows(2)
    first = sorted(target.inputs)[0]
    fewer = {name: values for name, values in rows.items() if name != first}
    target.refuses(
        "INVALID_ARGUMENT",
        rf"input size does not match signature: .*Missing but required: {{{first}}}\.",
        target.request(fewer),
    )
    more = {**rows, "no_input": rows[first]}
    target.refuses(
        "INVALID_ARGUMENT",
        r"input size does not match signature: .*Sent extra: {no_input}\.",
        target.request(more),
    )
    other = {**fewer, "no_input": rows[first]}
    target.refuses("INVALID_ARGUMENT", first, target.request(other))


def refuses_wrong_outputs(target: Target) -> None:
    """An unknown output, or the same output twice, is refused by its name."""
    request = target.request(target.rows(1))
    request.output_filter.append("no_output")
    target.refuses(
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: no_output",
        request,
    )
    known = sorted(target.signatures["serving_default"].outputs)[0]
    request.output_filter[:] = [known, known]
    target.refuses("INVALID_ARGUMENT", f"duplicate output tensor alias: {known}", request)


def refuses_wrong_types_and_shapes(target: Target) -> None:
    """For each input another type, another rank, other rows and a damaged tensor are refused."""
    rows = target.rows(4)
    for name, values in rows.items():
        other_rank = values[..., None]
        other_rows = values[:3] if len(rows) > 1 else values[0]
        target.refuses(
            "INVALID_ARGUMENT",
            r"Expects arg\[\d+\] to be \w+ but \w+ is provided",
            target.request({**rows, name: _of_another_type(values)}),
        )
        for wrong in (other_rank, other_rows):
            target.refuses("INVALID_ARGUMENT", ".", target.request({**rows, name: wrong}))
        request = target.request(rows)
        request.inputs[name].tensor_shape.dim[0].size = 5
        request.inputs[name].tensor_content = b"123"
        target.refuses("INVALID_ARGUMENT", f"tensor parsing error: {name}", request)
    target.lives()


def _of_another_type(values: np.ndarray) -> np.ndarray:
    if values.dtype == object:
        return np.zeros(values.shape, np.float64)
    return np.full(values.shape, b"x", object)


def tells_metadata(target: Target) -> None:
    """The metadata give every input a type, and a request that names no known field is refused."""
    must(all(info.dtype for info in target.inputs.values()), "an input has no type")
    method = "GetModelMetadata"
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    target.refuses("INVALID_ARGUMENT", "Missing ModelSpec", request, method)
    request.model_spec.name = target.model
    text = "must specify at least one metadata_field"
    target.refuses("INVALID_ARGUMENT", text, request, method)
    request.metadata_field.append("no_field")
    text = "Metadata field no_field is not supported"
    target.refuses("INVALID_ARGUMENT", text, request, method)


def tells_status(target: Target) -> None:
    """A version is AVAILABLE, and the status of an unknown model or version is refused."""
    must("AVAILABLE" in target.client.status().values(), "no version is AVAILABLE")
    method = "GetModelStatus"
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "no_model"
    text = "Could not find any versions of model no_model"
    target.refuses("NOT_FOUND", text, request, method)
    request.model_spec.name = target.model
    request.model_spec.version.value = _NOBODY
    text = f"Could not find version {_NOBODY} of model"
    target.refuses("NOT_FOUND", text, request, method)


def refuses_a_wrong_configuration(target: Target) -> None:
    """A configuration of nothing, of one model twice, or of another platform changes nothing."""
    method = "HandleReloadConfigRequest"
    request = model_management_pb2.ReloadConfigRequest()
    target.refuses("INVALID_ARGUMENT", "Only ModelConfigList is", request, method)
    models = request.config.model_config_list.config
    for _ in range(2):
        models.add(name="twice", base_path="/twice", model_platform="tensorflow")
    target.refuses("INVALID_ARGUMENT", "Illegal to list model twice", request, method)
    del models[:]
    models.add(name=target.model, base_path="/other", model_platform="other")
    text = f"Illegal to change a model's platform. For model {target.model} platform was tensorflow"
    target.refuses("INVALID_ARGUMENT", text, request, method)
    target.lives()


def survives_bytes_that_are_no_request(target: Target) -> None:
    """Random bytes get an error in time."""
    rng = np.random.default_rng(0)
    for size in (1, 10, 1000, 100_000):
        try:
            target.send_bytes(rng.bytes(size))
        except grpc.RpcError as error:
            in_time = error.code() != grpc.StatusCode.DEADLINE_EXCEEDED
            must(in_time, f"{size} random bytes got no answer in time")
        else:
            raise Failure(f"{size} random bytes got an answer")
    target.lives()


def survives_100_megabytes(target: Target) -> None:
    """100 MB are refused; as an unknown input, so that no server has to score millions of rows."""
    rows = {**target.rows(1), "no_input": np.zeros(25_000_000, np.float32)}
    target.refuses("INVALID_ARGUMENT|RESOURCE_EXHAUSTED", ".", target.request(rows))
    target.lives()


def survives_damage(target: Target, count: int, seed: int = 0) -> None:
    """Requests with random damage are answered in time, and the server lives on.

    Args:
        target: The server.
        count: The number of damaged requests to send.
        seed: Of the damage.
    """
    whole = target.request(target.rows(3)).SerializeToString()
    rng = np.random.default_rng(seed)
    dead = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
    for _ in range(count):
        damaged = _damage(whole, rng)
        try:
            target.send_bytes(damaged)
        except grpc.RpcError as error:
            code = error.code()
            must(code not in dead, f"a damaged request got {code.name}: {damaged!r}")
    target.lives()


def _damage(whole: bytes, rng: np.random.Generator) -> bytes:
    """A request with up to seven other bytes, and in one of five cases without its end."""
    damaged = bytearray(whole)
    for place in rng.integers(len(whole), size=rng.integers(1, 8)):
        damaged[place] = rng.integers(256)
    stop = rng.integers(len(whole)) if rng.random() < 0.2 else len(whole)
    return bytes(damaged[:stop])


CHECKS: tuple[Check, ...] = (
    refuses_an_unknown_model,
    refuses_wrong_inputs,
    refuses_wrong_outputs,
    refuses_wrong_types_and_shapes,
    tells_metadata,
    tells_status,
    refuses_a_wrong_configuration,
    survives_bytes_that_are_no_request,
    survives_100_megabytes,
)
