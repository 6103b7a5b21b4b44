"""Builds the vocabularies of a dataset and says what the embedding table will cost.

    python -m tafe_tf.prepare --data_dir=DIR [--schema=FILE] [--run_dir=DIR]

builds the vocabularies from the training files. They go beside the schema unless --run_dir is
given. `tafe_tf.train` does this itself where it has not been done.

    python -m tafe_tf.prepare --data_dir=DIR --output_dir=DIR [--format=tfrecord]

first writes the files of all splits as shards, checked and with only the columns of the schema,
from which training reads the same rows faster; schema and vocabularies go beside them. Killed at
any moment, the same command goes on with the shards that are missing. `prepared.json`, which is
written last, says that none is.

In place of --data_dir, --train, --valid and --test name files and patterns.

--runner gives the work to the workers of Dask, Spark or Apache Beam, and ends with the same bytes.
Every worker must then find the files under the same path:

    --runner=dask --dask_address=tcp://HOST:8786
    --runner=spark
    --runner=beam --beam_args="--runner=FlinkRunner --flink_master=HOST:8081 --parallelism=16"
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tafe_tf.first_look import start
from tafe_tf.terminal import ending

if __name__ == "__main__":  # TensorFlow takes seconds to import: first what is quickly seen
    ending.end_on_sigterm()
    start.stop_if_wrong(sys.argv)

from absl.flags import DEFINE_enum, DEFINE_integer, DEFINE_string, declare_key_flag
from rich.table import Table

from tafe_tf import flags, memory, schema_toml
from tafe_tf.data import lock
from tafe_tf.data.atomic import read_json
from tafe_tf.data.bad_rows import BadRows, Dropped
from tafe_tf.data.batches.known_labels import count_unknown
from tafe_tf.data.batches.times import judged_at
from tafe_tf.data.formats.read import BLOCK_ROWS, notes_of
from tafe_tf.data.formats.splits import common_folder
from tafe_tf.data.shards.job import EXTENSIONS, ShardJob
from tafe_tf.engines.dealt import DealtEngine
from tafe_tf.engines.local import LocalEngine
from tafe_tf.engines.preparation import (
    Engine,
    VocabularyJob,
    build_vocabularies,
    prepare_shards,
)
from tafe_tf.engines.runners import (
    BEAM_ARGS_HELP,
    DASK_ADDRESS_HELP,
    RUNNER_HELP,
    driver_of,
)
from tafe_tf.features.graph import Features
from tafe_tf.features.table_size import (
    RowSize,
    check_known_table,
    check_table,
    rows_of_owners,
)
from tafe_tf.features.vocabulary import STATISTICS
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import absolute, is_remote, join, parent_of
from tafe_tf.storage.listing import is_file
from tafe_tf.storage.staging import fetch_file, fetch_tree
from tafe_tf.terminal import command
from tafe_tf.terminal.field_shares import print_unseen
from tafe_tf.terminal.progress import Progress
from tafe_tf.terminal.tables import print_unknown, show
from tafe_tf.training.schema_copy import text_of_copy

for _name in (
    "data_dir",
    "train",
    "valid",
    "test",
    "input_format",
    "schema",
    "run_dir",
    "embedding_dim",
    "embedding_dtype",
):
    declare_key_flag(_name)
for _name in ("on_bad_row", "max_bad_rows", "now"):
    declare_key_flag(_name)
_OUTPUT_DIR = DEFINE_string(
    "output_dir",
    "",
    "Folder to write shards into, or its URI in a store; it is made if it is not there. By default "
    "no shards are written.",
)
_FORMAT = DEFINE_enum(
    "format", "parquet", list(EXTENSIONS), "File format of the shards that --output_dir asks for."
)
_SHARD_ROWS = DEFINE_integer(
    "shard_rows",
    ShardJob.shard_rows,
    "How many rows of a file make a shard, bad rows included: a multiple of "
    f"{BLOCK_ROWS:,} or any number below it.",
)
_RUNNER = DEFINE_string("runner", "local", RUNNER_HELP)
_BEAM_ARGS = DEFINE_string("beam_args", "", BEAM_ARGS_HELP)
_DASK_ADDRESS = DEFINE_string("dask_address", "", DASK_ADDRESS_HELP)

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
    "In training LazyAdam keeps two float32 moments beside the table. min_count leaves rare values "
    "without a row; kind 'hash' gives any number of values `buckets` rows."
)


def main(argv: list[str]) -> None:
    """Prepares, and prints sizes; what the user can mend ends it with one line and exit code 1."""
    command.only_flags(argv)
    with command.one_line_errors():
        flags.required_with_rows()
        schema_file = flags.schema_file()
        schema = schema_toml.load(schema_file)
        model = flags.model_config().all_arguments()
        row = RowSize(dim=model["embedding_dim"], dtype=model["embedding_dtype"])
        is_here = _RUNNER.value in ("", "local")
        available = memory.available() if is_here else None  # workers are other machines
        check_known_table(schema, row, available)
        files = flags.sources().absolute().find()
        for note in notes_of(files["train"], schema):
            print(note, flush=True)
        if _OUTPUT_DIR.value:
            job = _shard_job(schema, schema_file, files)
            print_shards(job.output, prepare_shards(job, _engine()))
            directory = job.output
        else:
            directory = _vocabulary_directory(schema_file)
            vocabularies = _vocabulary_job(schema, files["train"], directory)
            _refuse_run(directory)
            with lock.locked(directory):
                print_dropped(build_vocabularies(vocabularies, _engine()))
        with _on_this_machine(directory) as here:
            show(size_table(schema, here, row))
            if is_here:
                _print_immature(schema, files)
            print_unseen(read_json(pathlib.Path(here) / STATISTICS)["unseen"])
            check_table(schema, Features(schema, here).rows, row, available)


@contextlib.contextmanager
def _on_this_machine(directory: str) -> Iterator[str]:
    """Where the vocabularies are on this machine; those in a store are brought here."""
    if not is_remote(directory):
        yield directory
        return
    with tempfile.TemporaryDirectory() as folder:
        fetch_file(join(directory, STATISTICS), pathlib.Path(folder, STATISTICS))
        if read_json(pathlib.Path(folder, STATISTICS))["files"]:
            fetch_tree(join(directory, "vocabulary"), pathlib.Path(folder, "vocabulary"))
        yield folder


def _refuse_run(directory: str) -> None:
    """Raises CommandError if a model's vocabularies lie there, which others must not replace."""
    if is_file(join(directory, "flags.txt")):
        raise command.CommandError(
            f"{directory}: holds a run, whose vocabularies stay as they are; give another "
            "--run_dir, or run the same `tafe train` again to go on with it"
        )


