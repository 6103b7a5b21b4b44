r"""The raw Ali-CCP text as arrays: lists of features, keys and labels, a block of lines at a time.

A list joins features by \x01; a feature is field \x02 id \x03 value. Blocks are parsed by Arrow; one that cannot be is
read again line by line (`ali_ccp_errors`), to say what is wrong with it. An empty line is no row.
"""

from __future__ import annotations

import dataclasses
import gzip
import pathlib
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tafe_tf.data.errors import DataError
from tafe_tf.data.public.ali_ccp.errors import COMMON_CELLS, SKELETON_CELLS, raise_for
from tafe_tf.data.public.ali_ccp.fields import FIELDS

BLOCK_BYTES = 1 << 23
KEY_LENGTH = 16  # hexadecimal digits
OTHER, UNKNOWN = -1, -2

_TO_CSV = bytes.maketrans(b"\x01\x02\x03", b"\n,,")
_NIBBLE = np.full(256, 255, np.uint8)
_NIBBLE[list(b"0123456789abcdef")] = np.arange(16)
_TRIPLE = {"field": pa.dictionary(pa.int32(), pa.string()), "id": pa.int64(), "value": pa.float32()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """The features of n lists, m in all, in the order of the text.

    Attributes:
        owner: the list that each belongs to, int64 [m], ascending.
        field: its index among the fields asked for, OTHER for another of Ali-CCP's, UNKNOWN for one of none, int64 [m].
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
class Rows:
    """One block: `keys` uint64 [n], `labels` bool [n, 2] (common files: [n, 0]) and the features of its n lists."""

    keys: np.ndarray
    labels: np.ndarray
    features: Features


class _UnreadableError(ValueError):
    """A block breaks a rule somewhere."""


def find_file(raw_dir: str | pathlib.Path, name: str) -> pathlib.Path:
    """The file `<name>.csv`, or `<name>.csv.gz`.

    Raises:
        DataError: if it is neither there.
    """
    candidates = [pathlib.Path(raw_dir) / f"{name}{ending}" for ending in (".csv", ".csv.gz")]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise DataError(f"{candidates[0]}: no such file, nor with .gz behind")
    return found


def line_blocks(path: str | pathlib.Path, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The file in pieces of whole lines, of about `block_bytes`; the same file gives the same pieces.

    Raises:
        DataError: if the file cannot be read.
    """
    rest = b""
    try:
        with gzip.open(path) if str(path).endswith(".gz") else open(path, "rb") as file:
            while piece := file.read(block_bytes):
                rest += piece
                end = rest.rfind(b"\n") + 1
                if end:
                    yield rest[:end]
                    rest = rest[end:]
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if rest:
        yield rest


def count_rows(block: bytes) -> int:
    """Lines of a block that are not empty."""
    if b"\r" in block or b"\n\n" in block or block.startswith(b"\n"):
        return sum(1 for line in block.splitlines() if line)
    return block.count(b"\n") + (not block.endswith(b"\n"))


def parse(
    path: str | pathlib.Path, block: bytes, first_row: int, fields: Sequence[str], *, skeleton: bool
) -> Rows:
    """Parses one block.

    Args:
        path: for messages.
        block: whole lines.
        first_row: number of the first one, from 1, for messages.
        fields: names of the fields asked for.
        skeleton: whether the lines are of a skeleton file, which have labels, or of a common one.

    Raises:
        BadRowError: at the first line that breaks a rule; it names file, row, column and value.
    """
    try:
        return _parse(block, tuple(fields), skeleton)
    except (_UnreadableError, pa.ArrowException) as error:
        raise_for(str(path), block, first_row, skeleton=skeleton)
        raise DataError(f"{path}: cannot be read after row {first_row - 1}: {error}") from None


def _parse(block: bytes, fields: tuple[str, ...], skeleton: bool) -> Rows:
    names = SKELETON_CELLS if skeleton else COMMON_CELLS
    kinds = {
        name: pa.int64() if name == "feature_num" else pa.binary()
        for name in names
        if name != "sample_id"
    }
    columns = _read_csv(block, names, kinds)
    rows = len(columns["feature_num"])
    labels = [_label(columns[name]) for name in ("click", "conversion") if skeleton]
    return Rows(
        keys=_keys(columns["common_feature_index"]),
        labels=np.stack(labels, axis=1) if skeleton else np.zeros((rows, 0), bool),
        features=_features(columns["feature_list"], columns["feature_num"].to_numpy(), fields),
    )


def _read_csv(
    text: bytes, names: Sequence[str], kinds: dict[str, pa.DataType]
) -> dict[str, pa.Array]:
    """Columns of a block. Arrow's own threads stay out of it: two blocks are read at a time."""
    if not text.strip(b"\r\n"):
        return {name: pa.array([], kind) for name, kind in kinds.items()}
    table = csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=list(names)),
        csv.ParseOptions(quote_char=False, double_quote=False),
        csv.ConvertOptions(
            check_utf8=False,
            column_types=kinds,
            include_columns=list(kinds),
            null_values=[],
            strings_can_be_null=False,
        ),
    )
    return {name: table[name].combine_chunks() for name in kinds}


