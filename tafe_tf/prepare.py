"""Builds the vocabularies of a dataset from its training files, and says what the embedding table will cost.

    python -m tafe_tf.prepare --data_dir=DIR [--schema=FILE] [--run_dir=DIR]

They go beside the schema unless --run_dir is given. `tafe_tf.train` does this itself where it has not been done.

    python -m tafe_tf.prepare --data_dir=DIR --output_dir=DIR [--format=tfrecord]

first writes the files of all splits as shards, checked and with the schema's columns only, from which training reads
the same rows faster; schema and vocabularies go beside them. Killed at any moment, the same command goes on with the
shards that are missing. `prepared.json`, written last, says that none is.

--runner runs either as Apache Beam pipelines, with the same bytes as outcome, and --beam_args are Beam's options. Files
must then lie where every worker finds them under the same path:

    --runner=FlinkRunner --beam_args="--flink_master=HOST:8081 --parallelism=16"
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import tensorflow as tf
from absl import app
from absl.flags import DEFINE_enum, DEFINE_integer, DEFINE_string, declare_key_flag
from rich.table import Table

from tafe_tf import flags, schema, schema_toml
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import BLOCK_ROWS, find_files
from tafe_tf.data.shards import job as shard_job
from tafe_tf.data.shards.job import ShardJob
from tafe_tf.data.shards.write import convert
from tafe_tf.engines.beam.pipeline import PipelineError
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.terminal.progress import Progress
from tafe_tf.terminal.tables import show
from tafe_tf.training.run_dir import RunError

for _name in ("data_dir", "schema", "run_dir", "embedding_dim", "embedding_dtype", "on_bad_row"):
    declare_key_flag(_name)
_OUTPUT_DIR = DEFINE_string(
    "output_dir", "", "Write shards into this directory; made if it is not there."
)
_FORMAT = DEFINE_enum("format", "parquet", list(shard_job.EXTENSIONS), "Of the shards.")
_SHARD_ROWS = DEFINE_integer(
    "shard_rows",
    16 * BLOCK_ROWS,
    f"Rows of a file that make a shard: a multiple of {BLOCK_ROWS}, or below it.",
)
_RUNNER = DEFINE_string(
    "runner",
    "",
    "Run as Apache Beam pipelines: DirectRunner, FlinkRunner, SparkRunner, DataflowRunner, ...",
)
_BEAM_ARGS = DEFINE_string("beam_args", "", "Further options of Beam, quoted as one.")

_MOMENTS_BYTES = 2 * 4  # LazyAdam keeps two float32 numbers for each of the table's
_HEADERS = (
    "field",
    "kind",
    "distinct values",
    "rows of the table",
    "MiB",
    "MiB in training",
    "share",
)
_CAPTION = (
    "In training LazyAdam keeps two float32 moments beside the table. min_count leaves rare values without a row; kind "
    "'hash' gives any number of values `buckets` rows."
)


def main(argv: list[str]) -> None:
    """Prepares, and prints sizes; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        prepare()
    except (DataError, OSError, PipelineError, RunError, schema.SchemaError) as error:
        sys.exit(f"error: {error}")


def prepare() -> None:
    """What `main` does, errors aside."""
    flags.required(data_dir=flags.DATA_DIR.value)
    dataset = schema_toml.load(flags.schema_file())
    data_dir = os.path.abspath(flags.DATA_DIR.value)
    if _OUTPUT_DIR.value:
        directory = _write_shards(data_dir, dataset)
    else:
        directory = os.path.abspath(flags.RUN_DIR.value or pathlib.Path(flags.schema_file()).parent)
        _build(find_files(data_dir, "train"), dataset, directory)
    statistics = _read(directory, "statistics.json")
    show(_sizes(dataset, Features(dataset, directory).rows, statistics))


