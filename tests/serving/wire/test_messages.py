"""Our messages against TensorFlow Serving's own: the same fields, and the same bytes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    logging_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from tafe_tf.serving.wire import messages, proto_file

# Our class by name -> TensorFlow's message.
THEIRS = {
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "TensorShapeProto": tensor_shape_pb2.TensorShapeProto,
    "TensorProto": tensor_pb2.TensorProto,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "LogMetadata": logging_pb2.LogMetadata,
    "PredictLog": prediction_log_pb2.PredictLog,
    "PredictionLog": prediction_log_pb2.PredictionLog,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "Status": model_management_pb2.ReloadConfigResponse.DESCRIPTOR.fields_by_name[
        "status"
    ].message_type,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "ReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
    "ReloadConfigResponse": model_management_pb2.ReloadConfigResponse,
    "Int64Value": model_pb2.ModelSpec.DESCRIPTOR.fields_by_name["version"].message_type,
    "Any": get_model_metadata_pb2.GetModelMetadataResponse.MetadataEntry.DESCRIPTOR.fields_by_name[
        "value"
    ].message_type,
}
# Each of these is drawn at random; the messages inside come with them.
DRAWN = (
    "PredictRequest",
    "PredictResponse",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "PredictionLog",
    "SignatureDefMap",
)
TEXTS = ("", "a", "user id", "Köln", "\u0000", "🙂" * 40)
WHOLE = (0, 1, -1, 2**31 - 1, -(2**31))
SINGLE = (0.0, 1.5, -0.0, float("inf"), float("nan"))


def ours(name: str) -> Any:
    """Our class of a name, for any message of the file."""
    return messages._message(name)


def descriptor(name: str) -> Any:
    """TensorFlow's descriptor for one of our messages."""
    return getattr(THEIRS[name], "DESCRIPTOR", THEIRS[name])


def test_every_message_of_the_file_is_compared() -> None:
    assert {message.name for message in messages._FILE.message_type} == set(THEIRS)


@pytest.mark.parametrize("name", THEIRS)
def test_fields_are_those_of_tensorflow(name: str) -> None:
    for field in ours(name).DESCRIPTOR.fields:
        (theirs,) = [f for f in descriptor(name).fields if f.number == field.number]
        enum_as_number = (theirs.TYPE_ENUM, field.TYPE_INT32)  # of one form on the wire
        assert theirs.type == field.type or (theirs.type, field.type) == enum_as_number
        assert theirs.name == field.name and theirs.label == field.label
        assert theirs.is_packed == field.is_packed
        if field.enum_type is not None:
            known = {value.name: value.number for value in theirs.enum_type.values}
            assert {value.name: value.number for value in field.enum_type.values}.items() <= (
                known.items()
            )


def test_one_choice_of_a_version_clears_the_other() -> None:
    spec = ours("ModelSpec")(version_label="stable")
    spec.version.value = 3
    assert not spec.version_label
    theirs = model_pb2.ModelSpec.FromString(spec.SerializeToString())
    assert theirs.WhichOneof("version_choice") == "version"


def value(field: Any, chance: random.Random) -> Any:
    """A value for a field that holds no message."""
    if field.type == field.TYPE_STRING:
        return chance.choice(TEXTS)
    if field.type == field.TYPE_BYTES:
        return chance.randbytes(chance.randrange(6))
    if field.type == field.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return chance.choice(SINGLE)
    if field.type == field.TYPE_ENUM:
        return chance.choice([known.number for known in field.enum_type.values])
    number = chance.choice(WHOLE)
    return abs(number) if field.type in (field.TYPE_UINT32, field.TYPE_UINT64) else number


def fill(message: Any, chance: random.Random) -> None:
    """Fills a message and those inside it at random."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() < 0.4:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for _ in range(chance.randrange(3)):
                fill(getattr(message, field.name)[chance.choice(TEXTS)], chance)
        elif field.message_type is not None and field.label == field.LABEL_REPEATED:
            for _ in range(chance.randrange(3)):
                fill(getattr(message, field.name).add(), chance)
        elif field.message_type is not None:
            inside = getattr(message, field.name)
            inside.SetInParent()
            fill(inside, chance)
        elif field.label == field.LABEL_REPEATED:
            values = [value(field, chance) for _ in range(chance.randrange(4))]
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, value(field, chance))


@pytest.mark.parametrize("name", DRAWN)
def test_both_write_and_read_the_same_bytes(name: str) -> None:
    chance = random.Random(name)
    mine = ours(name)
    for _ in range(200):
        message = mine()
        fill(message, chance)
        written = message.SerializeToString(deterministic=True)
        theirs = THEIRS[name].FromString(written)
        again = theirs.SerializeToString(deterministic=True)
        assert again == written  # TensorFlow has read every field, and writes the same
        assert mine.FromString(again).SerializeToString(deterministic=True) == written


def test_what_tensorflow_alone_knows_survives() -> None:
    chance = random.Random(18)
    for _ in range(200):
        theirs = meta_graph_pb2.SignatureDef()
        theirs.inputs["x"].coo_sparse.values_tensor_name = chance.choice(TEXTS)
        theirs.inputs["x"].dtype = types_pb2.DT_BFLOAT16
        theirs.method_name = chance.choice(TEXTS)
        mine = messages.SignatureDef.FromString(theirs.SerializeToString())
        assert mine.inputs["x"].dtype == types_pb2.DT_BFLOAT16
        again = meta_graph_pb2.SignatureDef.FromString(mine.SerializeToString())
        assert again == theirs


def test_the_methods_have_the_paths_that_tensorflow_serving_calls() -> None:
    paths = {}

    class Channel:
        def unary_unary(self, path: str, *_: Any, **__: Any) -> None:
            paths[path.rpartition("/")[2]] = path

    prediction_service_pb2_grpc.PredictionServiceStub(Channel())
    model_service_pb2_grpc.ModelServiceStub(Channel())
    assert {name: method.path for name, method in messages.METHODS.items()}.items() <= paths.items()


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("  int64 a = 1", 2),
        ("  optional int64 a = 1;", 2),
        ("  message B {", 2),
        ("  rpc A(B) returns (C);", 2),
        ("  A = 0;", 2),
    ],
)
def test_a_line_that_the_reader_does_not_know_is_an_error(line: str, number: int) -> None:
    with pytest.raises(ValueError, match=rf"x\.proto, line {number}: no statement of its place"):
        proto_file.read(f"message A {{\n{line}\n}}", "x.proto")
