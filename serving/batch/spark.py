"""Scores of a Spark DataFrame (extra `[spark]`), from any source that Spark reads.

Only DataFrames are used, no SparkContext and no RDD, so that it works over Spark Connect too.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import FloatType, StructField, StructType

from tafe_tf import machine
from tafe_tf.data.bad_rows import BadRows, Policy
from tafe_tf.data.errors import DataError, check_columns
from tafe_tf.data.formats.in_memory import ArrowRows
from tafe_tf.data.formats.nested import root_of
from tafe_tf.data.formats.read import BLOCK_ROWS, read_blocks
from tafe_tf.export.session_model import DEFAULT_SIGNATURE
from tafe_tf.export.versions import one_address
from tafe_tf.native.library import Mode
from tafe_tf.serving.batch.block_scores import loaded, score_block
from tafe_tf.serving.batch.settings import JobError, Settings, check_model
from tafe_tf.storage.addresses import absolute


def score(
    frame: DataFrame,
    model: str,
    *,
    keys: Sequence[str] = (),
    signature: str = DEFAULT_SIGNATURE,
    batch_size: int = 1024,
    on_bad_row: Policy = "raise",
    native: Mode = "auto",
) -> DataFrame:
    """Scores of the rows of a DataFrame, computed when Spark runs what is made of the result.

    The values are those of `serving.batch_score`, to the bit. Columns may have any type that
    stands for what the schema says: numbers, decimals, booleans, texts, dates, times, and arrays,
    maps or structs where the schema reaches into them. Each Python worker loads the model once.

    A bad row is one that breaks the schema's rules, as everywhere. It is named by the number of the
    partition and its place there, since Spark tells no file. How many rows are left out is neither
    counted nor limited: a DataFrame is computed in parts, in any number of passes, and has no end
    at which `max_bad_rows` could judge. Compare the counts of both frames.

    Args:
        frame: The rows. Columns that the model does not read may be there too.
        model: The directory of an exported version, or of versions, whose highest is taken. Every
            worker must find it under the same path.
        keys: Names of columns of `frame` that the result keeps, of any type. Default: none.
        signature: The signature to compute. Default: "serving_default", every probability.
        batch_size: Rows that the model scores at a time. Default: 1024.
        on_bad_row: "raise" to end Spark's job with an error, or "drop" to leave the row out.
            Default: "raise".
        native: Whether the native kernel computes, see `SessionModel`. Default: "auto", where it
            was built.

    Returns:
        A frame of the keys, and of the signature's outputs as floats, in the order of the rows.

    Raises:
        JobError: If the model is not what was published, or a column or key is missing or doubled.

    Example:

        >>> frame = spark.read.parquet("events")
        >>> scored = score(frame, "models/shop", keys=["user"])
        >>> scored.columns
        ['user', 'ctr', 'ctcvr', 'cvr']
        >>> scored.write.parquet("scores")
    """
    settings = Settings(
        model=one_address(absolute(model)),
        keys=tuple(keys),
        signature=signature,
        batch_size=batch_size,
        on_bad_row=on_bad_row,
        native=native,
    )
    check_model(settings.model)
    names = _columns(settings, frame.columns)
    # Under plain names: mapInArrow takes no column whose name has a dot.
    chosen = frame.select(*(_column(name).alias(f"column{i}") for i, name in enumerate(names)))
    kinds = dict(zip(names, (field.dataType for field in chosen.schema.fields), strict=True))
    fields = [StructField(name, kinds[name]) for name in settings.keys]
    fields += [StructField(name, FloatType()) for name in settings.outputs]
    task = functools.partial(_scores, settings, names)
    return chosen.mapInArrow(task, StructType(fields))


def _columns(settings: Settings, present: Sequence[str]) -> list[str]:
    """The columns of a frame that are read or kept, each once."""
    for key in settings.keys:
        if key in settings.outputs:
            raise JobError(f"key {key!r} is reserved: the result has {', '.join(settings.outputs)}")
        if settings.keys.count(key) > 1:
            raise JobError(f"key {key!r} must be given once. Received: {', '.join(settings.keys)}")
    inputs = [root_of(present, column.name) for column in settings.schema.served_inputs]
    names = list(dict.fromkeys([*settings.keys, *inputs]))
    try:
        check_columns("DataFrame", names, list(present))
    except DataError as error:
        raise JobError(str(error)) from None
    return names


def _column(name: str) -> Column:
    """A column by its name, in which a dot does not reach into a struct."""
    quoted = name.replace("`", "``")
    return F.col(f"`{quoted}`")


def _scores(
    settings: Settings,
    names: Sequence[str],
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Scores the rows of one partition, whose columns have some names, on a worker."""
    context = TaskContext.get()
    name = f"DataFrame, partition {context.partitionId() if context else 0}"
    model = loaded(settings)
    columns = [column.name for column in settings.schema.served_inputs]
    with ThreadPoolExecutor(machine.threads()) as workers:
        for before, gathered in _gathered(batches):
            table = gathered.rename_columns(list(names))
            source = ArrowRows(name, table, before)
            bad_rows = BadRows(settings.on_bad_row)
            for block in read_blocks([source], settings.schema, bad_rows=bad_rows, columns=columns):
                scores, _ = score_block(model, settings, block, workers)
                rows = pa.array(block.row - 1 - before)
                kept = {key: table[key].take(rows) for key in settings.keys}
                yield from pa.table({**kept, **scores}).combine_chunks().to_batches()
            for reason in bad_rows.reasons():
                print(reason, file=sys.stderr)


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Tables of about as many rows as a block has, each with the number of the rows before it."""
    before = 0
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(item.num_rows for item in waiting) >= BLOCK_ROWS:
            table = pa.Table.from_batches(waiting)
            yield before, table
            before += table.num_rows
            waiting = []
    if any(item.num_rows for item in waiting):
        yield before, pa.Table.from_batches(waiting)
