"""Vectors that the rows of a field start from, read from a Parquet file.

    id        the value, as the field's column holds it; a column of that name does as well
    vector    a list of numbers, or one of a fixed size, as long as the embedding dimension
    row_of    optional: "value", or "unseen" or "missing" for the row of such values, without an id

`tafe_tf.embeddings` writes such files. A vector is taken as it is: nothing scales it, and nothing
projects it to another length, since a table of d numbers can only start at vectors of d.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.parquet_ranges import ParquetFile
from tafe_tf.data.spelling.plain import is_list, is_text, plain
from tafe_tf.features import vocabulary
from tafe_tf.features.vector_files import path_of
from tafe_tf.schema import ABSENT, FIRST, MISSING, UNSEEN, Feature, Schema
from tafe_tf.shown import shown

ID, VECTOR, ROW_OF = "id", "vector", "row_of"
OF_VALUE, OF_UNSEEN, OF_MISSING = "value", "unseen", "missing"
STATISTICS_KEY = "pretrained"
_BATCH = 1 << 16  # rows of the file at a time
_SPECIAL = {OF_UNSEEN: UNSEEN, OF_MISSING: MISSING}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """What the rows of one field start from.

    Attributes:
        field: The field's place among those with ids.
        name: The field's name.
        path: The file.
        rows: The field's rows that have a vector, int64 [k].
        vectors: Their vectors, float32 [k, d].
        count: The number of values of which the file has a vector.
        values: The number of the field's values, known to the file or not.
    """

    field: int
    name: str
    path: str
    rows: np.ndarray
    vectors: np.ndarray
    count: int
    values: int

    @property
    def covered(self) -> int:
        """The number of the field's values that have a vector."""
        return int((self.rows >= FIRST).sum())

    def __str__(self) -> str:
        what = f"{self.covered:,} of {self.values:,} values have a vector in {self.path}"
        return f"{self.name}: {what}, which has {self.count:,}"


def check_first_rows(schema: Schema, schema_file: str, dim: int) -> None:
    """Finds in the first rows of the files whether they can be what rows start from.

    A file of another form, or of vectors of another length, is so refused before training files are
    read.

    Args:
        schema: The dataset's.
        schema_file: Its file, "" if there is none.
        dim: The embedding dimension.

    Raises:
        DataError: As `read_all`.
    """
    for feature in schema.features:
        if not feature.pretrained:
            continue
        path = path_of(feature, schema_file)
        for batch in itertools.islice(_batches(path, feature), 1):
            where = _Where(path, 0)
            where.ids(batch, feature)
            where.vectors(batch, dim)


def read_all(
    schema: Schema,
    schema_file: str,
    directory: str | pathlib.Path,
    dim: int,
) -> list[Start]:
    """Reads the vectors of all features that have a file.

    Args:
        schema: The dataset's.
        schema_file: Its file, "" if there is none.
        directory: The folder that holds the vocabularies.
        dim: The embedding dimension.

    Raises:
        DataError: If a file cannot be used; of a bad row the message names the row and the value.
    """
    starts = []
    for place, feature in enumerate(schema.id_features):
        if feature.pretrained:
            path = path_of(feature, schema_file)
            starts.append(read(path, place, feature, _values(feature, directory), dim))
    return starts


def note_coverage(statistics: pathlib.Path, starts: Sequence[Start]) -> None:
    """Adds to the statistics how many values of each field have a vector, and of how many.

    Args:
        statistics: The file `statistics.json`.
        starts: What was read.
    """
    noted = read_json(statistics)
    noted[STATISTICS_KEY] = {}
    for start in starts:
        counts = {"vectors": start.count, "covered": start.covered, "values": start.values}
        noted[STATISTICS_KEY][start.name] = counts
    write_json(statistics, noted)


def _values(feature: Feature, directory: str | pathlib.Path) -> pa.Array:
    """The field's values in the order of their rows."""
    if feature.kind == "integer":
        return pa.array(np.arange(feature.size))
    texts = vocabulary.read(directory, feature)
    if feature.dtype == "int64":
        return pa.array([int(text) for text in texts], pa.int64())
    return pa.array(texts, pa.large_string())


