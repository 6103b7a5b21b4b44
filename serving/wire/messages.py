"""The messages of TensorFlow Serving that a client needs, without TensorFlow.

They are those of `serving.proto`. The classes live in a pool of their own, so that TensorFlow's
messages of the same names may be loaded in the same process.
"""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from google.protobuf import descriptor_pool, message_factory

from tafe_tf.serving.wire import proto_file

PROTO = pathlib.Path(__file__).with_name("serving.proto")

_FILE = proto_file.read(PROTO.read_text(encoding="utf-8"), PROTO.name)
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_FILE)


class Method(NamedTuple):
    """A method of a service.

    Attributes:
        path: Its gRPC path.
        response: The class of its response.
    """

    path: str
    response: Any


def _class_of(full_name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full_name))


def _message(name: str) -> Any:
    return _class_of(f"{_FILE.package}.{name}")


def _methods() -> dict[str, Method]:
    found = {}
    for service in _FILE.service:
        for method in service.method:
            path = f"/{_FILE.package}.{service.name}/{method.name}"
            found[method.name] = Method(path, _class_of(method.output_type.removeprefix(".")))
    return found


METHODS = _methods()  # the method's name -> its path and its response

_NUMBERED = _POOL.FindEnumTypeByName(f"{_FILE.package}.DataType").values_by_name
DATA_TYPES: dict[str, int] = {name: value.number for name, value in _NUMBERED.items()}
_STATES = _POOL.FindEnumTypeByName(f"{_FILE.package}.State").values_by_number
STATES: dict[int, str] = {number: value.name for number, value in _STATES.items()}

GetModelMetadataRequest = _message("GetModelMetadataRequest")
GetModelMetadataResponse = _message("GetModelMetadataResponse")
GetModelStatusRequest = _message("GetModelStatusRequest")
GetModelStatusResponse = _message("GetModelStatusResponse")
LogMetadata = _message("LogMetadata")
ModelSpec = _message("ModelSpec")
PredictionLog = _message("PredictionLog")
PredictRequest = _message("PredictRequest")
PredictResponse = _message("PredictResponse")
SignatureDef = _message("SignatureDef")
SignatureDefMap = _message("SignatureDefMap")
TensorInfo = _message("TensorInfo")
TensorProto = _message("TensorProto")
