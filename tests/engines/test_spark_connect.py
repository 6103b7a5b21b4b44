"""Spark Connect: a client without a SparkContext, and a server on a standalone master."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
import small_models
from clusters import ENVIRONMENT, SparkCluster, need
from scoring_jobs import job, mkdir, scores, whole

from tafe_tf.data.formats.write import write
from tafe_tf.serving.batch import scoring

pytestmark = [pytest.mark.engines, pytest.mark.slow]

FRAMES = """
import sys
from pyspark.sql import SparkSession
from tafe_tf.serving.batch.spark import score

model, rows, output = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
assert type(spark).__module__.startswith("pyspark.sql.connect"), type(spark)
frame = spark.read.parquet(rows).coalesce(1)
score(frame, model, keys=["id"], native="off").write.parquet(output)
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need("pyspark")
    need("grpc_status")
    with SparkCluster(tmp_path_factory.mktemp("connect")) as cluster:
        yield cluster.connect()


def client(remote: str, *command: str) -> None:
    """Runs a Python command as a client of the server."""
    done = subprocess.run(
        [sys.executable, *command],
        env={**ENVIRONMENT, "SPARK_REMOTE": remote},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_and_frames_get_the_local_runners_bits(
    remote: str, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = mkdir(tmp_path / "in") / "a.parquet"
    write(path, small_models.rows("shop", 1000) | {"id": list(range(1000))})
    local = job(exports["shop"], path, output="local", keys=("id",), rows_per_shard=400)
    scoring.run(local)

    submitted = job(exports["shop"], path, output="connect", keys=("id",), rows_per_shard=400)
    client(
        remote,
        *("-m", "tafe_tf", "score", "--runner=spark", f"--model={exports['shop']}"),
        *(f"--input={path}", f"--output={submitted.output}", "--keys=id"),
        *("--rows_per_shard=400", "--native=off"),
    )
    assert whole(submitted) == whole(local)

    client(remote, "-c", FRAMES, str(exports["shop"]), str(path), str(tmp_path / "frame"))
    found = pq.read_table(tmp_path / "frame").sort_by("id").to_pydict()
    at_once = job(exports["shop"], path, output="at_once", keys=("id",))  # one batch, as the frame
    scoring.run(at_once)
    expected = scores(at_once)
    del expected["row"]
    assert found == expected
