"""The door for bytes over the file system, which needs no server: file:// goes the store's way."""

from __future__ import annotations

import gzip
import hashlib
import logging
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tafe_tf.data.fingerprint import fingerprint, sampled
from tafe_tf.data.formats.parquet_ranges import ParquetFile
from tafe_tf.data.formats.splits import default_schema_file, find_splits
from tafe_tf.storage import listing, reading, retries, staging, stores
from tafe_tf.storage.errors import StoreError

CONTENT = np.random.default_rng(0).integers(0, 99, 2_000_000, np.uint8).tobytes()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(reading, "RANGE_BYTES", 1 << 18)


def uri_of(path: pathlib.Path) -> str:
    return f"file://{path}"


@pytest.mark.parametrize("compression", [None, "gzip", "zstd", "bz2", "lz4"])
def test_a_stream_has_the_bytes_of_the_file(
    tmp_path: pathlib.Path,
    compression: str | None,
) -> None:
    path = tmp_path / "rows.csv"
    with pa.output_stream(path, compression=compression) as file:
        file.write(CONTENT)
    with reading.open_stream(uri_of(path), compression) as stream:
        pieces = list(iter(lambda: stream.read(300_000), b""))
    assert b"".join(pieces) == CONTENT


def test_a_truncated_gz_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(CONTENT)[:-1000])
    with (
        pytest.raises(OSError, match="Truncated"),
        reading.open_stream(uri_of(path), "gzip") as stream,
    ):
        stream.read()


