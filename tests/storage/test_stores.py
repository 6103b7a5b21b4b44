"""Real stores: SeaweedFS as S3, fake-gcs-server as GCS, and a proxy that fails as they do."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import faulty_proxy
import numpy as np
import object_stores
import pytest
from faulty_proxy import Faults
from object_stores import environment, faulty_store

import tafe_tf
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_splits
from tafe_tf.data.formats.write import write
from tafe_tf.first_look.look import look
from tafe_tf.storage import listing, reading, retries, staging, stores, texts
from tafe_tf.storage.errors import StoreError

pytestmark = pytest.mark.engines

ROWS = 4000
SCHEMA = """name = "shop"

[[tasks]]
name = "click"

[[tasks]]
name = "buy"

[[features]]
name = "user"
kind = "vocabulary"

[[features]]
name = "hour"
kind = "integer"
size = 24
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A data set in each format, with its schema."""
    folder = tmp_path_factory.mktemp("data")
    for extension in ("csv.gz", "parquet", "tfrecord"):
        directory = folder / extension
        directory.mkdir()
        (directory / "schema.toml").write_text(SCHEMA)
        for seed, name in enumerate(("train-0", "train-1", "test")):
            write(directory / f"{name}.{extension}", _rows(seed))
    return folder


def _rows(seed: int) -> dict[str, list[object]]:
    numbers = np.random.default_rng(seed)
    click = numbers.integers(0, 2, ROWS)
    return {
        "user": [f"u{number}" for number in numbers.integers(0, 300, ROWS)],
        "hour": numbers.integers(0, 24, ROWS).tolist(),
        "click": click.tolist(),
        "buy": (click * numbers.integers(0, 2, ROWS)).tolist(),
    }


@pytest.fixture
def s3(s3_port: int, data: pathlib.Path) -> Iterator[str]:
    with environment(object_stores.s3_variables(s3_port)):
        if not listing.exists("s3://shop/data"):
            staging.publish_tree(data, "s3://shop/data")
        yield "s3://shop/data"


@pytest.fixture
def gcs(gcs_port: int, data: pathlib.Path) -> Iterator[str]:
    with environment(object_stores.gcs_variables(gcs_port)):
        if not listing.exists("gs://shop/data"):
            staging.publish_tree(data, "gs://shop/data")
        yield "gs://shop/data"


def weights(data_dir: str, run_dir: pathlib.Path) -> list[np.ndarray]:
    """The weights after training on the files of a directory."""
    run = tafe_tf.fit(
        f"{data_dir}/schema.toml",
        train=list(find_splits(data_dir)["train"]),
        model="shared_bottom",
        run_dir=run_dir,
        epochs=1,
        batch_size=500,
        embedding_dim=4,
        verbose=False,
    )
    found: list[np.ndarray] = run.model.get_weights()
    return found


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    assert len(one) == len(other) > 0
    for mine, yours in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, yours)


def labels_of(data_dir: str) -> list[np.ndarray]:
    """What reading the training rows gives."""
    schema = tafe_tf.schema_toml.load(f"{data_dir}/schema.toml")
    files = find_splits(data_dir)["train"]
    found = []
    for block in read_blocks(files, schema, bad_rows=BadRows()):
        found += [block.labels, *block.columns.values()]
    return found


def test_a_store_lists_folders_as_a_disk_does(bucket: str, tmp_path: pathlib.Path) -> None:
    for name in ("models/1/saved_model.pb", "models/1/variables/data", "models/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        staging.put_file(path, f"{bucket}/listed/{name}")
    for inside in ("", "/models", "/models/1"):
        for below in (False, True):
            there = listing.entries(f"{bucket}/listed{inside}", below)
            here = listing.entries(f"{tmp_path}{inside}", below)
            names = [(entry.path.split("/listed")[1], entry.is_file) for entry in there]
            expected = [(entry.path.removeprefix(str(tmp_path)), entry.is_file) for entry in here]
            assert names == expected
        assert listing.exists(f"{bucket}/listed{inside}")
        assert not listing.is_file(f"{bucket}/listed{inside}")
    assert not listing.exists(f"{bucket}/listed/mod")  # a part of a name is no folder
    assert listing.entries(f"{bucket}/listed/mod") == []


@pytest.mark.parametrize("extension", ["csv.gz", "parquet", "tfrecord"])
def test_rows_from_gcs_are_those_of_the_disk(gcs: str, data: pathlib.Path, extension: str) -> None:
    assert_same(labels_of(f"{gcs}/{extension}"), labels_of(str(data / extension)))


def test_weights_from_s3_equal_those_from_the_disk(
    s3: str,
    s3_port: int,
    data: pathlib.Path,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    local = weights(str(data / "parquet"), tmp_path / "local")
    assert_same(weights(f"{s3}/parquet", tmp_path / "s3"), local)
    of_storage = [record for record in caplog.records if record.name == "tafe_tf.storage"]
    assert of_storage == []

    faults = Faults(busy=10, cut=7, late=9, seconds=0.1)
    with faulty_store(s3_port, faults):
        faulty = weights(f"{s3}/parquet", tmp_path / "faulty")
    assert_same(faulty, local)
    assert faults.done["busy"] >= 2
    assert faults.done["late"] >= 2
    again = [text for text in caplog.messages if text.startswith(f"{s3}/parquet/")]
    assert len(again) >= faults.done["busy"]
    assert all("trying again in" in text for text in again)


@pytest.mark.parametrize("extension", ["csv.gz", "parquet", "tfrecord"])
def test_a_store_that_fails_now_and_then_gives_the_same_rows(
    s3: str,
    s3_port: int,
    data: pathlib.Path,
    extension: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(reading, "RANGE_BYTES", 4096)
    faults = Faults(busy=10, cut=8)
    with faulty_store(s3_port, faults):
        found = labels_of(f"{s3}/{extension}")
    assert_same(found, labels_of(str(data / extension)))
    assert faults.done["busy"] >= 1
    assert faults.done["cut"] >= 1
    text = "\n".join(caplog.messages)
    assert "503" in text or "SLOW_DOWN" in text or "SERVICE_UNAVAILABLE" in text
    assert "Transferred a partial file" in text


def test_an_answer_that_does_not_come_is_asked_for_again(
    s3: str,
    s3_port: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stores, "_READ_SECONDS", 1)
    uri = f"{s3}/parquet/schema.toml"
    with faulty_store(s3_port, Faults(silent=3)):
        assert texts.read_text(uri) == SCHEMA
    assert any("Timeout was reached" in text for text in caplog.messages)


def test_an_object_appears_whole_though_sending_fails(
    s3: str,
    s3_port: int,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "large.bin"
    content = np.random.default_rng(0).bytes(25 << 20)  # several parts
    path.write_bytes(content)
    uri = "s3://shop/sent/large.bin"
    monkeypatch.setattr(retries, "ATTEMPTS", 1)
    refused = 0
    with faulty_store(s3_port, Faults(busy=4)):
        for _ in range(4):
            try:
                staging.put_file(path, uri)
                break
            except StoreError:
                refused += 1
            with environment(object_stores.s3_variables(s3_port)):
                is_there = listing.is_file(uri)
                assert not is_there or listing.identity(uri).size == len(content)
    assert refused >= 1
    staging.put_file(path, uri)
    staged = staging.stage("s3://shop/sent", tmp_path / "cache")
    assert (staged / "large.bin").read_bytes() == content


def test_a_sender_that_is_killed_leaves_nothing_to_see(
    s3: str,
    s3_port: int,
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(60 << 20))
    code = (
        "import sys; from tafe_tf.storage.staging import put_file; print('go', flush=True); "
        "put_file(sys.argv[1], sys.argv[2])"
    )
    faults = Faults(late=1, seconds=0.5)
    with faulty_proxy.before(s3_port, faults) as port:
        variables = {**os.environ, **object_stores.s3_variables(port)}
        variables["PYTHONPATH"] = str(pathlib.Path(tafe_tf.__file__).parents[1])
        command = [sys.executable, "-c", code, str(path), "s3://shop/killed/large.bin"]
        sender = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE)
        while not any(request.startswith("PUT") for request in faults.requests):
            assert sender.poll() is None
        sender.kill()
        sender.wait()
    assert listing.entries("s3://shop/killed") == []


def test_an_object_that_is_replaced_has_another_mark(bucket: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "one.csv"
    uri = f"{bucket}/marks/one.csv"
    marks = []
    for text in ("a", "b", "b"):
        path.write_text(text)
        staging.put_file(path, uri)
        marks.append(listing.identity(uri))
    assert marks[0] != marks[1] == marks[2]
    assert {mark.size for mark in marks} == {1}


def test_what_is_wrong_with_a_store_is_one_line(
    s3: str,
    s3_port: int,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DataError, match=r"^s3://nowhere/a.csv: .* there is no bucket nowhere$"):
        listing.identity("s3://nowhere/a.csv")
    with pytest.raises(DataError, match=r"^s3://shop/none.csv: .* there is no such object$"):
        listing.identity("s3://shop/none.csv")
    with pytest.raises(FileNotFoundError, match="s3://shop/none: there is no such file"):
        find_splits("s3://shop/none")
    wrong = object_stores.s3_variables(s3_port, secret="wrong-secret-0000")
    with environment(wrong), pytest.raises(DataError, match="credentials") as error:
        find_splits(f"{s3}/parquet")
    assert "wrong-secret-0000" not in str(error.value)
    monkeypatch.setattr(retries, "ATTEMPTS", 2)
    with environment(object_stores.s3_variables(1)):
        monkeypatch.setattr(retries, "FIRST_PAUSE", 0.01)
        with pytest.raises(DataError, match=r"tried 2 times: .*Could not connect") as error:
            find_splits(f"{s3}/parquet")
    assert "\n" not in str(error.value)


def test_tafe_look_reads_from_a_store(s3: str, data: pathlib.Path) -> None:
    found = look(f"{s3}/csv.gz")
    local = look(str(data / "csv.gz"))
    assert found.problems == ()
    assert found.schema_file == f"{s3}/csv.gz/schema.toml"
    assert (found.rows, found.columns, found.steps) == (local.rows, local.columns, local.steps)


def test_the_commands_train_and_evaluate_from_a_store(
    s3: str,
    data: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    prepared = tmp_path / "prepared"
    vocabularies = ["prepare", f"--data_dir={s3}/parquet", f"--output_dir={prepared}"]
    _command(vocabularies)
    staging.publish_tree(prepared, "s3://shop/prepared", last=["prepared.json"])
    run = tmp_path / "run"
    settings = ["--model=shared_bottom", "--epochs=1", "--batch_size=500"]
    _command(["train", "--data_dir=s3://shop/prepared", f"--run_dir={run}", *settings])
    built = (prepared / "statistics.json").read_text()
    assert (run / "statistics.json").read_text() == built  # taken, not counted again
    trained = (run / "metrics.json").read_text()
    _command(["evaluate", f"--run_dir={run}"])
    assert (run / "metrics.json").read_text().count("auc") == trained.count("auc") > 0


def _command(arguments: list[str], code: int = 0) -> str:
    """Runs a command of the package and gives what it says."""
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    variables["PYTHONPATH"] = str(pathlib.Path(tafe_tf.__file__).parents[1])
    command = [sys.executable, "-m", f"tafe_tf.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
