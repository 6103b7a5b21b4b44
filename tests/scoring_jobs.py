"""Batch-scoring jobs of tiny funnels, for all tests of batch scoring."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import small_models

from tafe_tf.data.formats.write import write
from tafe_tf.serving.batch.job import Job, find_inputs

ROWS = 250


def loans_job(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> Job:
    """See the fixture `loans`."""
    file = mkdir(tmp_path / "in") / "a.csv"
    ids = [f"r{i}" for i in range(ROWS)]
    write(file, {**small_models.rows("loans", ROWS), "id": ids})
    return job(exports["loans"], file, keys=("id",), rows_per_shard=64, batch_size=16)


def mkdir(path: pathlib.Path) -> pathlib.Path:
    """Makes a directory if it is not there, and returns its path."""
    path.mkdir(exist_ok=True)
    return path


def job(model: pathlib.Path, *files: pathlib.Path, output: str = "out", **settings: Any) -> Job:
    """A job that writes to a directory beside that of the files, by default without the kernel."""
    directory = files[0].parent.parent / output
    return Job(
        model=str(model),
        inputs=find_inputs([str(file) for file in files]),
        output=str(directory),
        **{"native": "off", **settings},
    )


def stamps(paths: Iterable[pathlib.Path]) -> dict[pathlib.Path, tuple[int, int]]:
    """What changes when a file is written again."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def parts(job: Job) -> list[pathlib.Path]:
    """The paths of a job's files of scores, hidden ones included, sorted."""
    paths = pathlib.Path(job.output).iterdir()
    return sorted(path for path in paths if path.name.endswith(".parquet"))


def scores(job: Job, stem: str = "") -> dict[str, list[Any]]:
    """All columns of a job's output, file after file."""
    tables = [pq.read_table(path) for path in parts(job) if path.name.startswith(stem)]
    columns: dict[str, list[Any]] = pa.concat_tables(tables).to_pydict()
    return columns


def whole(job: Job) -> dict[str, bytes]:
    """The bytes of all files of scores."""
    return {path.name: path.read_bytes() for path in parts(job)}


def bad_csv(path: pathlib.Path) -> pathlib.Path:
    """200 rows; in the third shard of 64, row 140 has a bad item and row 150 a cell too many."""
    columns = small_models.rows("loans", 200)
    columns["item"][139] = "seven"
    write(path, columns)
    lines = path.read_text().split("\n")
    lines[150] += ",more"
    path.write_text("\n".join(lines))
    return path
