"""The files of a request log: one is open, and gets its name once it is complete."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import time
import uuid

from tafe_tf.data.atomic import publish
from tafe_tf.data.record_framing import frame

OPEN = ".open"  # ends the name of a file that is not complete
_RETRY = 1.0  # seconds until a folder that failed is tried again


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rotation:
    """When a log goes on in the next file: at the first of these.

    Attributes:
        most_records: Records of a file. Default: 1,000, more of which TensorFlow Serving takes for
            no warm-up.
        most_bytes: Bytes of a file. Default: 64 MiB.
        most_seconds: Seconds since the first record of a file. Default: 600.
    """

    most_records: int = 1000
    most_bytes: int = 64 << 20
    most_seconds: float = 600.0


class LogFiles:
    """Appends records to the files of a log.

    Args:
        directory: The folder, made when it is needed.
        rotation: When the next file begins.
    """

    def __init__(self, directory: str, rotation: Rotation) -> None:
        self._directory = pathlib.Path(directory)
        self._rotation = rotation
        self._token = uuid.uuid4().hex[:8]  # differs in each log, on whatever machine
        self._number = 0
        self._retry_at = 0.0
        self._file: io.FileIO | None = None
        self._path = self._directory
        self._records = 0
        self._bytes = 0
        self._began = 0.0

    def write(self, record: bytes) -> None:
        """Appends a record.

        Raises:
            OSError: If the folder does not take it; the file then ends with the record before, and
                is complete.
        """
        file = self._open()
        framed = memoryview(frame(record))
        try:
            while framed:
                count = file.write(framed)
                framed = framed[count:]
        except OSError:
            self._give_up()
            raise
        self._bytes += len(record) + 16
        self._records += 1
        is_full = self._records >= self._rotation.most_records
        if is_full or self._bytes >= self._rotation.most_bytes:
            self.close()

    def flush(self) -> None:
        """Completes the open file if its time is over; what was written is with the system."""
        is_old = time.monotonic() - self._began > self._rotation.most_seconds
        if self._file is not None and is_old:
            self.close()

    def close(self) -> None:
        """Gives the open file its name; does nothing if none is open."""
        if self._file is None:
            return
        file, self._file = self._file, None
        file.close()
        if self._records:
            publish(self._path, self._path.with_name(self._path.name[1 : -len(OPEN)]))
        else:
            self._path.unlink(missing_ok=True)

    def _open(self) -> io.FileIO:
        if self._file is not None:
            return self._file
        if time.monotonic() < self._retry_at:
            raise BlockingIOError("the folder failed a moment ago")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._number += 1
            began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            name = f".requests-{began}-{self._token}-{self._number:05d}.tfrecord{OPEN}"
            self._path = self._directory / name
            self._file = io.FileIO(self._path, "xb")
        except OSError:
            self._retry_at = time.monotonic() + _RETRY
            raise
        self._records = self._bytes = 0
        self._began = time.monotonic()
        return self._file

    def _give_up(self) -> None:
        """Cuts off what a failed write has left, and completes the file, as far as that works."""
        self._retry_at = time.monotonic() + _RETRY
        try:
            if self._file is not None:
                os.ftruncate(self._file.fileno(), self._bytes)
            self.close()
        except OSError:
            self._file = None
