"""Scores files: Parquet, CSV or TFRecord in, Parquet out, with keys to join them by.

    python -m serving.batch_score --model=DIR --input='GLOB' --output=DIR [--keys=request_id,user]

An output file holds the keys, `row` (the row's number in its input file, from 1) and the outputs of the signature.
Killed at any moment, the same command goes on with the parts that are missing. `_SUCCESS.json` says that none is.

--runner runs the same as an Apache Beam pipeline, one that all of Beam's runners take, and --beam_args are its
options. Model, input and output must then lie where every worker finds them under the same path:

    --runner=FlinkRunner --beam_args="--flink_master=HOST:8081 --parallelism=16"
"""

from __future__ import annotations

import os
import pathlib
import shlex
import sys
from typing import Any

import tensorflow as tf
from absl import app, flags

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import BLOCK_ROWS
from tafe_tf.export.session_model import DEFAULT_SIGNATURE
from tafe_tf.export.versions import latest
from tafe_tf.schema import SchemaError
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.job import Job, JobError, find_inputs

_MODEL = flags.DEFINE_string(
    "model", None, "An exported version, or the directory of versions: then the highest."
)
_INPUT = flags.DEFINE_multi_string(
    "input", None, "A file, or a quoted pattern such as 'DIR/*.parquet'; repeatable."
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory of the scores; made if it is not there.")
_KEYS = flags.DEFINE_list("keys", [], "Columns of the input to carry through, comma-separated.")
_SIGNATURE = flags.DEFINE_string(
    "signature", DEFAULT_SIGNATURE, "What to compute: every probability, or one by name."
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "Rows a call of the model.")
_ROWS_PER_SHARD = flags.DEFINE_integer(
    "rows_per_shard",
    16 * BLOCK_ROWS,
    f"Input rows an output file: a multiple of {BLOCK_ROWS}, or below it.",
)
_ON_BAD_ROW = flags.DEFINE_enum(
    "on_bad_row", "raise", ["raise", "drop"], "Stop at a bad row, or leave it out."
)
_RUNNER = flags.DEFINE_string(
    "runner",
    "",
    "Run as an Apache Beam pipeline: DirectRunner, FlinkRunner, SparkRunner, DataflowRunner, ...",
)
_BEAM_ARGS = flags.DEFINE_string("beam_args", "", "Further options of Beam, quoted as one.")


def main(argv: list[str]) -> None:
    """Scores and says how many rows; what the user can mend ends it with one line and exit code 1."""
    if len(argv) != 1:
        raise app.UsageError(
            f"quote the pattern of --input. Received besides: {' '.join(argv[1:])}"
        )
    try:
        job = _job()
        print(f"{job.output}: scoring {len(job.inputs)} file(s) with {job.model}", flush=True)
        _report(job, _run(job))
    except (JobError, DataError, SchemaError, OSError, tf.errors.OpError) as error:
        sys.exit(f"error: {error}")


def _job() -> Job:
    for flag in (_MODEL, _INPUT, _OUTPUT):
        if not flag.value:
            raise JobError(f"--{flag.name} must be given")
    model = pathlib.Path(os.path.abspath(_MODEL.value))
    return Job(
        model=str(model if (model / "saved_model.pb").exists() else latest(model)),
        inputs=find_inputs(_INPUT.value),
        output=os.path.abspath(_OUTPUT.value),
        keys=tuple(_KEYS.value),
        signature=_SIGNATURE.value,
        batch_size=_BATCH_SIZE.value,
        rows_per_shard=_ROWS_PER_SHARD.value,
        on_bad_row=_ON_BAD_ROW.value,
    )


def _run(job: Job) -> dict[str, Any]:
    if not _RUNNER.value:
        return scoring.run(job)
    try:
        from tafe_tf.serving.batch import beam
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("apache_beam"):
            raise
        raise JobError("--runner needs Apache Beam: pip install 'tafe_tf[beam]'") from None
    return beam.run(job, [f"--runner={_RUNNER.value}", *shlex.split(_BEAM_ARGS.value)])


def _report(job: Job, summary: dict[str, Any]) -> None:
    for item in summary["inputs"].values():
        for reason in item["reasons"]:
            print(reason)
    print(f"{job.output}: {summary['rows']:,} rows scored, {summary['dropped']:,} dropped")


if __name__ == "__main__":
    app.run(main)
