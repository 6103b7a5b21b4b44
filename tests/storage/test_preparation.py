"""Shards and vocabularies in a store: those of the disk, whatever moment the job dies at."""

from __future__ import annotations

import hashlib
import pathlib

import object_stores
import pytest
import small_models
from dying_jobs import command, killed_at
from faulty_proxy import Faults
from marks import slow

from tafe_tf import schema_toml
from tafe_tf.data.atomic import read_json
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.splits import find_splits
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError, locked
from tafe_tf.data.shards.job import ShardJob
from tafe_tf.engines.dealt import DealtEngine
from tafe_tf.engines.local import LocalDriver, LocalEngine
from tafe_tf.engines.preparation import (
    Engine,
    VocabularyJob,
    build_vocabularies,
    prepare_shards,
)
from tafe_tf.storage import sending
from tafe_tf.storage.listing import entries
from tafe_tf.storage.staging import fetch_tree, publish_tree

LOCAL = {"prepared.json", "statistics.json"}  # name sources or shards by the store's marks


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "schema.toml").write_text(small_models.SHOP)
    for name, seed in (("train-1.csv", 0), ("train-2.csv", 1), ("test.csv", 2)):
        write(folder / name, small_models.rows("shop", 200, seed))
    return folder


def prepare(data: pathlib.Path, output: str, engine: Engine | None = None) -> None:
    job = ShardJob(
        data_dir=str(data),
        schema=schema_toml.load(data / "schema.toml"),
        schema_text=(data / "schema.toml").read_text(),
        output=output,
        shard_rows=60,
    )
    prepare_shards(job, engine or LocalEngine())


def content(directory: str | pathlib.Path, folder: pathlib.Path) -> dict[str, str]:
    """The hashes of all files, hidden ones too, but of those that name marks of files."""
    if not isinstance(directory, pathlib.Path):
        fetch_tree(directory, folder)
        directory = folder
    found = {}
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name not in LOCAL:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def local(data: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The shards on a disk."""
    output = tmp_path_factory.mktemp("local") / "shards"
    prepare(data, str(output))
    return output


@pytest.fixture
def uri(tmp_path: pathlib.Path) -> str:
    return f"file://{tmp_path}/shards"


def assert_same(uri: str, local: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Finds that a store holds what a disk holds."""
    there = content(uri, tmp_path / "there")
    assert there == content(local, tmp_path)
    mine, yours = read_json(f"{uri}/prepared.json"), read_json(local / "prepared.json")
    for key in ("rows", "reasons", "schema", "shard_rows", "samples", "sources"):
        assert mine[key] == yours[key]
    for name, entry in yours["manifest"].items():
        assert name in LOCAL or mine["manifest"][name] == entry
    counted = read_json(f"{uri}/statistics.json"), read_json(local / "statistics.json")
    assert {**counted[0], "made_from": ""} == {**counted[1], "made_from": ""}


@pytest.mark.parametrize(
    "engine", [LocalEngine(), DealtEngine(LocalDriver())], ids=["pass", "parts"]
)
def test_shards_in_a_store_are_those_of_the_disk(
    data: pathlib.Path,
    local: pathlib.Path,
    uri: str,
    tmp_path: pathlib.Path,
    engine: Engine,
) -> None:
    prepare(data, uri, engine)
    assert_same(uri, local, tmp_path)
    prepare(data, uri, engine)  # nothing is left to do
    assert len(find_splits(uri)["train"]) == 8
    with locked(uri), pytest.raises(LockError, match="writes in this directory"):
        prepare(data, uri, engine)


# settings, schema, then each shard and its record, the vocabularies, the end, and its cleaning up.
@pytest.mark.parametrize("at", [slow(1), slow(2), slow(4), 7, slow(12), slow(24), slow(27), 29, 31])
def test_a_job_that_is_killed_goes_on(
    data: pathlib.Path,
    local: pathlib.Path,
    uri: str,
    tmp_path: pathlib.Path,
    at: int,
) -> None:
    with killed_at(at):
        prepare(data, uri)
    names = {entry.path.removeprefix(f"{uri}/") for entry in entries(uri, below=True)}
    is_done = "prepared.json" in names
    if ".prepare/settings.json" in names and not is_done:
        with pytest.raises(DataError, match="not all shards are there"):
            find_splits(uri)
    prepare(data, uri)
    assert_same(uri, local, tmp_path)


def test_a_shard_that_was_replaced_is_written_again(
    data: pathlib.Path,
    local: pathlib.Path,
    uri: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with killed_at(9):
        prepare(data, uri)
    sending.put_bytes(b"PAR1", f"{uri}/train-00000-00001.parquet")
    prepare(data, uri)
    said = f"{uri}: train-00000-00001.parquet has 4 bytes and not "
    assert said in capsys.readouterr().out
    assert_same(uri, local, tmp_path)
    sending.put_bytes(b"PAR1", f"{uri}/train-00000-00001.parquet")
    with pytest.raises(DataError, match="is gone or has another size than when it was written"):
        prepare(data, uri)


def test_vocabularies_are_built_beside_data_in_a_store(
    data: pathlib.Path,
    local: pathlib.Path,
    uri: str,
    tmp_path: pathlib.Path,
) -> None:
    publish_tree(data, uri)
    schema = schema_toml.load(data / "schema.toml")
    files = find_splits(uri)["train"]
    build_vocabularies(VocabularyJob(files=files, schema=schema, directory=uri), LocalEngine())
    fetch_tree(f"{uri}/vocabulary", tmp_path / "vocabulary")
    for path in (local / "vocabulary").iterdir():
        assert (tmp_path / "vocabulary" / path.name).read_text() == path.read_text()


@pytest.mark.engines
@pytest.mark.slow
def test_the_command_prepares_and_trains_on_s3_though_requests_fail(
    shop: str,
    s3_port: int,
    data: pathlib.Path,
    local: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    faults = Faults(busy=10, cut=50, late=9, seconds=0.05)
    with object_stores.faulty_store(s3_port, faults):
        prepare_and_train_in(shop, data)
        assert_same(f"{shop}/prepared", local, tmp_path)
    assert faults.done["busy"] >= 5


@pytest.mark.engines
@pytest.mark.slow
def test_the_command_prepares_and_trains_on_gcs(
    gs_shop: str,
    data: pathlib.Path,
    local: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    prepare_and_train_in(gs_shop, data)
    assert_same(f"{gs_shop}/prepared", local, tmp_path)


def prepare_and_train_in(shop: str, data: pathlib.Path) -> None:
    """Writes shards into a bucket, and trains on them with a run that lies there."""
    uri = f"{shop}/prepared"
    command(["prepare", f"--data_dir={data}", f"--output_dir={uri}", "--shard_rows=60"])
    settings = ["--model=shared_bottom", "--epochs=1", "--batch_size=50"]
    command(["train", f"--data_dir={uri}", f"--run_dir={shop}/run", *settings])
    built = read_json(f"{shop}/run/statistics.json")
    assert built == read_json(f"{uri}/statistics.json")  # taken, not counted again
