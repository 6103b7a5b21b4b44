"""Reading an object by ranges, ahead of who reads it and without ever holding all of it."""

from __future__ import annotations

import collections
import io
import pathlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from tafe_tf.storage import input_cache
from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import Identity, identity_of
from tafe_tf.storage.retries import again
from tafe_tf.storage.stores import open_place

RANGE_BYTES = 4 << 20  # of one request; what is lost by a cut answer
_FIRST_BYTES = 1 << 16  # of a stream: a header needs no more
_AHEAD = 3  # ranges of a stream that are asked for before they are needed
_REQUESTS = 4  # at the same time, of one object


class ObjectFile(io.RawIOBase):
    """An object, read by ranges of at most 4 MiB; a range that breaks off is asked for again.

    Args:
        uri: The object.
        is_input: Whether it is an input file, of which a local copy is read if such are kept, see
            `input_cache`. Default: False.

    Attributes:
        identity: Its size and the store's mark of its content.

    Raises:
        StoreError: If it is not there, cannot be read, or is replaced while it is read.
    """

    def __init__(self, uri: str, is_input: bool = False) -> None:
        super().__init__()
        self._uri = uri
        self._place = open_place(uri)
        self._position = 0
        self._fetched: list[tuple[int, int, Future[bytes]]] = []
        self._pool: ThreadPoolExecutor | None = None
        self._file: Any = None
        self._file, self.identity = again(self._open, uri, "open it")
        if is_input and input_cache.is_on():
            path = input_cache.kept(uri, self.identity, self._copy_to)
            self._file = pa.OSFile(str(path))

    def _copy_to(self, path: pathlib.Path) -> None:
        """Writes all of the object to a local file."""
        with open(path, "wb") as local:
            for offset in range(0, self.identity.size, RANGE_BYTES):
                local.write(self.read_at(offset, RANGE_BYTES))

    def _open(self) -> tuple[Any, Identity]:
        file = self._place.filesystem.open_input_file(self._place.path)
        return file, identity_of(file, *self._place)

    def read_at(self, offset: int, length: int) -> bytes:
        """Reads bytes from an offset on; fewer only at the end of the object."""
        end = min(offset + length, self.identity.size)
        pieces = []
        while offset < end:
            piece = self._range(offset, min(RANGE_BYTES, end - offset))
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _range(self, offset: int, length: int) -> bytes:
        """Bytes of one request; a try after the first opens the object anew."""
        tries = 0

        def take() -> bytes:
            nonlocal tries
            tries += 1
            if tries > 1:
                self._file, now = self._open()
                if now != self.identity:
                    raise StoreError(f"{self._uri}: was replaced while it was read; read it again")
            piece: bytes = self._file.read_at(length, offset)
            if not piece:
                raise OSError("the answer holds no bytes")
            return piece

        return again(take, self._uri, f"read {length:,} bytes from {offset:,} on")

    def fetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Begins to read ranges that are needed soon; those that lie before them are let go.

        Args:
            ranges: Offset and length of each, in ascending order.
        """
        ranges = list(ranges)
        first = ranges[0][0] if ranges else self.identity.size
        self._fetched = [kept for kept in self._fetched if kept[0] >= first]
        known = {kept[0] for kept in self._fetched}
        for offset, length in ranges:
            if offset not in known:
                future = self.submit(offset, length)
                self._fetched.append((offset, offset + length, future))

    def submit(self, offset: int, length: int) -> Future[bytes]:
        """Begins to read bytes from an offset on."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="tafe_tf.storage")
        return self._pool.submit(self.read_at, offset, length)

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes into a buffer."""
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def read(self, size: int = -1) -> bytes:
        """Reads the next bytes; all that are left by default."""
        if size < 0:
            size = self.identity.size - self._position
        start, end = self._position, self._position + size
        piece = None
        for first, last, future in self._fetched:
            if first <= start and end <= last:
                piece = future.result()[start - first : end - first]
                break
        if piece is None:
            piece = self.read_at(start, size)
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to an offset."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.identity.size}
        self._position = origins[whence] + offset
        return self._position

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._position

    def size(self) -> int:
        """The length in bytes, for pyarrow."""
        return self.identity.size

    def readable(self) -> bool:
        """That it can be read."""
        return True

    def seekable(self) -> bool:
        """That one can move in it."""
        return True

    def close(self) -> None:
        """Lets go of what was read ahead."""
        if not self.closed and self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._fetched = []
        super().close()


class ObjectStream(io.RawIOBase):
    """An object from its beginning to its end; the next ranges are read while one is worked at.

    The first range is small and alone, so that a look at a header costs one request.

    Args:
        uri: The object, an input file.

    Raises:
        StoreError: If it is not there, cannot be read, or is replaced while it is read.
    """

    def __init__(self, uri: str) -> None:
        super().__init__()
        self._file = ObjectFile(uri, is_input=True)
        self._ahead: collections.deque[Future[bytes]] = collections.deque()
        self._next = 0  # the first byte that was not asked for
        self._bytes = _FIRST_BYTES
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """That it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads the next bytes into a buffer, as many as one range has left."""
        view = memoryview(buffer).cast("B")
        if not self._left:
            self._left = memoryview(self._range())
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _range(self) -> bytes:
        """The next range; empty at the end."""
        is_first = self._next == 0
        while len(self._ahead) <= (0 if is_first else _AHEAD):
            length = min(self._bytes, self._file.identity.size - self._next)
            if length <= 0:
                break
            self._ahead.append(self._file.submit(self._next, length))
            self._next += length
            self._bytes = min(4 * self._bytes, RANGE_BYTES)
        return self._ahead.popleft().result() if self._ahead else b""

    def close(self) -> None:
        """Lets go of what was read ahead."""
        self._ahead.clear()
        self._file.close()
        super().close()


def open_stream(path: str, compression: str | None = None) -> pa.NativeFile:
    """Opens a file or an object from its beginning, and undoes its compression.

    Args:
        path: A path or a URI.
        compression: In pyarrow's words, such as "gzip" or "zstd". Default: None, there is none.

    Raises:
        StoreError: If the object is not there or cannot be read.
        OSError: If the local file cannot be read.
    """
    if not is_remote(path):
        return pa.input_stream(path, compression=compression)
    raw = pa.PythonFile(io.BufferedReader(ObjectStream(path), RANGE_BYTES), "r")
    return pa.CompressedInputStream(raw, compression) if compression else raw
