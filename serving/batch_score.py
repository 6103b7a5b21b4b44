"""Scores files: Parquet, CSV or TFRecord in, Parquet out, with keys to join them by.

    python -m serving.batch_score --model=DIR --input='GLOB' --output=DIR [--keys=request_id,user]

An output file holds the keys, `row` (the row's number in its input file, from 1) and the outputs of
the signature. If the job is killed at any moment, the same command goes on with the parts that are
missing. `_SUCCESS.json` is written last and says that none is. At the end a table shows the shares
of missing and of unseen values beside those of the training rows.

With --runner the workers of Dask, Spark or Apache Beam do the same job. Model, input and output
must then lie where every worker finds them under the same path:

    --runner=dask --dask_address=tcp://HOST:8786
    --runner=spark
    --runner=beam --beam_args="--runner=FlinkRunner --flink_master=HOST:8081 --parallelism=16"
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from absl import app, flags

from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.formats.file_kinds import INPUT_FORMAT_HELP, INPUT_FORMATS
from tafe_tf.data.formats.read import BLOCK_ROWS, notes_of
from tafe_tf.engines.runners import (
    BEAM_ARGS_HELP,
    DASK_ADDRESS_HELP,
    RUNNER_HELP,
    driver_of,
)
from tafe_tf.export.errors import ExportError
from tafe_tf.export.versions import one_address
from tafe_tf.native.library import MODES
from tafe_tf.serving.batch import scoring
from tafe_tf.serving.batch.block_scores import CHECKED_ROWS
from tafe_tf.serving.batch.job import Job, find_inputs
from tafe_tf.storage.addresses import absolute
from tafe_tf.terminal import command
from tafe_tf.terminal.field_shares import print_field_shares

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "The directory of an exported version, or the directory of versions, whose highest is taken. "
    "Or the URI of either in a store.",
)
_INPUT = flags.DEFINE_multi_string(
    "input",
    None,
    "A file or a directory to score, or a quoted pattern such as 'DIR/dt=2026-11-*'; or @FILE, a "
    "list of these, one a line. The flag may be repeated.",
)
_INPUT_FORMAT = flags.DEFINE_enum(
    "input_format",
    None,
    INPUT_FORMATS,
    INPUT_FORMAT_HELP,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The directory to write the scores to, or its URI in a store; it is made if it is not there.",
)
_KEYS = flags.DEFINE_list(
    "keys", Job.keys, "Names of input columns to write beside the scores, comma-separated."
)
_SIGNATURE = flags.DEFINE_string(
    "signature",
    Job.signature,
    "The signature to compute: serving_default gives every probability, and each probability has "
    "a signature of its own name.",
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", Job.batch_size, "The number of rows that the model scores at a time."
)
_ROWS_PER_SHARD = flags.DEFINE_integer(
    "rows_per_shard",
    Job.rows_per_shard,
    f"The number of input rows whose scores make one output file: a multiple of {BLOCK_ROWS}, or "
    "less than that.",
)
_ON_BAD_ROW = flags.DEFINE_enum(
    "on_bad_row",
    Job.on_bad_row,
    ["raise", "drop"],
    "What to do with a row that breaks the schema's rules: stop with an error, or leave it out.",
)
_MAX_BAD_ROWS = flags.DEFINE_string(
    "max_bad_rows",
    Job.max_bad_rows,
    "How many rows may be left out before the job ends with an error: a number such as 1000, or a "
    "share of the rows such as 1%, which allows 100 rows in any case.",
)
_NATIVE = flags.DEFINE_enum(
    "native",
    Job.native,
    MODES,
    "Whether to compute by the native kernel for CPUs, which `tafe native` builds: auto where it "
    "was built and applies, on refuses to score without it, off by the model's own operations. "
    f"The first {CHECKED_ROWS} rows of each block of {BLOCK_ROWS} are computed both ways, and the "
    "job stops where they differ.",
)
_RUNNER = flags.DEFINE_string("runner", "local", RUNNER_HELP)
_BEAM_ARGS = flags.DEFINE_string("beam_args", "", BEAM_ARGS_HELP)
_DASK_ADDRESS = flags.DEFINE_string("dask_address", "", DASK_ADDRESS_HELP)


def main(argv: list[str]) -> None:
    """Scores the files; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        received = " ".join(argv[1:])
        raise app.UsageError(f"quote the pattern of --input. Received besides: {received}")
    with command.one_line_errors(tf.errors.OpError, ExportError):
        command.required(model=_MODEL.value, input=_INPUT.value, output=_OUTPUT.value)
        job = Job(
            model=one_address(absolute(_MODEL.value)),
            inputs=find_inputs(_INPUT.value, _INPUT_FORMAT.value or ""),
            output=absolute(_OUTPUT.value).rstrip("/"),
            keys=tuple(_KEYS.value),
            signature=_SIGNATURE.value,
            batch_size=_BATCH_SIZE.value,
            rows_per_shard=_ROWS_PER_SHARD.value,
            on_bad_row=_ON_BAD_ROW.value,
            max_bad_rows=_MAX_BAD_ROWS.value,
            native=_NATIVE.value,
        )
        print(f"{job.output}: scoring {len(job.inputs)} file(s) with {job.model}", flush=True)
        for note in notes_of([source.path for source in job.inputs], job.schema):
            print(note, flush=True)
        driver = driver_of(_RUNNER.value, _BEAM_ARGS.value, _DASK_ADDRESS.value)
        summary = scoring.run(job, driver)
    for item in summary["inputs"].values():
        for reason in item["reasons"]:
            print(reason)
    _print_fields(summary)
    print(f"{job.output}: {summary['rows']:,} rows scored, {summary['dropped']:,} dropped")


def _print_fields(summary: dict[str, Any]) -> None:
    """Prints the shares of missing and of unseen values beside those of training."""
    if summary["fields"] is None:
        print("the model does not tell which values are unseen: it was exported before it could")
        return
    counts = FieldCounts.of_json(summary["fields"])
    title = f"values of {summary['rows']:,} scored rows"
    print_field_shares(counts, summary["training"], title)


if __name__ == "__main__":
    command.run(main)
