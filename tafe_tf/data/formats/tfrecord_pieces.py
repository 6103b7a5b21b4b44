"""TFRecord objects of a store, as small local files of whole records that TensorFlow can read."""

from __future__ import annotations

import pathlib
import struct
import tempfile
from collections.abc import Iterator

import pyarrow as pa

from tafe_tf.data.formats.file_kinds import compression_of
from tafe_tf.storage.reading import open_stream

_PIECE_BYTES = 32 << 20  # on the disk at a time, or one record where it is larger
_READ_BYTES = 4 << 20
_LONGEST = 1 << 30  # bytes of a record; a longer one is a damaged length
_LENGTH = struct.Struct("<Q")
_HEADER = 12  # the length and its checksum
_FRAME = 16  # and the checksum of the record


def local_pieces(uri: str) -> Iterator[str]:
    """Gives the paths of files, one at a time, that hold an object's records in order.

    Compression is undone here. Checksums are left to TensorFlow, and so is what no longer looks
    like records: it comes as the last piece. A piece is removed when the next one is asked for.

    Args:
        uri: The object.

    Raises:
        StoreError: If it cannot be read.
        OSError: If its compression is damaged, or the disk does not take a piece.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tafe_tf-") as work,
        open_stream(uri, compression_of(uri)) as stream,
    ):
        path = pathlib.Path(work, "piece.tfrecord")
        for piece in _whole_records(stream):
            path.write_bytes(piece)
            yield str(path)


def _whole_records(stream: pa.NativeFile) -> Iterator[bytes]:
    """The bytes of a stream, cut between records."""
    held = bytearray()
    end = 0  # of the last whole record that is held
    while True:
        read = stream.read(_READ_BYTES)
        held += read
        end, is_damaged = _end_of_records(held, end)
        if not read or is_damaged:
            break
        if end >= _PIECE_BYTES:
            yield bytes(held[:end])
            del held[:end]
            end = 0
    if held:
        yield bytes(held)


def _end_of_records(held: bytearray, start: int) -> tuple[int, bool]:
    """Where the last whole record ends, and whether a length after it cannot be right."""
    while start + _HEADER <= len(held):
        (length,) = _LENGTH.unpack_from(held, start)
        if length > _LONGEST:
            return start, True
        if start + length + _FRAME > len(held):
            break
        start += length + _FRAME
    return start, False
