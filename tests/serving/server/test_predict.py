"""What a signature's defaults fill in, and the runtime's own words."""

from __future__ import annotations

import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow_serving.apis import predict_pb2

from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.predict import predict
from tafe_tf.serving.server.versions import State
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError


@pytest.fixture(scope="module")
def models(
    exports: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedModels]:
    """ "numbers" with a default for the input "item": the value 7 for each of two rows."""
    path = tmp_path_factory.mktemp("defaults") / "1"
    shutil.copytree(exports["numbers"], path)
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def[DEFAULT_SIGNATURE]
    signature.defaults["item"].CopyFrom(tf.make_tensor_proto(np.array([7, 7])))
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    served = ServedModels()
    (version,) = served.add("numbers", {1: path}).values()
    version.session = SessionModel(path)
    served.set_state(version, State.AVAILABLE)
    yield served
    version.session.close()


def ask(models: ServedModels, **columns: Any) -> np.ndarray:
    """The first output for some columns."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "numbers"
    for name, values in columns.items():
        tensors.encode(np.array(values), request.inputs[name])
    return tensors.decode(predict(models, request).outputs["ctr"])


def test_an_input_that_is_left_out_takes_its_default(models: ServedModels) -> None:
    users = [3, 4]
    np.testing.assert_array_equal(ask(models, user=users), ask(models, user=users, item=[7, 7]))
    assert not np.array_equal(ask(models, user=users), ask(models, user=users, item=[8, 9]))


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (
            {"item": [1, 2]},
            "Signature input alias: user(feed name: serving_default_user:0) not found in request "
            "and no default value provided. Inputs expected to be in the request {item}, or "
            "default input alias set: item",
        ),
        (
            {"user": [1, 2], "other": [1, 2]},
            "Inputs contains invalid name. Used request inputs: user, request input: other,user",
        ),
        (
            {"user": [1], "item": [1], "other": [1]},
            "input size does not match signature: 3!=2 len({item,other,user}) != len({item,user}). "
            "Sent extra: {other}. Missing but required: {}.",
        ),
    ],
)
def test_defaults_do_not_stand_for_everything(
    models: ServedModels, columns: dict[str, list[int]], text: str
) -> None:
    with pytest.raises(ServingError, match=re.escape(text)):
        ask(models, **columns)


def test_a_wrong_type_has_the_words_of_a_session(
    models: ServedModels, exports: dict[str, pathlib.Path]
) -> None:
    """Compared with what a session says that is asked as TensorFlow Serving asks it."""
    model = SessionModel(exports["numbers"])
    signature = model.signatures[DEFAULT_SIGNATURE]
    for wrong in ({"user": ["a", "b"]}, {"item": np.array([1, 2], np.float32)}):
        columns = {"user": np.array([1, 2]), "item": np.array([1, 2]), **wrong}
        feeds = {}
        for name, values in columns.items():
            tensor = model.graph.get_tensor_by_name(signature.inputs[name].name)
            array = np.asarray(values)
            feeds[tensor._as_tf_output()] = (
                array.astype(object) if array.dtype.kind == "U" else array
            )
        output = model.graph.get_tensor_by_name(signature.outputs["ctr"].name)
        with pytest.raises(tf.errors.InvalidArgumentError) as expected:
            pywrap_tf_session.TF_SessionRun_wrapper(
                model._session._session, None, feeds, [output._as_tf_output()], [], None
            )
        assert "Expects arg[" in expected.value.message
        with pytest.raises(ServingError, match="INVALID_ARGUMENT") as found:
            ask(models, **columns)
        assert found.value.message.startswith(expected.value.message)
    model.close()


def test_bytes_that_are_no_text_come_back_as_invalid(models: ServedModels) -> None:
    """The runtime quotes them in its error, which Python cannot read as text."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "numbers"
    request.model_spec.signature_name = "examples"
    hostile = np.array([b"\xff\xfe\x08\x12no example"], object)
    tensors.encode(hostile, request.inputs["examples"])
    with pytest.raises(ServingError, match=r"INVALID_ARGUMENT: .*parse"):
        predict(models, request)


@pytest.mark.parametrize("rank", [0, 2, 8, 33, 300])
def test_an_input_of_another_rank_is_refused(models: ServedModels, rank: int) -> None:
    """The runtime gives it answers that fit no row, and ends the process beyond 32 dimensions."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "numbers"
    for name in ("user", "item"):
        proto = request.inputs[name]
        proto.dtype = tf.int64.as_datatype_enum
        proto.int64_val.append(1)
        for _ in range(rank):
            proto.tensor_shape.dim.add().size = 1
    with pytest.raises(ServingError, match="INVALID_ARGUMENT") as found:
        predict(models, request)
    assert re.match(
        r"input \w+ must have shape \[\?\]|tensor parsing error: \w+: ", found.value.message
    )
