"""What a server of an exported model must do over gRPC; `serving.conformance` runs all of it."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from tafe_tf.serving.client.conversation import Predictions
from tafe_tf.serving.conformance.target import Failure, Target, close, must

SERVICE = "/tensorflow.serving.PredictionService/Predict"
_NOBODY = 1 << 40  # a version that no server has

Check = Callable[[Target], None]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    """Adds a function to the checks."""
    CHECKS.append(function)
    return function


@check
def answers_probabilities(target: Target) -> None:
    """One row and many, each output a probability a row."""
    for count in (1, 7, 1000):
        for name, values in target.client.predict(target.rows(count)).items():
            must(values.shape == (count,), f"{count} rows: output {name} has shape {values.shape}")
            must(bool(np.all((values >= 0) & (values <= 1))), f"output {name} is no probability")


@check
def answers_what_the_export_does(target: Target) -> None:
    """Known, unseen, missing and extreme values, if --export was given."""
    if target.expected is not None:
        rows, expected = target.expected
        close(target.client.predict(rows), expected)


@check
def answers_pieces_as_the_whole(target: Target) -> None:
    rows = target.rows(12)
    parts = [target.client.predict({n: x[i : i + 5] for n, x in rows.items()}) for i in (0, 5, 10)]
    close({n: np.concatenate([p[n] for p in parts]) for n in parts[0]}, target.client.predict(rows))


@check
def says_who_answered(target: Target) -> None:
    spec = target.call("Predict", target.request(target.rows(1))).model_spec
    found = (spec.name, spec.signature_name, spec.version.value > 0)
    must(found == (target.model, "serving_default", True), f"the answer's model_spec is {found}")
    again = target.call("Predict", target.request(target.rows(1), version=spec.version.value))
    must(
        again.model_spec.version.value == spec.version.value,
        "asked by number, another version answered",
    )


@check
def answers_every_signature(target: Target) -> None:
    for name, signature in target.signatures.items():
        outputs = target.client.predict(target.rows(1, name), signature=name)
        must(set(outputs) == set(signature.outputs), f"{name} answered {sorted(outputs)}")


@check
def filters_outputs(target: Target) -> None:
    wanted = sorted(target.signatures["serving_default"].outputs)[0]
    must(
        set(target.client.predict(target.rows(2), outputs=[wanted])) == {wanted},
        "output_filter was not heeded",
    )


@check
def answers_no_rows_with_no_rows(target: Target) -> None:
    must(
        all(len(x) == 0 for x in target.client.predict(target.rows(0)).values()),
        "an empty batch got rows",
    )


@check
def takes_nan_and_infinities(target: Target) -> None:
    rows = target.rows(3)
    extreme = np.array([np.nan, np.inf, -np.inf], np.float32)
    for name, values in rows.items():
        if values.dtype.kind == "f":
            rows[name] = np.broadcast_to(extreme.reshape(3, *[1] * (values.ndim - 1)), values.shape)
    outputs = target.client.predict(rows)
    must(
        all(bool(np.all((x >= 0) & (x <= 1))) for x in outputs.values()),
        "an output is no probability",
    )


@check
def refuses_an_unknown_model(target: Target) -> None:
    rows = target.rows(1)
    target.refuses("INVALID_ARGUMENT", "Missing ModelSpec", predict_pb2.PredictRequest())
    target.refuses(
        "INVALID_ARGUMENT", "ModelSpec has no name specified", target.request(rows, name="")
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


@check
def refuses_wrong_inputs(target: Target) -> None:
    rows, first = target.rows(2), sorted(target.inputs)[0]
    fewer = {name: values for name, values in rows.items() if name != first}
    target.refuses(
        "INVALID_ARGUMENT", rf"input size does not match signature: .*Missing but required: {{{first}}}\.",
        target.request(fewer),
    )  # fmt: skip
    more = {**rows, "no_input": rows[first]}
    target.refuses(
        "INVALID_ARGUMENT",
        r"input size does not match signature: .*Sent extra: {no_input}\.",
        target.request(more),
    )
    target.refuses("INVALID_ARGUMENT", first, target.request({**fewer, "no_input": rows[first]}))


@check
def refuses_wrong_outputs(target: Target) -> None:
    request = target.request(target.rows(1))
    request.output_filter.append("no_output")
    target.refuses(
        "INVALID_ARGUMENT", "output tensor alias not found in signature: no_output", request
    )
    known = sorted(target.signatures["serving_default"].outputs)[0]
    request.output_filter[:] = [known, known]
    target.refuses("INVALID_ARGUMENT", f"duplicate output tensor alias: {known}", request)


@check
def refuses_wrong_types_and_shapes(target: Target) -> None:
    rows = target.rows(4)
    for name, values in rows.items():
        other = (
            np.zeros(values.shape, np.float64)
            if values.dtype == object
            else np.full(values.shape, b"x", object)
        )
        for wrong in (other, values[..., None], values[:3] if len(rows) > 1 else values[0]):
            target.refuses("INVALID_ARGUMENT", ".", target.request({**rows, name: wrong}))
        request = target.request(rows)
        request.inputs[name].tensor_shape.dim[0].size = 5
        request.inputs[name].tensor_content = b"123"
        target.refuses("INVALID_ARGUMENT", f"tensor parsing error: {name}", request)
    target.lives()


@check
def survives_bytes_that_are_no_request(target: Target) -> None:
    raw = target.channel.unary_unary(SERVICE)
    rng = np.random.default_rng(0)
    for size in (1, 10, 1000, 100_000):
        try:
            raw(rng.bytes(size), timeout=target.timeout)
        except grpc.RpcError as error:
            must(
                error.code() != grpc.StatusCode.DEADLINE_EXCEEDED,
                f"{size} random bytes got no answer in time",
            )
        else:
            raise Failure(f"{size} random bytes got an answer")
    target.lives()


@check
def survives_100_megabytes(target: Target) -> None:
    """As an input that no signature has, so that no server is made to score millions of rows."""
    rows = {**target.rows(1), "no_input": np.zeros(25_000_000, np.float32)}
    target.refuses("INVALID_ARGUMENT|RESOURCE_EXHAUSTED", ".", target.request(rows))
    target.lives()


@check
def answers_many_at_a_time(target: Target) -> None:
    rows = target.rows(5)
    expected = target.client.predict(rows)

    def ask(_: int) -> Predictions:
        return target.client.predict(rows)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for outputs in pool.map(ask, range(80)):
            close(outputs, expected)


@check
def tells_metadata(target: Target) -> None:
    must(all(info.dtype for info in target.inputs.values()), "an input has no type")
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    target.refuses("INVALID_ARGUMENT", "Missing ModelSpec", request, "GetModelMetadata")
    request.model_spec.name = target.model
    target.refuses(
        "INVALID_ARGUMENT", "must specify at least one metadata_field", request, "GetModelMetadata"
    )
    request.metadata_field.append("no_field")
    target.refuses(
        "INVALID_ARGUMENT", "Metadata field no_field is not supported", request, "GetModelMetadata"
    )


@check
def tells_status(target: Target) -> None:
    must("AVAILABLE" in target.client.status().values(), "no version is AVAILABLE")
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "no_model"
    target.refuses(
        "NOT_FOUND", "Could not find any versions of model no_model", request, "GetModelStatus"
    )
    request.model_spec.name, request.model_spec.version.value = target.model, _NOBODY
    target.refuses(
        "NOT_FOUND", f"Could not find version {_NOBODY} of model", request, "GetModelStatus"
    )


@check
def refuses_a_wrong_configuration(target: Target) -> None:
    """Both are refused before anything changes."""
    request = model_management_pb2.ReloadConfigRequest()
    target.refuses(
        "INVALID_ARGUMENT", "Only ModelConfigList is", request, "HandleReloadConfigRequest"
    )
    for _ in range(2):
        request.config.model_config_list.config.add(
            name="twice", base_path="/twice", model_platform="tensorflow"
        )
    target.refuses(
        "INVALID_ARGUMENT", "Illegal to list model twice", request, "HandleReloadConfigRequest"
    )
    target.lives()


def fuzz(target: Target, count: int, seed: int = 0) -> None:
    """Sends `count` damaged requests; each must be answered in time, and the server must live."""
    raw = target.channel.unary_unary(SERVICE)
    whole = target.request(target.rows(3)).SerializeToString()
    rng = np.random.default_rng(seed)
    for _ in range(count):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 8)):
            damaged[place] = rng.integers(256)
        cut = rng.integers(len(whole)) if rng.random() < 0.2 else len(whole)
        try:
            raw(bytes(damaged[:cut]), timeout=target.timeout)
        except grpc.RpcError as error:
            codes = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
            must(
                error.code() not in codes,
                f"a damaged request got {error.code().name}: {bytes(damaged[:cut])!r}",
            )
    target.lives()