class _Breaking:
    """An open file whose reads break off now and then."""

    def __init__(self, file: Any, every: int) -> None:
        self._file = file
        self._every = every
        self.reads: list[int] = []

    def read_at(self, length: int, offset: int) -> bytes:
        self.reads.append(offset)
        if len(self.reads) % self._every == 0:
            raise OSError("the connection was reset")
        read: bytes = self._file.read_at(length, offset)
        return read[: length // 2] if len(self.reads) % 5 == 0 else read


def test_a_read_that_breaks_off_goes_on_where_it_was(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(CONTENT)
    with reading.ObjectFile(uri_of(path)) as file:
        breaking = _Breaking(file._file, every=3)
        monkeypatch.setattr(file, "_open", lambda: (breaking, file.identity))
        file._file = breaking
        with caplog.at_level(logging.WARNING):
            assert file.read() == CONTENT
    assert breaking.reads.count(0) == 1  # nothing was begun again
    assert len(caplog.messages) == len(breaking.reads) // 3
    assert all("the connection was reset; trying again in" in text for text in caplog.messages)


def test_a_file_that_is_replaced_while_it_is_read_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(CONTENT)
    with reading.ObjectFile(uri_of(path)) as file:
        file._file = _Breaking(file._file, every=1)
        path.write_bytes(CONTENT + b"more")
        with pytest.raises(StoreError, match="was replaced while it was read"):
            file.read()


def test_a_file_that_a_client_has_closed_is_asked_for_again(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As pyarrow's client of GCS closes it, minutes after a 503."""
    path = tmp_path / "rows.bin"
    path.write_bytes(CONTENT)
    place = stores.open_place(uri_of(path))
    closed = place.filesystem.open_input_file(place.path)
    closed.close()
    answers = iter([closed])

    class Busy:
        def open_input_file(self, name: str) -> Any:
            return next(answers, None) or place.filesystem.open_input_file(name)

        def __getattr__(self, name: str) -> Any:
            return getattr(place.filesystem, name)

    monkeypatch.setattr(listing, "open_place", lambda uri: stores.Place(Busy(), place.path))
    assert listing.identity(uri_of(path)).size == len(CONTENT)
    assert len(caplog.messages) == 1
    assert "the answer holds no file; trying again" in caplog.messages[0]


def test_what_fails_six_times_fails_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    tries = []

    def fail() -> None:
        tries.append(1)
        raise OSError("AWS Error SLOW_DOWN during GetObject\noperation: busy (Request ID: 7)")

    with pytest.raises(StoreError, match=r"^s3://b/x: cannot read it, tried 6 times: SLOW_DOWN "):
        retries.again(fail, "s3://b/x", "read it")
    assert len(tries) == 6
    assert len(caplog.messages) == 5


def test_what_is_refused_for_good_is_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise OSError("AWS Error SIGNATURE_DOES_NOT_MATCH during GetObject operation: no")

    with pytest.raises(StoreError, match=r"cannot read it: .*the secret key is wrong"):
        retries.again(fail, "s3://b/x", "read it")
    assert caplog.messages == []


def test_the_needed_columns_are_read_and_no_more(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "rows.parquet"
    numbers = np.random.default_rng(0)
    table = pa.table({f"c{i}": numbers.integers(0, 1 << 40, 50_000) for i in range(20)})
    pq.write_table(table, path, row_group_size=20_000)
    read = []
    with ParquetFile(uri_of(path)) as file:
        assert file._object is not None
        original = file._object._range

        def noted(offset: int, length: int) -> bytes:
            read.append(length)
            return original(offset, length)

        monkeypatch.setattr(file._object, "_range", noted)
        batches = list(file.batches(7000, 1, ["c3", "c11"]))
    assert pa.Table.from_batches(batches).equals(table.slice(20_000).select(["c3", "c11"]))
    assert sum(read) < 0.15 * path.stat().st_size  # 2 of 20 columns, 2 of 3 row groups


def test_splits_are_found_as_in_a_directory(tmp_path: pathlib.Path) -> None:
    for name in (
        *("train-0.csv", "train-1.csv", "valid.csv/part-0.csv", "test/a.csv", "test/_SUCCESS"),
        *("train_old.csv", ".train-2.csv", "test/deep/b.csv", "trainer.csv", "schema.toml"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("click\n1\n")
    local = find_splits(tmp_path)
    remote = find_splits(uri_of(tmp_path))
    for split, files in local.items():
        assert list(remote[split]) == [f"file://{file}" for file in files]
    assert default_schema_file(uri_of(tmp_path)) == f"file://{tmp_path}/schema.toml"
    one_file = f"file://{tmp_path}/train-0.csv"
    assert find_splits(one_file)["train"] == (one_file,)
    assert default_schema_file(one_file) == f"file://{tmp_path}/schema.toml"


def test_files_of_any_name_are_training_files(tmp_path: pathlib.Path) -> None:
    for name in ("b.csv", "a.csv", "_SUCCESS", "readme.md"):
        (tmp_path / name).write_text("click\n1\n")
    found = find_splits(uri_of(tmp_path))
    assert found["train"] == (f"file://{tmp_path}/a.csv", f"file://{tmp_path}/b.csv")


def test_shards_that_are_not_all_there_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "train.csv").write_text("click\n1\n")
    (tmp_path / "preparing.json").write_text("{}")
    with pytest.raises(ValueError, match="not all shards are there"):
        find_splits(uri_of(tmp_path))


def test_a_copy_has_the_same_sample_and_a_store_its_own_mark(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(CONTENT)
    assert sampled(uri_of(path)) == fingerprint(path)
    seen = fingerprint(uri_of(path))
    assert seen[:2] == ("rows.bin", len(CONTENT))
    assert seen.sample == f"store:{path.stat().st_mtime_ns // 10**9}"


def test_a_folder_is_staged_once_and_whole(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tmp_path / "model"
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(CONTENT)
    (model / "variables" / "index").write_bytes(b"index")
    cache = tmp_path / "cache"

    def fail(uri: str, path: pathlib.Path) -> None:
        raise StoreError(f"{uri}: no")

    with monkeypatch.context() as broken:
        broken.setattr(staging, "fetch_file", fail)
        with pytest.raises(StoreError):
            staging.stage(uri_of(model), cache)
    assert list(cache.iterdir()) == []

    staged = staging.stage(uri_of(model), cache)
    assert (staged / "saved_model.pb").read_bytes() == CONTENT
    assert (staged / "variables" / "index").read_bytes() == b"index"
    monkeypatch.setattr(staging, "fetch_file", fail)  # it is there already
    assert staging.stage(uri_of(model), cache) == staged


def test_a_changed_folder_is_staged_anew(tmp_path: pathlib.Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"one")
    first = staging.stage(uri_of(model), tmp_path / "cache")
    (model / "saved_model.pb").write_bytes(b"another")
    second = staging.stage(uri_of(model), tmp_path / "cache")
    assert first != second
    assert (second / "saved_model.pb").read_bytes() == b"another"


def test_what_makes_a_tree_count_is_sent_last(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    for name in ("saved_model.pb", "a/one", "zero", "fingerprint.pb"):
        (source / name).write_text(name)
    target = tmp_path / "target"
    sent = []
    original = staging.put_file

    def put(path: str, uri: str) -> None:
        original(path, uri)
        sent.append(pathlib.Path(path).name)

    monkeypatch.setattr(staging, "put_file", put)
    last = ("fingerprint.pb", "saved_model.pb")
    uris = staging.publish_tree(source, uri_of(target), last)
    assert sent[2:] == list(last)
    assert sorted(sent) == ["fingerprint.pb", "one", "saved_model.pb", "zero"]
    assert [pathlib.Path(uri.removeprefix("file://")).read_text() for uri in uris] == [
        *("a/one", "fingerprint.pb", "saved_model.pb", "zero"),
    ]
    with pytest.raises(ValueError, match=r"last must name files of .* Received: 'gone'"):
        staging.publish_tree(source, uri_of(target), ("gone",))


def test_a_gz_file_is_sent_as_it_is(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(CONTENT))
    staging.put_file(path, uri_of(tmp_path / "out" / "rows.csv.gz"))
    sent = (tmp_path / "out" / "rows.csv.gz").read_bytes()
    assert hashlib.sha256(sent).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert [entry.path for entry in listing.entries(tmp_path / "out")] == [
        str(tmp_path / "out" / "rows.csv.gz")
    ]


def test_an_exported_model_is_loaded_from_a_store(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tensorflow as tf

    from tafe_tf.export.session_model import SessionModel

    class Half(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"half": x / 2}

    module = Half()
    path = str(tmp_path / "1")
    tf.saved_model.save(module, path, signatures={"serving_default": module.serve})
    store = uri_of(tmp_path / "store" / "1")
    staging.publish_tree(path, store, last=["saved_model.pb"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = SessionModel(store)
    assert model({"x": [1.0, 4.0]})["half"].tolist() == [0.5, 2.0]
    assert model.path.is_relative_to(tmp_path / "cache" / "tafe_tf" / "staged")
    model.close()


def test_patterns_name_files_of_a_store(tmp_path: pathlib.Path) -> None:
    from tafe_tf.data.formats.patterns import find_sources

    for day in ("09", "10", "11"):
        for name in ("part-0.csv", "_SUCCESS", ".part-1.csv"):
            path = tmp_path / f"dt=2026-11-{day}" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("click\n1\n")
    local = find_sources(f"{tmp_path}/dt=2026-11-{{09..10}}/**.csv")
    remote = find_sources(f"file://{tmp_path}/dt=2026-11-{{09..10}}/**.csv")
    assert len(local) == 2
    assert list(remote) == [f"file://{path}" for path in local]
    assert len(find_sources(f"file://{tmp_path}/dt=2026-11-*")) == 3
    assert len(find_sources(f"file://{tmp_path}")) == 3
