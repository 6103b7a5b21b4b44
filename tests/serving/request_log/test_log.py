"""The request log: what it writes, how its files end, and that nothing it meets ends a call."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
import small_models
import tensorflow as tf
from servers import LocalServer
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tafe_tf.data.record_framing import read_records
from tafe_tf.export import warmup
from tafe_tf.export.session_model import SessionModel
from tafe_tf.insight.drift.job import find_drift
from tafe_tf.serving.client import AsyncClient, Client
from tafe_tf.serving.request_log import RequestLog
from tafe_tf.serving.request_log.files import LogFiles, Rotation


def exchange(size: int = 10) -> tuple[bytes, bytes]:
    """A request and its response, serialized."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "shop"
    request.inputs["item"].CopyFrom(tf.make_tensor_proto(np.arange(size)))
    response = predict_pb2.PredictResponse()
    response.outputs["ctr"].CopyFrom(tf.make_tensor_proto(np.full(size, 0.5, np.float32)))
    return request.SerializeToString(), response.SerializeToString()


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files that are complete."""
    return sorted(folder.glob("*.tfrecord"))


def logs(folder: pathlib.Path) -> list[prediction_log_pb2.PredictionLog]:
    """What stands in all complete files, by TensorFlow Serving's own class."""
    found = []
    for path in files(folder):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            found.append(prediction_log_pb2.PredictionLog.FromString(record))
    return found


def test_a_record_is_tensorflow_servings(tmp_path: pathlib.Path) -> None:
    request, response = exchange(500)  # lengths of several bytes
    before = int(time.time())
    with RequestLog(tmp_path / "made" / "log", sample=1.0) as log:
        log.add(request, response)
    (found,) = logs(tmp_path / "made" / "log")
    assert found.WhichOneof("log_type") == "predict_log"
    assert found.predict_log.request == predict_pb2.PredictRequest.FromString(request)
    assert found.predict_log.response == predict_pb2.PredictResponse.FromString(response)
    assert found.log_metadata.model_spec.name == "shop"
    assert before <= found.log_metadata.timestamp_secs <= time.time()
    assert (log.written, log.dropped, log.failed) == (1, 0, 0)


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (Rotation(most_records=4), [4, 4, 2]),
        (Rotation(most_bytes=1), [1] * 10),
        (Rotation(), [10]),
    ],
)
def test_files_rotate(tmp_path: pathlib.Path, rotation: Rotation, expected: list[int]) -> None:
    with RequestLog(tmp_path, sample=1.0, rotation=rotation) as log:
        for _ in range(10):
            log.add(*exchange())
    assert [len(list(read_records(path))) for path in files(tmp_path)] == expected
    assert len(list(tmp_path.iterdir())) == len(expected)  # no other file