def read(
    path: str,
    field: int,
    feature: Feature,
    values: pa.Array,
    dim: int,
) -> Start:
    """Reads the vectors of one field's values.

    Args:
        path: The file, a path or a URI.
        field: The field's place among those with ids.
        feature: The field.
        values: Its values in the order of their rows, int64 or large_string.
        dim: The embedding dimension, which each vector must have.

    Raises:
        DataError: If the file cannot be read or lacks a column, or one has a type that cannot be,
            or if no value of the field has a vector in it.
        BadRowError: At an id that is missing or stands twice, or a vector of another length or with
            a number that is not finite; it names file, row, column and value.
    """
    ids: list[pa.Array] = []  # of all rows, to find those that stand twice
    rows: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    done = 0
    for batch in _batches(path, feature):
        where = _Where(path, done)
        done += len(batch)
        kept = where.ids(batch, feature)
        ids.append(kept)
        found = pc.index_in(kept, value_set=values)
        is_known = found.is_valid().to_numpy(zero_copy_only=False)
        of_values = found.fill_null(0).to_numpy() + FIRST
        special = where.special_rows(batch)
        is_special = special >= 0
        numbers = where.vectors(batch, dim)
        is_kept = is_known | is_special
        rows.append(np.where(is_special, special, of_values)[is_kept])
        vectors.append(numbers[is_kept])
    _check_distinct(path, pa.chunked_array(ids, values.type))
    all_rows = np.concatenate([np.zeros(0, np.int64), *rows])
    for mark, row in _SPECIAL.items():
        if (all_rows == row).sum() > 1:
            raise DataError(f"{path}: column {ROW_OF!r} must hold {mark!r} once")
    all_ids = pa.chunked_array(ids, values.type).drop_null()
    start = Start(
        field=field,
        name=feature.name,
        path=path,
        rows=all_rows,
        vectors=np.concatenate([np.zeros((0, dim), np.float32), *vectors]),
        count=len(all_ids),
        values=len(values),
    )
    if start.count and start.values and not start.covered:
        raise DataError(
            f"{path}: none of its {start.count:,} ids is a value of feature {feature.name!r} in "
            f"the training rows. Ids: {_first(all_ids)}. Values: {_first(values)}"
        )
    return start


def _first(values: pa.Array | pa.ChunkedArray) -> str:
    """The first three values, for a message."""
    named = ", ".join(shown(value.as_py()) for value in values[:3])
    return f"{named}, ..." if len(values) > 3 else named


def _batches(path: str, feature: Feature) -> Iterator[Mapping[str, pa.Array]]:
    """The file's columns by `ID`, `VECTOR` and, if it is there, `ROW_OF`."""
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = {ID: _id_column(path, names, feature), VECTOR: VECTOR}
            if VECTOR not in names:
                raise DataError(f"{path}: column {VECTOR!r} is missing. Columns: {names}")
            if ROW_OF in names:
                columns[ROW_OF] = ROW_OF
            for batch in file.batches(_BATCH):
                yield _Batch({key: plain(batch[name]) for key, name in columns.items()})
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


class _Batch(dict[str, pa.Array]):
    """The columns of some rows by name; its length is the number of rows."""

    def __len__(self) -> int:
        return len(self[VECTOR])


def _id_column(path: str, names: Sequence[str], feature: Feature) -> str:
    """The column of ids: the feature's own, or "id"."""
    for name in (feature.column, ID):
        if name in names:
            return name
    raise DataError(
        f"{path}: must have a column of ids, {feature.column!r} or {ID!r}, for feature "
        f"{feature.name!r}. Columns: {list(names)}"
    )


