"""Scores of Spark DataFrames: the bits of the local runner, whatever types the columns have."""

from __future__ import annotations

import doctest
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import small_models
from clusters import need
from scoring_jobs import job, mkdir, scores

from tafe_tf.data.formats.write import write
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.settings import JobError

pytestmark = pytest.mark.engines
ROWS = 2_500


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session of one thread, in whose Python workers this code runs."""
    need("pyspark")
    from tafe_tf.engines.spark import session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_SUBMIT_ARGS", "--master local[1] pyspark-shell")
        made = session()
        yield made
        made.stop()


@pytest.fixture(scope="module")
def local(
    exports: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Any]]:
    """The scores of 2,500 rows by the local runner, and the path of the rows as "path"."""
    path = mkdir(tmp_path_factory.mktemp("frames") / "in") / "a.parquet"
    write(path, small_models.rows("shop", ROWS) | {"id": list(range(ROWS))})
    task = job(exports["shop"], path, keys=("id",))
    scoring.run(task)
    return scores(task) | {"path": [str(path)]}


def test_a_frame_gets_the_local_runners_bits_lazily(
    spark: Any, exports: dict[str, pathlib.Path], local: dict[str, list[Any]]
) -> None:
    from pyspark.sql import functions as F

    from tafe_tf.serving.batch.spark import score

    frame = spark.read.parquet(*local["path"])
    frame = frame.withColumn("more", F.struct(F.col("id").alias("n"))).withColumn("x.y", F.lit(1))
    frame = frame.withColumn("broken", F.raise_error(F.lit("read")).cast("int"))
    scored = score(frame, str(exports["shop"].parent), keys=["id", "more", "x.y"], native="off")
    names = [name for name in local if name not in ("id", "row", "path")]
    assert scored.columns == ["id", "more", "x.y", *names]
    found = scored.collect()  # `broken` is not read, so it raises nothing
    assert {row["x.y"] for row in found} == {1}
    assert [row["id"] for row in found] == [row["more"]["n"] for row in found]
    for name in ("id", *names):  # a float becomes a Python float without loss
        assert [row[name] for row in found] == local[name]


def test_columns_of_other_types_mean_the_same(
    spark: Any, exports: dict[str, pathlib.Path], local: dict[str, list[Any]]
) -> None:
    from tafe_tf.serving.batch.spark import score

    frame = spark.read.parquet(*local["path"]).limit(200)
    plain = score(frame, str(exports["shop"]), native="off").collect()
    changed = 0
    for name, kind in frame.dtypes:
        if kind == "bigint":
            for other in ("decimal(20,0)", "double", "string"):
                retyped = frame.withColumn(name, frame[name].cast(other))
                assert score(retyped, str(exports["shop"]), native="off").collect() == plain
                changed += 1
    assert changed >= 3


def test_bad_rows_are_named_or_left_out(
    spark: Any, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F

    from tafe_tf.engines.spark import reason_of
    from tafe_tf.serving.batch.spark import score

    path = tmp_path / "a.parquet"
    columns = small_models.rows("loans", 300)
    write(path, columns | {"id": list(range(300))})
    model = str(exports["loans"])
    frame = spark.read.parquet(str(path))
    item = F.when(F.col("id") == 139, "seven").otherwise(F.col("item").cast("string"))
    bad = frame.withColumn("item", item)
    with pytest.raises(PySparkException) as raised:
        score(bad, model, native="off").collect()
    said = "DataFrame, partition 0: row 140, column 'item': must be an integer. Received: 'seven'"
    assert reason_of(raised.value) == said
    kept = score(bad, model, keys=["id"], on_bad_row="drop", native="off").collect()
    assert [row["id"] for row in kept] == [i for i in range(300) if i != 139]
    with pytest.raises(JobError, match="DataFrame: column 'item' is missing; the columns are"):
        score(frame.drop("item"), model)
    with pytest.raises(JobError, match="key 'p_fund' is reserved"):
        score(frame.withColumn("p_fund", F.lit(1)), model, keys=["p_fund"])


def test_the_example_of_the_docstring_runs(
    spark: Any,
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tafe_tf.serving.batch import spark as module

    mkdir(tmp_path / "models")
    (tmp_path / "models" / "shop").symlink_to(exports["shop"].parent)
    write(tmp_path / "events.parquet", small_models.rows("shop", 20))
    (tmp_path / "events.parquet").rename(mkdir(tmp_path / "events") / "part-0.parquet")
    monkeypatch.chdir(tmp_path)
    finder = doctest.DocTestFinder()
    (test,) = finder.find(module.score, "score", globs={"spark": spark, "score": module.score})
    for example in test.examples:  # Spark's paths do not follow this process to another directory
        for name in ("events", "scores"):
            example.source = example.source.replace(f'"{name}"', f'"{tmp_path / name}"')
    runner = doctest.DocTestRunner()
    assert runner.run(test).failed == 0 and runner.tries == 4
    assert spark.read.parquet(str(tmp_path / "scores")).count() == 20
