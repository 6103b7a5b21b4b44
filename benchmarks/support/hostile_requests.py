"""Requests that no caller should send, drawn at random: for gRPC as bytes, for REST as raw HTTP."""

from __future__ import annotations

import json
import random
from typing import Any

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from tafe_tf.serving.conformance.framing import ambiguous

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
PREDICT = _PREDICTION + "Predict"
_TEXTS = (
    "",
    "x",
    "\x00",
    "\x7f",
    "é",
    "日本",
    "😀" * 300,
    "a" * 5000,
    ".." + "/" + "..",
    "%00",
    "NaN",
    "'\"",
)
_NUMBERS = (0, -1, 7.0, 1.5, 2**31, 2**63, -(2**63), 10**400, 1e308, float("nan"), float("inf"))
_HALF_PAIR = "\ud800"

Call = tuple[str, bytes]  # the method, and the request


def grpc_call(rng: random.Random, request: predict_pb2.PredictRequest) -> Call:
    """A hostile gRPC call.

    Args:
        rng: What draws it.
        request: A Predict request that is answered, from which others are made.
    """
    kinds = (_damaged, _random_bytes, _random_examples, _odd_tensor, _odd_spec, _other_method)
    return rng.choice(kinds)(rng, request)


def _damaged(rng: random.Random, request: predict_pb2.PredictRequest) -> Call:
    """Some other bytes, and sometimes without its end."""
    damaged = bytearray(request.SerializeToString())
    for _ in range(rng.randint(1, 8)):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    if rng.random() < 0.2:
        del damaged[rng.randrange(len(damaged)) :]
    return PREDICT, bytes(damaged)


def _random_bytes(rng: random.Random, request: predict_pb2.PredictRequest) -> Call:
    methods = (PREDICT, _PREDICTION + "GetModelMetadata", _MODEL + "GetModelStatus")
    return rng.choice(methods), rng.randbytes(rng.choice((0, 1, 10, 1000)))


def _random_examples(rng: random.Random, request: predict_pb2.PredictRequest) -> Call:
    """Bytes that are no tf.train.Example."""
    hostile = predict_pb2.PredictRequest(model_spec=request.model_spec)
    hostile.model_spec.signature_name = "examples"
    tensor = hostile.inputs["examples"]
    tensor.dtype = 7  # DT_STRING
    count = rng.randint(1, 4)
    tensor.tensor_shape.dim.add(size=count)
    for _ in range(count):
        tensor.string_val.append(rng.randbytes(rng.randint(0, 60)))
    return PREDICT, hostile.SerializeToString()


def _odd_tensor(rng: random.Random, request: predict_pb2.PredictRequest) -> Call:
    """An input with another type, shape or content."""
    hostile = predict_pb2.PredictRequest()
    hostile.CopyFrom(request)
    tensor = hostile.inputs[rng.choice(sorted(request.inputs))]
    choice = rng.randrange(5)
    if choice == 0:
        tensor.dtype = rng.choice((0, 1, 2, 3, 7, 9, 10, 14, 19, 20, 21, 23, 101, 107, 999))
    elif choice == 1:
        del tensor.tensor_shape.dim[:]
        for _ in range(rng.choice((0, 1, 2, 64, 65, 254, 255, 300))):
            tensor.tensor_shape.dim.add(size=rng.choice((0, 1, 2, -1, 2**31, 2**62)))
    elif choice == 2:
        tensor.tensor_content = rng.randbytes(rng.randint(0, 100))
    elif choice == 3:
        tensor.tensor_shape.unknown_rank = True
    else:
        tensor.string_val.append(rng.randbytes(5))
        tensor.int64_val.append(rng.getrandbits(63))
    return PREDICT, hostile.SerializeToString()


def _odd_spec(rng: random.Random, request: predict_pb2.PredictRequest) -> Call:
    """Another model, version, label, signature or output."""
    hostile = predict_pb2.PredictRequest()
    hostile.CopyFrom(request)
    choice = rng.randrange(5)
    if choice == 0:
        hostile.model_spec.name = rng.choice(_TEXTS)
    elif choice == 1:
        hostile.model_spec.version.value = rng.choice((-(2**63), -1, 0, 2**63 - 1))
    elif choice == 2:
        hostile.model_spec.version_label = rng.choice(_TEXTS)
    elif choice == 3:
        hostile.model_spec.signature_name = rng.choice((*_TEXTS, "rank", "__saved_model_init_op"))
    else:
        hostile.output_filter.extend(rng.choices((*_TEXTS, "ctr"), k=rng.randint(1, 50)))
    return PREDICT, hostile.SerializeToString()


def _other_method(rng: random.Random, request: predict_pb2.PredictRequest) -> Call:
    """A method of other models, or a wrong question about this one; none that changes anything."""
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=request.model_spec)
    metadata.metadata_field.append(rng.choice((*_TEXTS, "signature_def")))
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = rng.choice(_TEXTS)
    reload = model_management_pb2.ReloadConfigRequest()
    for _ in range(2):  # twice the same model, which is refused before anything else
        path = rng.choice(_TEXTS)
        reload.config.model_config_list.config.add(name="twice", base_path="/" + path * 9)
    calls = (
        (_PREDICTION + "GetModelMetadata", metadata.SerializeToString()),
        (_MODEL + "GetModelStatus", status.SerializeToString()),
        (_MODEL + "HandleReloadConfigRequest", reload.SerializeToString()),
        (_PREDICTION + rng.choice(("Classify", "Regress", "MultiInference", "None")), b""),
        ("/no.Service/Method", b"x"),
    )
    return rng.choice(calls)


