"""What format a file is of: by the ending of its name, or by its first bytes where it has none."""

from __future__ import annotations

import functools
import os
import pathlib

import pyarrow as pa

from tafe_tf.data.errors import DataError

_CSV_COMPRESSIONS = ("", ".gz", ".zst", ".bz2", ".lz4")
ENDINGS = (
    *(f".csv{compression}" for compression in _CSV_COMPRESSIONS),
    *(f".tsv{compression}" for compression in _CSV_COMPRESSIONS),
    ".parquet",
    ".orc",
    ".tfrecord",
    ".tfrecord.gz",
)
REFUSED = {".tfrecord.zst": "TensorFlow reads no zst; compress the file as .gz"}
INPUT_FORMATS = ("csv", "parquet", "orc", "tfrecord")  # of files without an ending
INPUT_FORMAT_HELP = (
    "Format of files whose names have no ending, such as part-00000. By default such files are "
    "passed over."
)

_ARROW_NAMES = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".lz4": "lz4"}
_FIRST_BYTES = {
    b"\x1f\x8b": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"BZh": ".bz2",
    b"\x04\x22\x4d\x18": ".lz4",
}
_RECORD_HEAD = 12  # bytes of a TFRecord before its content: the length, and its checksum


def extension_of(path: str | pathlib.Path) -> str:
    """The ending that tells a file's format, such as .csv or .tfrecord.gz.

    A file whose name has no ending, such as `part-00000`, has the one that its first bytes tell.

    Raises:
        DataError: If it is none that can be read, or its name is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = ascii(str(path))
        raise DataError(f"{name}: must have a name in UTF-8; rename the file or folder") from None
    name = pathlib.Path(path).name
    for extension in ENDINGS:
        if name.endswith(extension):
            return extension
    for extension, reason in REFUSED.items():
        if name.endswith(extension):
            raise DataError(f"{path}: cannot be read: {reason}")
    if has_no_ending(path) and os.path.isfile(path):
        status = os.stat(path)
        return _extension_by_content(str(path), (status.st_size, status.st_mtime_ns))
    raise DataError(f"{path}: must end in one of {', '.join(ENDINGS)}")


def format_of(path: str | pathlib.Path) -> str:
    """The ending that tells a file's format, without that of its compression."""
    extension = extension_of(path)
    return extension.removesuffix(_compression_in(extension))


def compression_of(path: str | pathlib.Path) -> str | None:
    """How a file is compressed as a whole, in pyarrow's words; None if it is not.

    Raises:
        DataError: If the file is of no format that can be read.
    """
    return _ARROW_NAMES.get(_compression_in(extension_of(path)))


def is_visible(path: str | pathlib.Path) -> bool:
    """Whether a file is data: not hidden, and no mark that another program left (`_SUCCESS`).

    A writer may still be at work on a hidden file.
    """
    return pathlib.Path(path).name[0] not in "._"


def has_no_ending(path: str | pathlib.Path) -> bool:
    """Whether a file's name has no ending but that of a compression: `part-00000`, `000000_0.gz`.

    Example:
        >>> [has_no_ending(name) for name in ("part-00000", "000000_0.gz", "notes.txt")]
        [True, True, False]
    """
    name = pathlib.Path(path).name
    return "." not in name.removesuffix(_compression_in(name))


def _compression_in(name: str) -> str:
    """The ending of a compression that a name has; "" if it has none."""
    for ending in _ARROW_NAMES:
        if name.endswith(ending):
            return ending
    return ""


@functools.lru_cache(maxsize=1 << 16)
def _extension_by_content(path: str, state: tuple[int, int]) -> str:
    """The ending that a file's first bytes tell; `state` tells the file from what it is later."""
    try:
        with open(path, "rb") as file:
            head = file.read(_RECORD_HEAD)
        if head.startswith(b"PAR1"):
            return ".parquet"
        if head.startswith(b"ORC"):
            return ".orc"
        compression = ""
        for first_bytes, ending in _FIRST_BYTES.items():
            if head.startswith(first_bytes):
                compression = ending
        if compression:
            with pa.input_stream(path, compression=_ARROW_NAMES[compression]) as stream:
                head = stream.read(_RECORD_HEAD)
    except (OSError, EOFError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    extension = f".tfrecord{compression}" if _begins_record(head) else f".csv{compression}"
    if extension in REFUSED:
        raise DataError(f"{path}: cannot be read: {REFUSED[extension]}")
    return extension


def _begins_record(head: bytes) -> bool:
    """Whether a TFRecord begins with some bytes, which hold a length and its checksum."""
    if len(head) < _RECORD_HEAD:
        return False
    checksum = _crc32c(head[:8])
    rotated = (checksum >> 15) | (checksum << 17)
    masked = (rotated + 0xA282EAD8) & 0xFFFFFFFF
    return masked == int.from_bytes(head[8:], "little")


def _crc32c(content: bytes) -> int:
    """The checksum of TFRecord, CRC-32C (Castagnoli, RFC 3720), bit by bit: for a few bytes."""
    checksum = 0xFFFFFFFF
    for byte in content:
        checksum ^= byte
        for _ in range(8):
            is_odd = checksum & 1
            checksum >>= 1
            if is_odd:
                checksum ^= 0x82F63B78
    return checksum ^ 0xFFFFFFFF
