"""One writer at a time: a lock on a directory that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import socket
import sys
from collections.abc import Iterator
from typing import TextIO

FILE = ".lock"


class LockError(ValueError):
    """Another process writes in the directory; the message names both."""


@contextlib.contextmanager
def locked(
    directory: str | os.PathLike[str],
    mend: str = "wait until it has ended, or give another directory",
) -> Iterator[None]:
    """Keeps other processes from writing in a directory while the `with` block runs.

    The operating system drops the lock when its holder ends, however it ends: nobody has to remove
    the file of a killed process. Where a file system has no locks, nothing is locked.

    Args:
        directory: The directory; made if it is not there.
        mend: What whoever comes second can do, for the message. Default: "wait until it has ended,
            or give another directory".

    Raises:
        LockError: If another process holds the lock; the message says which one.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    file = _taken(path, mend)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock ends, so that no one else's is removed
        file.close()


def _taken(path: pathlib.Path, mend: str) -> TextIO:
    """The open file of a lock that this process now holds."""
    while True:
        file = path.open("a+", encoding="utf-8", errors="backslashreplace")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            message = f"{path.parent}: {holder} writes in this directory; {mend}"
            raise LockError(message) from None
        except OSError:  # a file system without locks
            return file
        if _is_still(file, path):
            file.truncate(0)
            file.write(_this_process())
            file.flush()
            return file
        file.close()  # its holder removed it between our opening and our locking


def _is_still(file: TextIO, path: pathlib.Path) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> str:
    """This process, for the message that others get."""
    command = " ".join(sys.argv)[:120]
    return f"process {os.getpid()} on {socket.gethostname()} ({command})"
