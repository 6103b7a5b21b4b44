"""Warm-up requests: which there are, and what damaged ones say."""

from __future__ import annotations

import pathlib
import shutil

import pytest
import small_models
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tafe_tf.export import warmup
from tafe_tf.export.session_model import SessionModel
from tafe_tf.training.run_dir import RunDir


def test_every_signature_is_asked(served: tuple[RunDir, SessionModel]) -> None:
    run, model = served
    requests = list(warmup.read(model.path))
    asked = [request.model_spec.signature_name for request in requests]
    assert sorted(asked) == sorted(list(model.signatures) * len(warmup.SIZES))
    first = requests[asked.index("serving_default")]
    item = tf.make_ndarray(first.inputs["item"])[0]
    item = item.decode() if isinstance(item, bytes) else int(item)
    assert item in small_models.rows(run.schema().name, 600)["item"]  # a real row


def test_a_model_without_requests_has_none(tmp_path: pathlib.Path) -> None:
    assert list(warmup.read(tmp_path)) == []


def test_a_request_that_cannot_be_asked_is_named(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = shutil.copytree(exports["numbers"], tmp_path / "1")
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "nothing"
    other = prediction_log_pb2.PredictionLog()
    other.classify_log.SetInParent()
    served = SessionModel(path)
    for record, error in ((log, "lacks: 'nothing'"), (other, "record 1 is no Predict request")):
        with tf.io.TFRecordWriter(str(path / warmup.FILE)) as writer:
            writer.write(record.SerializeToString())
        with pytest.raises(ValueError, match=error):
            warmup.run(served)
    served.close()
