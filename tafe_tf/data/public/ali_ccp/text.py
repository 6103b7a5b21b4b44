r"""The raw Ali-CCP text as arrays: lists of features, keys and labels, a block of lines at a time.

A list joins features by \x01; a feature is field \x02 id \x03 value. Arrow parses the blocks; one
that it cannot parse is read again line by line, by the module `errors`, to say what is wrong with
it. An empty line is no row.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tafe_tf.data.errors import DataError
from tafe_tf.data.public.ali_ccp.errors import COMMON_CELLS, SKELETON_CELLS, raise_for
from tafe_tf.data.public.ali_ccp.fields import FIELDS

KEY_LENGTH = 16  # hexadecimal digits
OTHER, UNKNOWN = -1, -2

_TO_CSV = bytes.maketrans(b"\x01\x02\x03", b"\n,,")
_NIBBLE = np.full(256, 255, np.uint8)
_NIBBLE[list(b"0123456789abcdef")] = np.arange(16)
_TRIPLE = {
    "field": pa.dictionary(pa.int32(), pa.string()),
    "id": pa.int64(),
    "value": pa.float32(),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureLists:
    """The features of n lists, m in all, in the order of the text.

    Attributes:
        owner: The list that each belongs to, int64 [m], ascending.
        field: The index of its field among those asked for, OTHER for another of Ali-CCP's, UNKNOWN
            for a field that Ali-CCP does not have; int64 [m].
        ids: int64 [m].
        values: float32 [m].
        rows: n.
    """

    owner: np.ndarray
    field: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    rows: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lines:
    """One parsed block of n lines.

    Attributes:
        keys: The key of each line's common row, uint64 [n].
        labels: Bool [n, 2]; [n, 0] in common files.
        features: The features of its n lists.
    """

    keys: np.ndarray
    labels: np.ndarray
    features: FeatureLists


class _UnreadableError(ValueError):
    """A block breaks a rule somewhere."""


def parse(
    path: str | pathlib.Path,
    block: bytes,
    first_row: int,
    fields: Sequence[str],
    *,
    skeleton: bool,
) -> Lines:
    """Parses one block.

    Args:
        path: The file, for messages.
        block: Whole lines.
        first_row: The number of the first line, from 1, for messages.
        fields: The names of the fields asked for.
        skeleton: Whether the lines are of a skeleton file, which have labels, or of a common one.

    Raises:
        BadRowError: At the first line that breaks a rule; it names file, row, column and value.
    """
    try:
        return _parse(block, tuple(fields), skeleton)
    except (_UnreadableError, pa.ArrowException) as error:
        raise_for(str(path), block, first_row, skeleton=skeleton)
        raise DataError(f"{path}: cannot be read after row {first_row - 1}: {error}") from None


def _parse(
    block: bytes,
    fields: tuple[str, ...],
    skeleton: bool,
) -> Lines:
    names = SKELETON_CELLS if skeleton else COMMON_CELLS
    kinds = {name: pa.binary() for name in names if name != "sample_id"}
    kinds["feature_num"] = pa.int64()
    columns = _read_csv(block, names, kinds)
    declared = columns["feature_num"].to_numpy()
    labels = np.zeros((len(declared), 0), bool)
    if skeleton:
        click = _label(columns["click"])
        conversion = _label(columns["conversion"])
        labels = np.stack([click, conversion], axis=1)
    return Lines(
        keys=_keys(columns["common_feature_index"]),
        labels=labels,
        features=_features(columns["feature_list"], declared, fields),
    )


def _read_csv(
    text: bytes,
    names: Sequence[str],
    kinds: dict[str, pa.DataType],
) -> dict[str, pa.Array]:
    """Columns of a block, without Arrow's own threads: two blocks are read at a time."""
    if not text.strip(b"\r\n"):
        return {name: pa.array([], kind) for name, kind in kinds.items()}
    reading = csv.ReadOptions(
        use_threads=False,
        block_size=len(text) + 1,
        column_names=list(names),
    )
    parsing = csv.ParseOptions(quote_char=False, double_quote=False)
    converting = csv.ConvertOptions(
        check_utf8=False,
        column_types=kinds,
        include_columns=list(kinds),
        null_values=[],
        strings_can_be_null=False,
    )
    table = csv.read_csv(
        pa.BufferReader(text),
        reading,
        parsing,
        converting,
    )
    return {name: table[name].combine_chunks() for name in kinds}


