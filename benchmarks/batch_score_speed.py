"""Measures batch scoring from Parquet to Parquet, and the same model on batches in memory.

    python -m benchmarks.batch_score_speed [--rows=131072] [--rounds=5] [--native=auto]

Ali-CCP's 18 fields and an untrained TAFE. Prints how the model computes, and a line of JSON: the
median rows/s of both, and the median of their ratio round by round.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Mapping

import numpy as np
from absl import flags

from benchmarks.support import ali_ccp_export, ali_ccp_shape
from tafe_tf.data.formats.write import write
from tafe_tf.export.session_model import SessionModel
from tafe_tf.native.library import MODES
from tafe_tf.serving.batch.job import Job, find_inputs
from tafe_tf.serving.batch.ledger import claim
from tafe_tf.serving.batch.scoring import score
from tafe_tf.terminal import command

_ROWS = flags.DEFINE_integer("rows", 1 << 17, "Rows to score in a round.", lower_bound=1024)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How many times both ways are timed.", lower_bound=1)
_NATIVE = flags.DEFINE_enum(
    "native", Job.native, MODES, "Whether to compute by the native kernel, see `tafe score`."
)


def from_memory(model: SessionModel, rows: Mapping[str, np.ndarray], batch_size: int) -> float:
    """Scores rows in memory, batch by batch; returns rows per second."""
    count = len(next(iter(rows.values())))
    batches = []
    for start in range(0, count, batch_size):
        part = slice(start, start + batch_size)
        batches.append({name: column[part] for name, column in rows.items()})
    began = time.perf_counter()
    for batch in batches:
        model(batch)
    return count / (time.perf_counter() - began)


def from_files(model: SessionModel, job: Job) -> float:
    """Runs a batch-scoring job; returns rows per second."""
    left = claim(job)
    began = time.perf_counter()
    rows = sum(score(model, job, left))
    return rows / (time.perf_counter() - began)


def main(argv: list[str]) -> None:
    """Times both ways in alternating rounds."""
    command.only_flags(argv)
    rows = ali_ccp_shape.rows(_ROWS.value)
    memory: list[float] = []
    parquet: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        version = ali_ccp_export.export(pathlib.Path(directory))
        write(f"{directory}/rows.parquet", rows)
        in_memory = SessionModel(version, native=_NATIVE.value)
        model = SessionModel(version, native=_NATIVE.value, native_threads=1)
        print(model.way)
        for number in range(_ROUNDS.value):
            job = Job(
                model=str(version),
                inputs=find_inputs([f"{directory}/rows.parquet"]),
                output=f"{directory}/scores-{number}",
                keys=("f101",),
                native=_NATIVE.value,
            )
            memory.append(from_memory(in_memory, rows, job.batch_size))
            parquet.append(from_files(model, job))
    ratios = [files / arrays for files, arrays in zip(parquet, memory, strict=True)]
    figures = {
        "memory": round(statistics.median(memory)),
        "parquet": round(statistics.median(parquet)),
        "ratio": round(statistics.median(ratios), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    command.run(main)
