"""Writes some of the requests that are served, with their responses, and slows none of them."""

from __future__ import annotations

import atexit
import functools
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Callable

from tafe_tf.serving.request_log.files import LogFiles, Rotation
from tafe_tf.serving.request_log.records import Served

DEFAULT_SAMPLE = 0.01
_MOST_QUEUED = 64 << 20  # bytes that wait to be written
_SECONDS_TO_CLOSE = 30.0
_SECONDS_TO_END = 5.0  # after that, once what waits is left out
_NAP = 1.0  # seconds between two looks at a file's age


class RequestLog:
    """Writes a sample of served requests, with their responses, into files of one folder.

    A file holds TFRecords of `PredictionLog`, what TensorFlow Serving's warm-up reads: it can be
    copied into an export as `assets.extra/tf_serving_warmup_requests`. A file that is being written
    has a name that begins with a dot; it gets its own once it is complete. Several processes may
    write into one folder.

    A thread writes. A call only hands over what it sent and received. What the disk does not take
    in time, or at all, is left out and counted, and that is said once; no call fails or waits.

    Args:
        directory: The folder, made when the first record is written.
        sample: The share of calls to write, above 0 and at most 1. Default: 0.01.
        seed: Of the draws. Default: None, another one in each process.
        rotation: When the next file begins. Default: `Rotation()`.
        most_queued: The bytes that may wait to be written. Default: 64 MiB.

    Attributes:
        directory: The folder.
        written: Records that are in files.
        dropped: Records that were left out since too many waited.
        failed: Records that could not be written.

    Raises:
        ValueError: If `sample` is out of its range, or the folder is in a store.

    Example:
        with RequestLog("served", sample=0.1) as log:
            client = Client("localhost:8500", "shop", log=log)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        sample: float = DEFAULT_SAMPLE,
        *,
        seed: int | None = None,
        rotation: Rotation | None = None,
        most_queued: int = _MOST_QUEUED,
    ) -> None:
        self.directory = os.fspath(directory)
        if "://" in self.directory:
            raise ValueError(
                f"a log must be a folder of this machine. Received: {self.directory!r}"
            )
        if not 0.0 < sample <= 1.0:
            raise ValueError(f"`sample` must be above 0 and at most 1. Received: {sample}")
        self.dropped = 0
        self.written = 0
        self.failed = 0
        self._sample = sample
        self._random = random.Random(seed)
        self._files = LogFiles(self.directory, rotation or Rotation())
        self._most_queued = most_queued
        self._queued = 0
        self._queue: queue.SimpleQueue[Served | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_late = False  # what waits is left out, so that closing comes to its end
        self._has_said: set[str] = set()

    def draws(self) -> bool:
        """Whether the call that begins now is one of the sample."""
        return self._random.random() < self._sample

    def add(self, request: bytes, response: bytes) -> None:
        """Hands over a call, which is written later; returns at once, and never raises.

        Args:
            request: The `PredictRequest`, serialized.
            response: The `PredictResponse`, serialized.
        """
        served = Served(request, response, int(time.time()))
        size = len(request) + len(response)
        with self._lock:
            is_taken = not self._is_closed and self._queued + size <= self._most_queued
            if is_taken:
                self._queued += size
                self._start()
                self._queue.put(served)
            else:
                self.dropped += 1
        if not is_taken:
            self._say("drops calls: it is closed, or more of them come than the disk takes")

    def _start(self) -> None:
        """Starts the thread at the first call, and so not in a process that forks before it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _write(self) -> None:
        """Writes what comes, until None does."""
        while True:
            served: list[Served] = []
            is_last = False
            try:
                first = self._queue.get(timeout=_NAP)
                while first is not None:
                    served.append(first)
                    first = self._queue.get_nowait()
                is_last = True
            except queue.Empty:
                pass
            self._write_all(served)
            if is_last:
                self._attempt(self._files.close)
                return

    def _write_all(self, served: list[Served]) -> None:
        for one in served:
            if self._is_late:
                self.dropped += 1
            elif self._attempt(functools.partial(self._write_one, one)):
                self.written += 1
            else:
                self.failed += 1
            with self._lock:
                self._queued -= one.size
        self._attempt(self._files.flush)

    def _write_one(self, served: Served) -> None:
        self._files.write(served.record())

    def _attempt(self, action: Callable[[], None]) -> bool:
        """Whether an action came to its end; what ends it otherwise is said once."""
        try:
            action()
        except BlockingIOError:  # soon after a failure that was said
            return False
        except Exception as error:  # a log must not end what it looks at
            reason = error.strerror if isinstance(error, OSError) else None
            self._say(f"does not take calls: {reason or error}")
            return False
        return True

    def _say(self, what: str) -> None:
        """Says something once."""
        if what in self._has_said:
            return
        self._has_said.add(what)
        print(f"warning: {self.directory}: the request log {what}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Writes what waits, and gives the last file its name; later calls are left out.

        What the disk does not take within 30 seconds is left out, counted as dropped, and said.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            thread = self._thread
        if thread is None:
            return
        self._queue.put(None)
        thread.join(_SECONDS_TO_CLOSE)
        if thread.is_alive():
            self._is_late = True
            thread.join(_SECONDS_TO_END)
            self._say(f"drops {self.dropped:,} calls: the disk is too slow")
        atexit.unregister(self.close)

    def __enter__(self) -> RequestLog:
        return self

    def __exit__(self, *of_error: object) -> None:
        self.close()