def _features(
    lists: pa.Array,
    declared: np.ndarray,
    fields: tuple[str, ...],
) -> FeatureLists:
    """Parses the lists as one table of three columns, a line for each feature."""
    filled = pc.binary_length(lists).to_numpy() > 0
    separators = pc.count_substring(lists, b"\x01").to_numpy()
    counts = np.where(filled, separators + 1, 0)
    if (counts != declared).any():
        raise _UnreadableError("feature_num")
    total = int(counts.sum())
    text = _joined(lists.filter(pa.array(filled)))
    _check_separators(text, total)
    columns = _read_csv(
        text.translate(_TO_CSV),
        list(_TRIPLE),
        _TRIPLE,
    )
    ids = columns["id"].to_numpy()
    values = columns["value"].to_numpy()
    is_complete = len(ids) == total
    has_negative = (ids < 0).any()
    is_finite = np.isfinite(values).all()
    if not is_complete or has_negative or not is_finite:
        raise _UnreadableError("features")
    places = np.arange(len(lists))
    return FeatureLists(
        owner=np.repeat(places, counts),
        field=_codes(columns["field"], fields),
        ids=ids,
        values=values,
        rows=len(lists),
    )


def _joined(lists: pa.Array) -> bytes:
    offsets = pa.array([0, len(lists)], pa.int32())
    whole = pa.ListArray.from_arrays(offsets, lists)
    joined = pc.binary_join(whole, b"\x01")
    return bytes(joined[0].as_py())


def _check_separators(text: bytes, features: int) -> None:
    r"""Checks that separators follow each other as \x02 \x03 \x01 \x02 ...

    The CSV reader would see a comma for either of the first two.
    """
    letters = np.frombuffer(text, np.uint8)
    is_separator = (letters - np.uint8(1)) < 3
    count = max(3 * features - 1, 0)
    one_feature = np.array([2, 3, 1], np.uint8)
    expected = np.resize(one_feature, count)
    if not np.array_equal(letters[is_separator], expected):
        raise _UnreadableError("separators")


def _codes(column: pa.Array, fields: tuple[str, ...]) -> np.ndarray:
    """The index of each field name, int64."""
    if not len(column):
        return np.zeros(0, np.int64)
    column = column.dictionary_encode()
    codes = []
    names = column.dictionary.cast(pa.binary())
    for encoded in names.to_pylist():
        name = encoded.decode(errors="backslashreplace")
        if not name:
            raise _UnreadableError("fields")
        codes.append(_code(name, fields))
    of_names = np.array(codes, np.int64)
    return of_names[column.indices.to_numpy()]


def _code(name: str, fields: tuple[str, ...]) -> int:
    if name in fields:
        return fields.index(name)
    return OTHER if name in FIELDS else UNKNOWN


def _label(column: pa.Array) -> np.ndarray:
    """Whether each label is 1, bool."""
    one = pa.scalar(b"1", pa.binary())
    zero = pa.scalar(b"0", pa.binary())
    is_one = pc.equal(column, one)
    is_zero = pc.equal(column, zero)
    are_labels = pc.all(pc.or_(is_one, is_zero))
    if len(column) and not are_labels.as_py():
        raise _UnreadableError("labels")
    return np.asarray(is_one.to_numpy(zero_copy_only=False))


def _keys(column: pa.Array) -> np.ndarray:
    """Sixteen hexadecimal digits as one number, uint64."""
    lengths = pc.binary_length(column).to_numpy()
    if (lengths != KEY_LENGTH).any():
        raise _UnreadableError("keys")
    of_fixed_length = column.cast(pa.binary(KEY_LENGTH))
    buffer = of_fixed_length.buffers()[1]
    letters = np.array(buffer, copy=False).view(np.uint8)
    letters = letters[: len(column) * KEY_LENGTH]
    digits = _NIBBLE[letters]
    digits = digits.reshape(-1, KEY_LENGTH)
    if (digits == 255).any():
        raise _UnreadableError("keys")
    high = digits[:, 0::2]
    low = digits[:, 1::2]
    packed = np.ascontiguousarray((high << 4) | low)  # [n, 8], the highest byte first
    keys = packed.view(">u8").reshape(-1)
    return keys.astype(np.uint64)