def _print_immature(schema: Schema, files: Mapping[str, Sequence[str]]) -> None:
    """Says how many training rows are too young to know a label, as training does."""
    config = flags.training_config()
    now = judged_at(config.now, schema, files, _bad_rows())
    if now is not None:
        print_unknown(count_unknown(files["train"], schema, now, _bad_rows()))


def _bad_rows() -> BadRows:
    """What becomes of bad rows; each pass counts its own."""
    config = flags.training_config()
    return BadRows(config.on_bad_row, config.max_bad_rows)


def _vocabulary_directory(schema_file: str) -> str:
    """Where vocabularies go: --run_dir, or beside the schema."""
    return absolute(flags.RUN_DIR.value or parent_of(schema_file))


def _shard_job(
    schema: Schema,
    schema_file: str,
    files: Mapping[str, Sequence[str]],
) -> ShardJob:
    if flags.RUN_DIR.value:
        raise command.CommandError(
            "--run_dir and --output_dir must not both be given: vocabularies go beside the shards"
        )
    # As a worker finds them too; so folders that earlier versions have prepared stay theirs.
    is_found_by_name = flags.DATA_DIR.value and not flags.sources().input_format
    return ShardJob(
        data_dir=absolute(flags.DATA_DIR.value) if is_found_by_name else common_folder(files),
        named={} if is_found_by_name else files,
        schema=schema,
        schema_text=text_of_copy(schema, schema_file),
        output=absolute(_OUTPUT_DIR.value).rstrip("/"),
        format=_FORMAT.value,
        shard_rows=_SHARD_ROWS.value,
        on_bad_row=flags.training_config().on_bad_row,
        max_bad_rows=flags.training_config().max_bad_rows,
    )