def rest_call(rng: random.Random, model: str, rows: dict[str, list[Any]]) -> tuple[bytes, bool]:
    """A hostile request over REST.

    Args:
        rng: What draws it.
        model: The model's name.
        rows: Columns that are answered, from which others are made.

    Returns:
        What is written to the connection, and whether it is sure to be a whole request.
    """
    kinds = (_odd_document, _odd_document, _odd_path, _odd_framing, _no_json, _noise)
    kind = rng.choice(kinds)
    return kind(rng, f"/v1/models/{model}", rows), kind is not _noise


def _post(path: str, body: bytes, extra: bytes = b"") -> bytes:
    length = str(len(body)).encode()
    target = path.encode("utf-8", "replace")
    head = b"POST " + target + b" HTTP/1.1\r\nHost: x\r\n" + extra
    return head + b"Content-Length: " + length + b"\r\n\r\n" + body


def _odd_value(rng: random.Random) -> Any:
    """A value that no column takes, or that one takes in another place."""
    choice = rng.randrange(8)
    if choice == 0:
        value: Any = "deep"
        for _ in range(rng.choice((1, 2, 33, 65, 300, 900))):
            value = [value]
        return value
    odd: list[Any] = [*_TEXTS, *_NUMBERS, _HALF_PAIR, None, True, [], {}, [[]], {"b64": "?"}]
    if choice == 1:
        return [rng.choice(odd) for _ in range(rng.randint(0, 5))]
    if choice == 2:
        return {rng.choice((*_TEXTS, _HALF_PAIR)): rng.choice(odd)}
    return rng.choice(odd)


def _odd_document(rng: random.Random, path: str, rows: dict[str, list[Any]]) -> bytes:
    """JSON whose parts are of other kinds than they should be."""
    columns = {name: list(values) for name, values in rows.items()}
    name = rng.choice(sorted(columns))
    document: dict[str, Any] = {"inputs": columns}
    choice = rng.randrange(6)
    if choice == 0:
        columns[name][0] = _odd_value(rng)
    elif choice == 1:
        document["inputs"] = _odd_value(rng)
    elif choice == 2:
        document["signature_name"] = _odd_value(rng)
    elif choice == 3:
        by_row = zip(*columns.values(), strict=True)
        instances = [dict(zip(columns, row, strict=True)) for row in by_row]
        instances[0][rng.choice((name, "no_input", _HALF_PAIR))] = _odd_value(rng)
        document = {"instances": instances}
    elif choice == 4:
        document = {"instances": _odd_value(rng)}
    else:
        columns[rng.choice((*_TEXTS, _HALF_PAIR))] = [_odd_value(rng)]
        columns.pop(name)
    return _post(f"{path}:predict", json.dumps(document).encode())


def _odd_path(rng: random.Random, path: str, rows: dict[str, list[Any]]) -> bytes:
    digits = "9" * rng.choice((1, 18, 19, 20, 5000))
    odd = (
        f"{path}/versions/{digits}",
        f"{path}/versions/{digits}:predict",
        f"{path}/versions/1{rng.choice(_TEXTS)}:predict",
        f"{path}/labels/%ff%00:predict",
        f"{path}:{rng.choice(('classify', 'regress', 'explain', ''))}",
        f"//[{path}",
        f"http://[::1{path}",
        "/v1/models/" + rng.choice(_TEXTS) + ":predict",
        "*",
        path + "?" + "q" * rng.choice((1, 20_000)),
    )
    request = _post(rng.choice(odd), json.dumps({"inputs": rows}).encode())
    methods = (b"POST", b"GET", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"post", b"CONNECT")
    return rng.choice(methods) + request[len(b"POST") :]


def _no_json(rng: random.Random, path: str, rows: dict[str, list[Any]]) -> bytes:
    whole = json.dumps({"inputs": rows}).encode()
    cut = rng.randrange(len(whole))
    bodies = (
        whole[:cut],
        whole[:cut] + rng.randbytes(3) + whole[cut:],
        b"[" * 100_000,
        b'{"inputs": ' * 5000,
        b"[],".join([b'{"instances": [', *[b""] * 20_000, b"[]]}"]),
        b'{"inputs": "\xed\xa0\x80"}',
        "{}".encode("utf-16"),
        b"1" * 5000,
        b'{"inputs": [' + b"1" * 5000 + b"]}",
        b"",
    )
    return _post(f"{path}:predict", rng.choice(bodies))


def _odd_framing(rng: random.Random, path: str, rows: dict[str, list[Any]]) -> bytes:
    return rng.choice(sorted(ambiguous(f"{path}:predict").values()))


def _noise(rng: random.Random, path: str, rows: dict[str, list[Any]]) -> bytes:
    """A whole request with other bytes anywhere, or nothing but such bytes."""
    whole = bytearray(_post(f"{path}:predict", json.dumps({"inputs": rows}).encode()))
    for _ in range(rng.randint(1, 8)):
        whole[rng.randrange(len(whole))] = rng.randrange(256)
    return bytes(whole) if rng.random() < 0.8 else rng.randbytes(200)