def _features(lists: pa.Array, declared: np.ndarray, fields: tuple[str, ...]) -> Features:
    """Parses the lists as one table of three columns, a line a feature."""
    filled = pc.binary_length(lists).to_numpy() > 0
    counts = np.where(filled, pc.count_substring(lists, b"\x01").to_numpy() + 1, 0)
    if (counts != declared).any():
        raise _UnreadableError("feature_num")
    total = int(counts.sum())
    text = _joined(lists.filter(pa.array(filled)))
    _check_separators(text, total)
    columns = _read_csv(text.translate(_TO_CSV), list(_TRIPLE), _TRIPLE)
    ids, values = columns["id"].to_numpy(), columns["value"].to_numpy()
    if len(ids) != total or (ids < 0).any() or not np.isfinite(values).all():
        raise _UnreadableError("features")
    owner = np.repeat(np.arange(len(lists)), counts)
    return Features(
        owner=owner, field=_codes(columns["field"], fields), ids=ids, values=values, rows=len(lists)
    )


def _joined(lists: pa.Array) -> bytes:
    whole = pa.ListArray.from_arrays(pa.array([0, len(lists)], pa.int32()), lists)
    return bytes(pc.binary_join(whole, b"\x01")[0].as_py())


def _check_separators(text: bytes, features: int) -> None:
    r"""They must follow each other as \x02 \x03 \x01 \x02 ...: the CSV reader sees a comma for each of two."""
    letters = np.frombuffer(text, np.uint8)
    found = letters[(letters - np.uint8(1)) < 3]
    expected = np.resize(np.array([2, 3, 1], np.uint8), max(3 * features - 1, 0))
    if not np.array_equal(found, expected):
        raise _UnreadableError("separators")


def _codes(column: pa.Array, fields: tuple[str, ...]) -> np.ndarray:
    if not len(column):
        return np.zeros(0, np.int64)
    column = column.dictionary_encode()
    names = [
        name.decode(errors="backslashreplace")
        for name in column.dictionary.cast(pa.binary()).to_pylist()
    ]
    if "" in names:
        raise _UnreadableError("fields")
    codes = [
        fields.index(name) if name in fields else OTHER if name in FIELDS else UNKNOWN
        for name in names
    ]
    return np.array(codes, np.int64)[column.indices.to_numpy()]


def _label(column: pa.Array) -> np.ndarray:
    is_one, is_zero = (pc.equal(column, pa.scalar(text, pa.binary())) for text in (b"1", b"0"))
    if not pc.all(pc.or_(is_one, is_zero)).as_py() and len(column):
        raise _UnreadableError("labels")
    return np.asarray(is_one.to_numpy(zero_copy_only=False))


def _keys(column: pa.Array) -> np.ndarray:
    """Sixteen hexadecimal digits as one number."""
    if (pc.binary_length(column).to_numpy() != KEY_LENGTH).any():
        raise _UnreadableError("keys")
    text = np.array(column.cast(pa.binary(KEY_LENGTH)).buffers()[1], copy=False)
    digits = _NIBBLE[text.view(np.uint8)[: len(column) * KEY_LENGTH]].reshape(-1, KEY_LENGTH)
    if (digits == 255).any():
        raise _UnreadableError("keys")
    packed = (digits[:, 0::2] << 4) | digits[:, 1::2]  # [n, 8], the highest byte first
    return np.ascontiguousarray(packed).view(">u8").reshape(-1).astype(np.uint64)
