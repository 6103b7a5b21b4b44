"""Batch scoring from a store to a store: the bytes of the disk, whatever moment the job dies at."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import object_stores
import pyarrow.parquet as pq
import pytest
import small_models
from dying_jobs import command, killed_at
from faulty_proxy import Faults
from marks import slow

from tafe_tf.data.atomic import read_json
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError, locked
from tafe_tf.serving.batch import scoring, settings
from tafe_tf.serving.batch.job import Job, find_inputs
from tafe_tf.serving.batch.settings import JobError
from tafe_tf.storage import sending
from tafe_tf.storage.listing import entries
from tafe_tf.storage.staging import fetch_tree, publish_tree, put_file

ROWS = 250


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("data")
    columns: dict[str, Any] = dict(small_models.rows("loans", ROWS))
    columns["id"] = [f"r{i}" for i in range(ROWS)]
    write(folder / "a.csv", columns)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings.on_this_machine.cache_clear()


def job_of(model: str, rows: str, output: str) -> Job:
    return Job(
        model=model,
        inputs=find_inputs([rows]),
        output=output,
        keys=("id",),
        rows_per_shard=64,
        batch_size=16,
        native="off",
    )


@pytest.fixture
def local(
    exports: dict[str, pathlib.Path],
    data: pathlib.Path,
    tmp_path: pathlib.Path,
) -> dict[str, str]:
    """The columns of the scores on a disk."""
    output = tmp_path / "local"
    scoring.run(job_of(str(exports["loans"]), str(data / "a.csv"), str(output)))
    return columns_of(output)


def columns_of(directory: pathlib.Path) -> dict[str, str]:
    """A hash of all columns of each part, to the bit; not of the footer, which names the model."""
    found = {}
    for path in directory.glob("*.parquet"):
        table = pq.read_table(path)
        digest = hashlib.sha256()
        for name, column in zip(table.column_names, table.columns, strict=True):
            digest.update(name.encode())
            digest.update(repr(column.to_pylist()).encode())
        found[path.name] = digest.hexdigest()
    return found


def assert_same(uri: str, local: dict[str, str], tmp_path: pathlib.Path) -> None:
    """Finds that the output in a store is whole, and that of the disk."""
    folder = tmp_path / "there"
    fetch_tree(uri, folder)
    assert columns_of(folder) == local
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    records = {f"_parts/{name.replace('.parquet', '.json')}" for name in local}
    assert names == {"_job.json", "_SUCCESS.json", *local, *records}
    summary = read_json(folder / "_SUCCESS.json")
    assert summary["rows"] == ROWS
    for name, entry in summary["files"].items():
        content = (folder / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def job(exports: dict[str, pathlib.Path], data: pathlib.Path, tmp_path: pathlib.Path) -> Job:
    """A job whose model, rows and output are in a store."""
    store = f"file://{tmp_path}/store"
    publish_tree(exports["loans"], f"{store}/models/1", last=["saved_model.pb"])
    put_file(data / "a.csv", f"{store}/in/a.csv")
    return job_of(f"{store}/models/1", f"{store}/in/a.csv", f"{store}/out")


def test_scores_in_a_store_are_those_of_the_disk(
    job: Job,
    local: dict[str, str],
    tmp_path: pathlib.Path,
) -> None:
    assert len(local) == 4
    scoring.run(job)
    assert_same(job.output, local, tmp_path)
    scoring.run(job)  # nothing is left to do
    with locked(job.output), pytest.raises(LockError, match="writes in this directory"):
        scoring.run(job)


# The job, then each record and its part, and the end.
@pytest.mark.parametrize("at", [slow(1), 2, slow(3), 5, slow(8), slow(9), 10])
def test_a_job_that_is_killed_goes_on(
    job: Job,
    local: dict[str, str],
    tmp_path: pathlib.Path,
    at: int,
) -> None:
    with killed_at(at):
        scoring.run(job)
    assert f"{job.output}/_SUCCESS.json" not in [entry.path for entry in entries(job.output)]
    scoring.run(job)
    assert_same(job.output, local, tmp_path)


def test_a_damaged_part_is_scored_again(
    job: Job,
    local: dict[str, str],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scoring.run(job)
    part = f"{job.output}/a-00001.parquet"
    size = {entry.path: entry.size for entry in entries(job.output)}[part]
    fetch_tree(job.output, tmp_path / "copy")
    content = (tmp_path / "copy" / "a-00001.parquet").read_bytes()
    sending.put_bytes(content[:4] + bytes(200) + content[4:], part)
    scoring.run(job)
    said = f"{part}: is damaged: it has {size + 200:,} bytes and not {size:,}; its rows are scored"
    assert said in capsys.readouterr().out
    assert_same(job.output, local, tmp_path)


def test_another_jobs_output_stays(job: Job, tmp_path: pathlib.Path) -> None:
    uri = f"file://{tmp_path}/other"
    sending.put_bytes(b"mine", f"{uri}/notes.txt")
    other = job_of(job.model, job.inputs[0].path, uri)
    with pytest.raises(JobError, match=f"^{uri}: holds notes.txt, which is no batch-scoring job"):
        scoring.run(other)
    assert [entry.path for entry in entries(uri)] == [f"{uri}/notes.txt"]


@pytest.mark.engines
def test_the_command_scores_on_s3_though_requests_fail(
    shop: str,
    s3_port: int,
    exports: dict[str, pathlib.Path],
    data: pathlib.Path,
    local: dict[str, str],
    tmp_path: pathlib.Path,
) -> None:
    faults = Faults(busy=10, cut=50, late=9, seconds=0.05)
    with object_stores.faulty_store(s3_port, faults):
        score_in(shop, exports["loans"], data)
    assert faults.done["busy"] >= 5
    assert_same(f"{shop}/scores", local, tmp_path)


@pytest.mark.engines
def test_the_command_scores_on_gcs(
    gs_shop: str,
    exports: dict[str, pathlib.Path],
    data: pathlib.Path,
    local: dict[str, str],
    tmp_path: pathlib.Path,
) -> None:
    score_in(gs_shop, exports["loans"], data)
    assert_same(f"{gs_shop}/scores", local, tmp_path)


def score_in(
    shop: str,
    export: pathlib.Path,
    data: pathlib.Path,
) -> None:
    """Scores rows of a bucket with an export that lies there."""
    publish_tree(export, f"{shop}/models/1", last=["saved_model.pb"])
    publish_tree(data, f"{shop}/rows")
    where = [f"--model={shop}/models", f"--input={shop}/rows/*.csv", f"--output={shop}/scores"]
    size = ["--keys=id", "--rows_per_shard=64", "--batch_size=16", "--native=off"]
    said = command(["serving.batch_score", *where, *size])
    assert f"{shop}/scores: scoring 1 file(s) with {shop}/models/1" in said
