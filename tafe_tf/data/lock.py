"""One writer at a time: a lock on a directory that ends with the process that holds it.

In a store the lock is a lease, see `tafe_tf.storage.leases`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import socket
import sys
from collections.abc import Iterator
from typing import TextIO

from tafe_tf.storage.addresses import inner_path, is_remote, scheme_of

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

    In a store a process that was killed on another machine counts as dead after a minute.

    Args:
        directory: The directory; made if it is not there. Or a prefix of a store.
        mend: What whoever comes second can do, for the message. Default: "wait until it has ended,
            or give another directory".

    Raises:
        LockError: If another process holds the lock; the message says which one.
        StoreError: If the store cannot be written to.
    """
    if is_remote(directory) and scheme_of(str(directory)) != "file":
        with _leased(str(directory), mend):
            yield
        return
    if is_remote(directory):
        directory = "/" + inner_path(str(directory)).lstrip("/")
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    file = _taken(path, mend)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock ends, so that no one else's is removed
        file.close()


@contextlib.contextmanager
def _leased(uri: str, mend: str) -> Iterator[None]:
    """Holds the lease of a prefix of a store."""
    from tafe_tf.storage import leases  # needs pyarrow, see `tafe_tf.storage.texts`

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(leases.held(uri))
        except leases.LeaseTakenError as error:
            raise LockError(f"{error}; {mend}") from None
        yield


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
