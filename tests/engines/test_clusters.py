"""Batch scoring and preparation on Dask and Spark, whose workers are killed in the middle."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import small_models
from clusters import ENVIRONMENT, DaskCluster, executors, kill, need, wait_for
from preparation_data import content, make_data
from scoring_jobs import bad_csv, job, mkdir, parts, whole

from tafe_tf import schema_toml
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards.job import ShardJob
from tafe_tf.engines.dealt import DealtEngine
from tafe_tf.engines.driver import Driver, EngineError
from tafe_tf.engines.local import LocalEngine
from tafe_tf.engines.preparation import Engine, prepare_shards
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.job import Job

pytestmark = pytest.mark.engines

SETTINGS: dict[str, Any] = {"keys": ("user",), "rows_per_shard": 400, "batch_size": 4}


class Cluster:
    """A driver, and how to kill one of its two workers."""

    def __init__(self, driver: Driver, kill_one: Callable[[], None]) -> None:
        self.driver = driver
        self.kill_one = kill_one


def dask(directory: pathlib.Path) -> Iterator[Cluster]:
    need("distributed")
    from tafe_tf.engines.dask import DaskDriver

    with DaskCluster(directory) as cluster:
        yield Cluster(DaskDriver(cluster.address), lambda: kill(cluster.workers[0].pid))


def beam_on_dask(directory: pathlib.Path) -> Iterator[Cluster]:
    distributed = need("distributed")
    need("apache_beam")
    from tafe_tf.engines.beam import BeamDriver

    with DaskCluster(directory) as cluster:
        options = (
            "--runner=apache_beam.runners.dask.dask_runner.DaskRunner",
            f"--dask_client_address={cluster.address}",
            "--dask_npartitions=20",
        )
        yield Cluster(BeamDriver(options), lambda: kill(cluster.workers[0].pid))
        distributed.Client.current().close()  # Beam leaves it open


def spark(directory: pathlib.Path) -> Iterator[Cluster]:
    need("pyspark")
    from pyspark.sql import SparkSession

    from tafe_tf.engines.spark import SparkDriver

    os.environ.update(
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_WORKER_DIR=str(directory),
        # A Python worker whose part failed is started anew for the next try: two suffice.
        PYSPARK_SUBMIT_ARGS="--master local-cluster[2,1,1024] --conf spark.task.maxFailures=2 "
        "pyspark-shell",
        PYTHONPATH=ENVIRONMENT["PYTHONPATH"],
    )
    from tafe_tf.engines.spark import session

    made = session()
    assert isinstance(made, SparkSession)
    yield Cluster(SparkDriver(), lambda: kill(executors()[0]))
    made.stop()


@pytest.fixture(scope="module", params=[dask, beam_on_dask, spark])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPARK_LOCAL_IP", "SPARK_WORKER_DIR", "PYSPARK_SUBMIT_ARGS", "PYTHONPATH"):
            patch.setenv(name, os.environ.get(name, ""))  # so that it is put back
        yield from request.param(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="module")
def local(
    exports: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, dict[str, Any]]:
    """A job of 20 parts that this process has done, and its counts."""
    inputs = mkdir(tmp_path_factory.mktemp("job") / "in")
    for seed, stem in enumerate("ab"):
        write(inputs / f"{stem}.parquet", small_models.rows("shop", 4000, seed))
    task = job(exports["shop"], inputs / "*", output="local", **SETTINGS)
    return task, scoring.run(task)


def test_a_worker_killed_in_the_middle_loses_and_doubles_no_row(
    cluster: Cluster, local: tuple[Job, dict[str, Any]], tmp_path: pathlib.Path
) -> None:
    expected, counts = local
    inputs = pathlib.Path(expected.inputs[0].path).parent
    task = job(pathlib.Path(expected.model), inputs / "*", output=tmp_path.name, **SETTINGS)
    killed = []

    def kill_one_in_the_middle() -> None:
        wait_for(lambda: len(list(pathlib.Path(task.output).glob("[ab]-*.parquet"))) >= 2)
        cluster.kill_one()
        killed.append(len(list(pathlib.Path(task.output).glob("[ab]-*.parquet"))))

    killer = threading.Thread(target=kill_one_in_the_middle)
    killer.start()
    assert scoring.run(task, cluster.driver) == counts
    killer.join()
    assert killed[0] < 18
    assert len(parts(task)) == 20 and whole(task) == whole(expected)
    names = {path.name for path in pathlib.Path(task.output).iterdir()}
    assert names - {path.name for path in parts(task)} == {"_job.json", "_parts", "_SUCCESS.json"}


def test_a_bad_row_on_a_worker_is_one_line(
    cluster: Cluster, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = bad_csv(mkdir(tmp_path / "in") / "a.csv")
    task = job(exports["loans"], path, rows_per_shard=64)
    said = r"^\S*a.csv: row 140, column 'item': must be an integer. Received: 'seven'$"
    with pytest.raises(EngineError, match=said):
        scoring.run(task, cluster.driver)
    assert [part.name for part in parts(task)] == ["a-00000.parquet", "a-00001.parquet"]
    assert not (pathlib.Path(task.output) / "_SUCCESS.json").exists()


def test_a_model_that_is_another_one_on_a_worker_is_refused(
    cluster: Cluster,
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = mkdir(tmp_path / "in") / "a.parquet"
    write(path, small_models.rows("loans", 10))
    task = job(exports["loans"], path)
    task.__dict__["fingerprint"] = "0123456789abcdef"  # what the job knows of the model
    said = r"^\S*a.parquet: .*holds another model on this worker than where the job was started"
    with pytest.raises(EngineError, match=said):
        scoring.run(task, cluster.driver)


@pytest.mark.parametrize("source", ["parquet", "csv"])
def test_shards_and_vocabularies_are_the_same_bytes(
    cluster: Cluster, tmp_path: pathlib.Path, source: str
) -> None:
    data = make_data(tmp_path / "data", source)

    def prepared(output: str, engine: Engine) -> dict[str, bytes]:
        task = ShardJob(
            data_dir=str(data),
            schema=schema_toml.load(data / "schema.toml"),
            schema_text=(data / "schema.toml").read_text(encoding="utf-8"),
            output=str(tmp_path / output),
            shard_rows=32,
            on_bad_row="drop",
        )
        prepare_shards(task, engine)
        return content(tmp_path / output)

    expected = prepared("local", LocalEngine())
    assert "vocabulary/user.txt" in expected and "train-00000-00001.parquet" in expected
    assert prepared("dealt", DealtEngine(cluster.driver)) == expected
