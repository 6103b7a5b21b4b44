"""Parts on the executors of a Spark cluster (extra `[spark]`).

A part is a row of a DataFrame that `mapInArrow` works on, so that Spark Connect takes it as well:
there is no SparkContext and no RDD.
"""

from __future__ import annotations

import functools
import os
import pickle
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from tafe_tf.engines.driver import EngineError, OnRows, Part, Work
from tafe_tf.engines.worker import Errand, attempt, errand_of

# The last line of a traceback, of an error of this package or where it is not installed.
_SAID = re.compile(r"^(?:tafe_tf\.[\w.]+Error|(ModuleNotFoundError)): (.*)$", re.MULTILINE)


class SparkDriver:
    """Deals parts out by Spark; rows are not told before its end.

    The session is the active one, or the one that `spark-submit` or SPARK_REMOTE describe. A part
    whose executor dies, or that fails, is tried again as often as `spark.task.maxFailures` says.
    """

    each_part = True

    def run(
        self,
        work: Work,
        parts: Sequence[Part],
        on_rows: OnRows,
    ) -> None:
        """See `Driver.run`."""
        if not parts:
            return
        pickled = [pickle.dumps(part) for part in parts]
        task = functools.partial(_attempts, errand_of(work), pickled)
        try:
            dealt = session().range(0, len(parts), 1, len(parts))
            for row in dealt.mapInArrow(task, "rows long").collect():
                on_rows(row["rows"])
        except PySparkException as error:
            raise EngineError(reason_of(error)) from error


def session() -> SparkSession:
    """The active session, or a new one whose workers find modules where this process does.

    A `spark.executorEnv.PYTHONPATH` of `spark-submit` or of a configuration file wins over this
    process's own.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("tafe_tf")
    if "SPARK_REMOTE" not in os.environ:  # a server's executors run before we come
        builder = builder.config(conf=_configuration())
    return builder.getOrCreate()


def _configuration() -> SparkConf:
    """Spark's own configuration, with a path for modules if it has none."""
    # Starts the JVM: before, a SparkConf is empty, and what is set in it wins over spark-submit.
    SparkContext._ensure_initialized()
    configuration = SparkConf()
    if "PYTHONPATH" in os.environ:
        configuration.setIfMissing("spark.executorEnv.PYTHONPATH", os.environ["PYTHONPATH"])
    return configuration


def reason_of(error: PySparkException) -> str:
    """What a worker said, in one line; Spark buries it under tracebacks of Python and Java."""
    text = str(error)
    said = _SAID.findall(text)
    if not said:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"Spark: {lines[0]}"
    not_found, message = said[-1]
    if not_found:
        return f"an executor cannot import the package: {message}; install it there"
    return str(message)


def _attempts(
    errand: Errand,
    parts: Sequence[bytes],
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Does the parts whose numbers are the rows of batches."""
    for batch in batches:
        for number in batch.column(0).to_pylist():
            rows = attempt(parts[number], errand)
            yield pa.RecordBatch.from_pydict({"rows": [rows]})