@dataclasses.dataclass(frozen=True)
class _Where:
    """Some rows of a file, which errors name.

    Attributes:
        path: The file.
        before: The number of rows before these.
    """

    path: str
    before: int

    def refuse(self, bad: Any, column: str, rule: str, values: pa.Array) -> None:
        """Raises BadRowError for the first row that is bad, if there is one."""
        if not bad.any():
            return
        index = int(np.argmax(bad))
        place = f"{self.path}: row {self.before + index + 1}, column {column!r}"
        raise BadRowError(f"{place} {rule}. Received: {shown(values[index].as_py())}")

    def special_rows(self, batch: Mapping[str, pa.Array]) -> np.ndarray:
        """The row of unseen or of missing values, of which a vector is; -1 of a value."""
        if ROW_OF not in batch:
            return np.full(len(batch), -1)
        marks = batch[ROW_OF]
        if not is_text(marks.type):
            raise DataError(f"{self.path}: column {ROW_OF!r} must hold texts, not {marks.type}")
        texts = np.array(marks.to_pylist(), object)
        known = np.isin(texts.astype(str), [OF_VALUE, *_SPECIAL])
        rule = f"must be one of {[OF_VALUE, *_SPECIAL]}"
        self.refuse(~known, ROW_OF, rule, marks)
        return np.array([_SPECIAL.get(text, -1) for text in texts], np.int64)

    def ids(self, batch: Mapping[str, pa.Array], feature: Feature) -> pa.Array:
        """The ids as the field's values are, int64 or large_string; null of special rows."""
        given = batch[ID]
        is_special = self.special_rows(batch) >= 0
        if feature.raw_dtype == "int64":
            if not pa.types.is_integer(given.type) and not pa.types.is_null(given.type):
                raise DataError(
                    f"{self.path}: the ids of feature {feature.name!r} must be integers, "
                    f"not {given.type}"
                )
            ids = given.cast(pa.int64())
            absent = pa.scalar(ABSENT["int64"], pa.int64())
        else:
            is_known = is_text(given.type) or pa.types.is_integer(given.type)
            if not is_known and not pa.types.is_null(given.type):
                raise DataError(
                    f"{self.path}: the ids of feature {feature.name!r} must be texts, "
                    f"not {given.type}"
                )
            ids = given.cast(pa.large_string())
            absent = pa.scalar("", pa.large_string())
        is_missing = pc.fill_null(pc.equal(ids, absent), True).to_numpy(zero_copy_only=False)
        self.refuse(is_missing & ~is_special, ID, "must be a value, and is missing", given)
        return pc.if_else(pa.array(is_special), pa.scalar(None, ids.type), ids)

    def vectors(self, batch: Mapping[str, pa.Array], dim: int) -> np.ndarray:
        """The vectors, float32 [n, dim]."""
        given = batch[VECTOR]
        if not is_list(given.type):
            raise DataError(f"{self.path}: column {VECTOR!r} must hold lists, not {given.type}")
        lengths = pc.fill_null(pc.list_value_length(given), -1).to_numpy(zero_copy_only=False)
        wrong = lengths != dim
        if wrong.any():
            length = int(lengths[np.argmax(wrong)])
            has = "is missing" if length < 0 else f"has {length} numbers"
            rule = f"{has}, and --embedding_dim={dim}: a vector must have as many"
            if length > 0:
                rule = f"{rule}; set --embedding_dim={length}, or project the vectors"
            self.refuse(wrong, VECTOR, rule, given)
        flat = plain(given.flatten())
        kind = flat.type
        is_numeric = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if not is_numeric and len(flat):
            rule = f"must hold lists of numbers, not of {kind}"
            raise DataError(f"{self.path}: column {VECTOR!r} {rule}")
        wide = flat.cast(pa.float64()) if not pa.types.is_floating(kind) else flat
        numbers = wide.to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            numbers = np.asarray(numbers, np.float32).reshape(len(given), dim)
        is_finite = np.isfinite(numbers).all(axis=1)
        self.refuse(~is_finite, VECTOR, "must hold finite float32 numbers", given)
        return numbers


def _check_distinct(path: str, ids: pa.ChunkedArray) -> None:
    """Raises BadRowError at the first id that stood in a row before."""
    indices = pc.dictionary_encode(ids.combine_chunks()).indices
    is_value = indices.is_valid().to_numpy(zero_copy_only=False)
    places = np.flatnonzero(is_value)
    found = indices.drop_null().to_numpy()
    _, first = np.unique(found, return_index=True)
    again = np.ones(len(found), np.bool_)
    again[first] = False
    if not again.any():
        return
    row = int(places[np.argmax(again)])
    earlier = int(places[np.flatnonzero(found == found[np.argmax(again)])[0]])
    what = f"stands in row {earlier + 1} already, and a value has one vector"
    value: Any = ids[row].as_py()
    raise BadRowError(f"{path}: row {row + 1}, column {ID!r} {what}. Received: {shown(value)}")