def _write_shards(data_dir: str, dataset: schema.Schema) -> str:
    """Writes what is missing of --output_dir, and gives its path."""
    if flags.RUN_DIR.value:
        raise RunError(
            "--run_dir and --output_dir must not both be given: vocabularies go beside the shards"
        )
    output = os.path.abspath(_OUTPUT_DIR.value)
    job = ShardJob(
        data_dir=data_dir,
        schema=dataset,
        schema_text=pathlib.Path(flags.schema_file()).read_text(encoding="utf-8"),
        output=output,
        format=_FORMAT.value,
        shard_rows=_SHARD_ROWS.value,
        on_bad_row=flags.ON_BAD_ROW.value,
    )
    left = shard_job.begin(job, each_part=bool(_RUNNER.value))
    if left is not None:
        _convert(job, left)
        counts = shard_job.summary(job)
        _build(find_files(output, "train"), dataset, output)
        shard_job.finish(job, counts)
    counts = _read(output, shard_job.PREPARED)
    for reason in counts["reasons"]:
        print(reason)
    rows = ", ".join(f"{count['written']:,} {split}" for split, count in counts["rows"].items())
    print(
        f"{output}: {rows} rows in shards, {sum(c['dropped'] for c in counts['rows'].values()):,} dropped"
    )
    return output


def _convert(job: ShardJob, left: list[shard_job.Piece]) -> None:
    if _RUNNER.value:
        _beam().write_shards(job, left, _beam_options())
        return
    with Progress("writing shards", None, unit="rows") as bar:
        for piece in left:
            for rows in convert(job, piece):
                bar.advance(rows, rows)


def _build(files: list[str], dataset: schema.Schema, directory: str) -> None:
    """Writes vocabularies and statistics, and prints what was dropped."""
    bad_rows = flags.bad_rows()
    if _RUNNER.value:
        dropped = _beam().build(files, dataset, directory, bad_rows.policy, _beam_options())
    else:
        vocabulary.build(files, dataset, directory, bad_rows)
        dropped = bad_rows.reasons()
    for reason in dropped:
        print(reason)


def _beam() -> ModuleType:
    try:
        from tafe_tf.engines.beam import prepare as beam_prepare
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("apache_beam"):
            raise
        raise RunError("--runner needs Apache Beam: pip install 'tafe_tf[beam]'") from None
    return beam_prepare


def _beam_options() -> list[str]:
    return [f"--runner={_RUNNER.value}", *shlex.split(_BEAM_ARGS.value)]


def _sizes(dataset: schema.Schema, rows: Sequence[int], statistics: dict[str, Any]) -> Table:
    """What each field's rows of the table take, alone and with the optimizer's moments."""
    dim, size, total = (
        flags.EMBEDDING_DIM.value,
        tf.as_dtype(flags.EMBEDDING_DTYPE.value).size,
        sum(rows),
    )

    def cells(count: int) -> list[str]:
        millions = count * dim / 2**20
        return [
            f"{count:,}",
            f"{millions * size:.2f}",
            f"{millions * (size + _MOMENTS_BYTES):.2f}",
            f"{count / total:.1%}",
        ]

    title = f"{dataset.name}: {statistics['rows']:,} rows, rates {statistics['rate']}"
    table = Table(
        title=title,
        title_justify="left",
        caption=_CAPTION,
        caption_justify="left",
        show_footer=True,
    )
    for header, footer in zip(_HEADERS, ["in all", "", "", *cells(total)], strict=True):
        table.add_column(header, footer, justify="left" if header in ("field", "kind") else "right")
    for feature, count in zip(dataset.features, rows, strict=True):
        distinct = statistics["distinct"].get(feature.name)
        table.add_row(
            feature.name, feature.kind, "-" if distinct is None else f"{distinct:,}", *cells(count)
        )
    return table


def _read(directory: str, name: str) -> dict[str, Any]:
    return dict(json.loads((pathlib.Path(directory) / name).read_text(encoding="utf-8")))


if __name__ == "__main__":
    app.run(main, argv=flags.flagfile_first(sys.argv))
