"""Batch scoring and preparation by spark-submit, on a standalone master and two workers."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
import small_models
from clusters import ENVIRONMENT, SparkCluster, executors, kill, need, wait_for
from preparation_data import content, make_data
from scoring_jobs import job, mkdir, parts, whole

from tafe_tf import schema_toml
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards.job import ShardJob
from tafe_tf.engines.local import LocalEngine
from tafe_tf.engines.preparation import prepare_shards
from tafe_tf.serving.batch import scoring

pytestmark = [pytest.mark.engines, pytest.mark.slow]

INPUT_ROWS = 4000
ROWS_PER_SHARD = 400


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    need("pyspark")
    with SparkCluster(tmp_path_factory.mktemp("spark")) as started:
        yield started


def test_an_executor_killed_in_the_middle_loses_and_doubles_no_row(
    cluster: SparkCluster, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    inputs = mkdir(tmp_path / "in")
    for seed, stem in enumerate("ab"):
        write(inputs / f"{stem}.parquet", small_models.rows("shop", INPUT_ROWS, seed))
    settings = {"keys": ("user",), "rows_per_shard": ROWS_PER_SHARD}
    local = job(exports["shop"], inputs / "*", output="local", **settings)
    counts = scoring.run(local)
    submitted = job(exports["shop"], inputs / "*", output="submitted", **settings)
    output = pathlib.Path(submitted.output)
    process = cluster.submit(
        "score",
        "--runner=spark",
        f"--model={exports['shop']}",
        f"--input={inputs}/*",
        f"--output={output}",
        "--keys=user",
        f"--rows_per_shard={ROWS_PER_SHARD}",
        "--native=off",
    )

    def is_in_the_middle() -> bool:
        return process.poll() is not None or len(list(output.glob("[ab]-*.parquet"))) >= 2

    wait_for(is_in_the_middle)
    assert len(executors()) == 2
    kill(executors()[0])
    done = len(list(output.glob("[ab]-*.parquet")))
    assert process.wait(600) == 0, cluster.log("submitted").read_text()
    assert done < 18
    said = cluster.log("submitted").read_text()
    assert f"{output}: {counts['rows']:,} rows scored, 0 dropped" in said
    assert len(parts(submitted)) == 20
    assert whole(submitted) == whole(local)
    names = {path.name for path in output.iterdir()}
    assert names - set(whole(local)) == {"_job.json", "_parts", "_SUCCESS.json"}


def test_a_submitted_preparation_writes_the_local_bytes(
    cluster: SparkCluster, tmp_path: pathlib.Path
) -> None:
    data = make_data(tmp_path / "data", "csv")
    task = ShardJob(
        data_dir=str(data),
        schema=schema_toml.load(data / "schema.toml"),
        schema_text=(data / "schema.toml").read_text(encoding="utf-8"),
        output=str(tmp_path / "local"),
        on_bad_row="drop",
    )
    prepare_shards(task, LocalEngine())
    submitted = tmp_path / "submitted"
    process = cluster.submit(
        "prepare",
        "--runner=spark",
        f"--data_dir={data}",
        f"--output_dir={submitted}",
        "--on_bad_row=drop",
    )
    assert process.wait(600) == 0, cluster.log("submitted").read_text()
    expected = content(tmp_path / "local")
    assert "vocabulary/user.txt" in expected
    assert content(submitted) == expected


PRINTED = """
from tafe_tf.engines.spark import session
print("found", session().conf.get("spark.executorEnv.PYTHONPATH"))
"""


def test_a_path_that_a_submission_gives_wins_over_the_environment(tmp_path: pathlib.Path) -> None:
    need("pyspark")
    program = tmp_path / "program.py"
    program.write_text(PRINTED)
    submit = str(pathlib.Path(sys.executable).with_name("spark-submit"))
    given = ("--conf", "spark.executorEnv.PYTHONPATH=/given")
    for settings, expected in ((given, "/given"), ((), ENVIRONMENT["PYTHONPATH"])):
        done = subprocess.run(
            [submit, "--master", "local[1]", *settings, str(program)],
            env={**ENVIRONMENT, "PYSPARK_PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )
        (found,) = [line for line in done.stdout.splitlines() if line.startswith("found")]
        assert found.endswith(expected), done.stderr