def test_a_file_ends_with_its_time(tmp_path: pathlib.Path) -> None:
    with RequestLog(tmp_path, sample=1.0, rotation=Rotation(most_seconds=0.0)) as log:
        log.add(*exchange())
        deadline = time.monotonic() + 30
        while not files(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_sample_is_drawn_by_its_seed(tmp_path: pathlib.Path) -> None:
    def drawn(seed: int, sample: float) -> list[bool]:
        log = RequestLog(tmp_path, sample=sample, seed=seed)
        return [log.draws() for _ in range(2000)]

    assert drawn(1, 0.1) == drawn(1, 0.1) != drawn(2, 0.1)
    assert abs(sum(drawn(1, 0.1)) - 200) < 5 * np.sqrt(2000 * 0.1 * 0.9)
    assert all(drawn(1, 1.0))


@pytest.mark.parametrize("sample", [0.0, -1.0, 1.5, float("nan")])
def test_a_sample_is_a_share(sample: float) -> None:
    with pytest.raises(ValueError, match=r"`sample` must be above 0 and at most 1. Received: "):
        RequestLog("log", sample=sample)


def test_a_store_is_no_folder() -> None:
    with pytest.raises(
        ValueError, match=r"must be a folder of this machine\. Received: 's3://b/log"
    ):
        Client("localhost:1", log="s3://b/log")


def test_what_does_not_fit_is_dropped_and_counted(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = sum(map(len, exchange()))
    log = RequestLog(tmp_path, sample=1.0, most_queued=size - 1)
    for _ in range(5):
        log.add(*exchange())
    log.close()
    assert (log.dropped, log.written) == (5, 0)
    assert capsys.readouterr().err.count("the request log drops calls") == 1


def test_closing_a_log_on_a_slow_disk_leaves_out_what_waits(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_writing, goes_on = threading.Event(), threading.Event()
    write = LogFiles.write

    def slow(self: LogFiles, record: bytes) -> None:
        is_writing.set()
        goes_on.wait(60)
        write(self, record)

    monkeypatch.setattr(LogFiles, "write", slow)
    monkeypatch.setattr("tafe_tf.serving.request_log.log._SECONDS_TO_CLOSE", 0.0)
    monkeypatch.setattr("tafe_tf.serving.request_log.log._SECONDS_TO_END", 60.0)
    log = RequestLog(tmp_path, sample=1.0)
    for _ in range(5):
        log.add(*exchange())
    assert is_writing.wait(60)
    late = threading.Thread(target=log.close)
    late.start()
    while not log._is_late:
        time.sleep(0.01)
    goes_on.set()
    late.join()
    assert (log.written, log.dropped, log.failed) == (1, 4, 0)
    assert len(logs(tmp_path)) == 1 and not list(tmp_path.glob(".*"))
    assert "the request log drops 4 calls: the disk is too slow" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_loses_no_call(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    with RequestLog(tmp_path / "file" / "log", sample=1.0) as log:
        for _ in range(5):
            log.add(*exchange())
    assert (log.failed, log.written) == (5, 0)
    said = capsys.readouterr().err
    assert said.count("the request log does not take calls: Not a directory") == 1


def test_a_full_disk_leaves_whole_records(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes a few bytes of the third record only, and is emptied then."""

    class FullOnce(io.FileIO):
        writes = 0

        def write(self, content: memoryview) -> int:  # type: ignore[override]
            FullOnce.writes += 1
            if FullOnce.writes == 3:
                return super().write(content[:7])
            if FullOnce.writes == 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    monkeypatch.setattr("tafe_tf.serving.request_log.files.io.FileIO", FullOnce)
    monkeypatch.setattr("tafe_tf.serving.request_log.files._RETRY", 0.0)
    with RequestLog(tmp_path, sample=1.0) as log:
        for _ in range(5):
            log.add(*exchange())
    assert (log.failed, log.written) == (1, 4)
    assert [len(list(read_records(path))) for path in files(tmp_path)] == [2, 2]


WRITE = """
import sys, time
from tafe_tf.serving.request_log import RequestLog
log = RequestLog(sys.argv[1], sample=1.0)
request, response = bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
while True:
    log.add(request, response)
    time.sleep(0.005)
    print("added", flush=True)
"""


def test_processes_share_a_folder_and_a_killed_one_loses_its_tail(tmp_path: pathlib.Path) -> None:
    arguments = [part.hex() for part in exchange()]
    command = [sys.executable, "-c", WRITE, str(tmp_path), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        with RequestLog(tmp_path, sample=1.0) as log:
            log.add(*exchange())
        time.sleep(1.5)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(logs(tmp_path)) == 1  # this process's own
    (left,) = tmp_path.glob(".*.open")
    said: list[str] = []
    assert len(list(read_records(left, said.append))) > 100
    assert len(said) <= 1


def test_a_process_that_ends_writes_what_waits(tmp_path: pathlib.Path) -> None:
    code = WRITE.replace("while True", "for _ in range(20)")
    arguments = [part.hex() for part in exchange()]
    subprocess.run([sys.executable, "-c", code, str(tmp_path), *arguments], check=True)
    assert len(logs(tmp_path)) == 20


@pytest.mark.slow
def test_a_client_logs_all_its_calls_and_no_other(
    server: LocalServer, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    rows = small_models.rows("shop", 30)
    one_user = {**rows, "user": ["u 1"], "hour": [3]}
    with Client(server.grpc, "shop", rows_per_request=20, log=tmp_path, sample=1.0) as client:
        scored = client.predict(rows)
        client.predict(one_user, signature="rank")
        client.signatures()
        client.status()
    found = logs(tmp_path)
    asked = [log.predict_log.request.model_spec.signature_name for log in found]
    assert asked == ["serving_default", "serving_default", "rank", "rank"]
    answers = [tf.make_ndarray(log.predict_log.response.outputs["ctr"]) for log in found[:2]]
    np.testing.assert_array_equal(np.concatenate(answers), scored["ctr"])
    (path,) = files(tmp_path)
    check_warms_up(path, exports["shop"], len(found))


def check_warms_up(log: pathlib.Path, export: pathlib.Path, count: int) -> None:
    """Copied into an export, a log is its warm-up requests."""
    wanted = export / warmup.FILE
    before = wanted.read_bytes()
    try:
        wanted.write_bytes(log.read_bytes())
        served = SessionModel(export)
        assert warmup.run(served) == count
        served.close()
    finally:
        wanted.write_bytes(before)


@pytest.mark.slow
def test_a_replay_has_no_drift_and_the_scores_of_the_export(
    server: LocalServer, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """The test rows, asked for through the server, whose log says what the export answers."""
    run = shutil.copytree(small_models.run_of(exports["shop"]).path, tmp_path / "run")
    (run / "profile.json").unlink()  # its weights were changed at its end; it is made anew
    rows = small_models.rows("shop", 600, seed=1)
    size = 24
    with Client(
        server.grpc, "shop", rows_per_request=size, log=tmp_path / "log", sample=1.0
    ) as client:
        answered = client.predict(rows)
    found = logs(tmp_path / "log")
    served = SessionModel(exports["shop"])
    for name in ("ctr", "ctcvr", "cvr"):
        logged = []
        expected = []
        for log in found:
            exchange = log.predict_log
            logged.append(tf.make_ndarray(exchange.response.outputs[name]))
            inputs = {key: tf.make_ndarray(it) for key, it in exchange.request.inputs.items()}
            expected.append(served(inputs)[name])
        np.testing.assert_array_equal(np.concatenate(logged), answered[name])
        np.testing.assert_array_equal(np.concatenate(logged), np.concatenate(expected))
    served.close()
    drift = find_drift(run, [str(tmp_path / "log")])
    assert drift.rows == 600 and drift.found == []
    assert [part.name for part in drift.outputs] == ["ctr", "ctcvr", "cvr"]
    for part in drift.outputs:  # a score at a decile may round to its other side
        assert part.statistics["psi"].value < 1e-3


@pytest.mark.slow
def test_one_log_serves_several_clients(server: LocalServer, tmp_path: pathlib.Path) -> None:
    rows = small_models.rows("numbers", 3)
    with RequestLog(tmp_path, sample=1.0) as log:
        for _ in range(2):
            with Client(server.grpc, "numbers", log=log) as client:
                client.predict(rows)

        async def ask() -> None:
            async with AsyncClient(server.grpc, "numbers", log=log) as client:
                await client.predict(rows)

        asyncio.run(ask())
    assert len(logs(tmp_path)) == 3


@pytest.mark.slow
def test_the_server_logs_both_doors(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    rows = small_models.rows("numbers", 3)
    folder = tmp_path / "served"
    base = exports["numbers"].parent
    flags = [f"--model_base_path={base}", "--model_name=numbers"]
    flags += [f"--request_log_dir={folder}", "--request_log_sample=1"]
    with LocalServer(tmp_path / "log", *flags) as server:
        with Client(server.grpc, "numbers") as client:
            scored = client.predict(rows)
        inputs = {"user": rows["user"], "item": rows["item"]}
        body = json.dumps({"inputs": inputs}).encode()
        url = f"http://{server.rest}/v1/models/numbers:predict"
        with urllib.request.urlopen(url, body) as answer:
            assert "outputs" in json.load(answer)
        assert server.stop() == 0
    found = logs(folder)
    assert len(found) == 2
    for log in found:
        answer = tf.make_ndarray(log.predict_log.response.outputs["ctr"])
        np.testing.assert_array_equal(answer, scored["ctr"])
    (path,) = files(folder)
    check_warms_up(path, exports["numbers"], 2)