def _vocabulary_job(
    schema: Schema,
    files: Sequence[str],
    directory: str,
) -> VocabularyJob:
    return VocabularyJob(
        files=files,
        schema=schema,
        directory=directory,
        on_bad_row=flags.training_config().on_bad_row,
        max_bad_rows=flags.training_config().max_bad_rows,
    )


def _engine() -> Engine:
    """Who does the work, as --runner says."""
    driver = driver_of(_RUNNER.value, _BEAM_ARGS.value, _DASK_ADDRESS.value)
    if driver is None:
        return LocalEngine(_progress)
    return DealtEngine(driver, _progress)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    with Progress("writing shards", None, unit="rows") as bar:
        yield lambda rows: bar.advance(rows, rows)


def print_shards(output: str, counts: dict[str, Any]) -> None:
    """Prints how many rows stand in shards, how many were dropped, and why."""
    for reason in counts["reasons"]:
        print(reason)
    by_split = counts["rows"]
    rows = ", ".join(f"{count['written']:,} {split}" for split, count in by_split.items())
    dropped = sum(count["dropped"] for count in by_split.values())
    print(f"{output}: {rows} rows in shards, {dropped:,} dropped")


def print_dropped(dropped: Sequence[Dropped]) -> None:
    """Prints which rows were dropped and why, a line each."""
    for reason in dropped:
        print(reason)


def size_table(schema: Schema, directory: str, row: RowSize) -> Table:
    """What each field's rows of the embedding table take, in the table alone and in training.

    Args:
        schema: The dataset's schema.
        directory: The folder that holds its vocabularies and statistics.
        row: The size of one row.
    """
    rows = rows_of_owners(schema, Features(schema, directory).rows)
    statistics = read_json(pathlib.Path(directory) / STATISTICS)
    table = Table(
        title=f"{schema.name}: {statistics['rows']:,} rows, rates {statistics['rate']}",
        title_justify="left",
        caption=_CAPTION,
        caption_justify="left",
        show_footer=True,
    )
    total = sum(rows)
    in_training = []
    for feature, count in zip(schema.id_features, rows, strict=True):
        in_training.append(count * row.bytes_in_training(feature.trainable))
    footers = ["in all", "", "", *_cells(total, total, row, sum(in_training))]
    for header, footer in zip(_HEADERS, footers, strict=True):
        is_text = header in ("field", "kind")
        table.add_column(header, footer, justify="left" if is_text else "right")
    of_feature = dict(zip(schema.id_features, rows, strict=True))
    for feature in schema.features:
        count = of_feature.get(feature, 0)  # numbers and vectors have no rows
        size = count * row.bytes_in_training(feature.trainable)
        if feature.shares:
            table.add_row(feature.name, f"shares {feature.shares}", "-", "-", "-", "-", "-")
            continue
        distinct = statistics["distinct"].get(feature.name)
        values = "-" if distinct is None else f"{distinct:,}"
        table.add_row(feature.name, feature.kind, values, *_cells(count, total, row, size))
    return table


def _cells(count: int, total: int, row: RowSize, in_training: int) -> list[str]:
    """The cells of a number of rows: the number, what they take, and their share of all."""
    return [
        f"{count:,}",
        f"{count * row.stored_bytes / 2**20:.2f}",
        f"{in_training / 2**20:.2f}",
        f"{count / total:.1%}",
    ]


if __name__ == "__main__":
    command.run(main)
