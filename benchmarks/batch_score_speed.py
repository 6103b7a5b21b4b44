"""Rows a second that batch scoring makes from Parquet files, beside the same model on batches in memory.

python -m benchmarks.batch_score_speed [--rows=131072] [--rounds=5]
"""

from __future__ import annotations

import json
import pathlib
import statistics
import tempfile
import time

from absl import app, flags

from benchmarks.support import ali_ccp_export, ali_ccp_shape
from tafe_tf.data.formats.write import write
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.batch.job import Job, find_inputs
from tafe_tf.serving.batch.ledger import claim
from tafe_tf.serving.batch.scoring import score

_ROWS = flags.DEFINE_integer("rows", 1 << 17, "Rows to score.", lower_bound=1024)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds over both.", lower_bound=1)


def from_memory(model: SessionModel, batch_size: int) -> float:
    """Rows a second of arrays that are there already."""
    rows = ali_ccp_shape.rows(_ROWS.value)
    batches = [
        {n: x[i : i + batch_size] for n, x in rows.items()}
        for i in range(0, _ROWS.value, batch_size)
    ]
    began = time.perf_counter()
    for batch in batches:
        model(batch)
    return float(_ROWS.value / (time.perf_counter() - began))


def from_files(model: SessionModel, job: Job) -> float:
    """Rows a second from Parquet to Parquet."""
    left = claim(job)
    began = time.perf_counter()
    rows = sum(score(model, job, left))
    return rows / (time.perf_counter() - began)


def main(argv: list[str]) -> None:
    """Interleaved rounds; the median ratio and the medians."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    with tempfile.TemporaryDirectory() as directory:
        path = ali_ccp_export.export(pathlib.Path(directory))
        write(f"{directory}/rows.parquet", ali_ccp_shape.rows(_ROWS.value))
        model = SessionModel(path)
        memory: list[float] = []
        files: list[float] = []
        for number in range(_ROUNDS.value):
            inputs = find_inputs([f"{directory}/rows.parquet"])
            job = Job(
                model=str(path),
                inputs=inputs,
                output=f"{directory}/scores-{number}",
                keys=("f101",),
            )
            memory.append(from_memory(model, job.batch_size))
            files.append(from_files(model, job))
    figures = {"memory": statistics.median(memory), "parquet": statistics.median(files)}
    ratio = statistics.median(b / a for a, b in zip(memory, files, strict=True))
    print(json.dumps({**{name: round(x) for name, x in figures.items()}, "ratio": round(ratio, 3)}))


if __name__ == "__main__":
    app.run(main)
