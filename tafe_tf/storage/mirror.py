"""A folder of a store whose files are worked on here, on a disk, and sent back in an order.

TensorFlow wants checkpoints, SavedModels and event files on a disk. Each file of the folder has a
copy in a temporary folder of this process. `fetch` brings what has changed in the store, `send`
sends what has changed here. A store has no rename, so the order counts: what makes other files
mean something goes after them, and what is gone here is removed at the end.
"""

from __future__ import annotations

import atexit
import fnmatch
import functools
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tafe_tf.storage.addresses import is_hidden, join, note_copy
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import Identity, entries, identity
from tafe_tf.storage.sending import remove
from tafe_tf.storage.staging import fetch_file, put_file

T = TypeVar("T")

_AT_ONCE = 8  # files
_State = tuple[int, int, int]  # size, time of change and inode of a local file


class Mirror:
    """The local copy of a folder of a store.

    Files whose names begin with a dot belong to this machine, or are the store's lock, and stay
    where they are.

    Args:
        uri: The folder.
        first: Patterns of names of files that are sent before all others. Default: none.
        last: Patterns of names of files that are sent after all others, in this order; where
            several fit, the last one counts. Default: none.

    Attributes:
        uri: The folder.
        directory: The local one, which goes when the process ends.
        is_held: Whether somebody works on it, so that nobody else must call `fetch`.
    """

    def __init__(self, uri: str, first: Sequence[str] = (), last: Sequence[str] = ()) -> None:
        self.uri = uri.rstrip("/")
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mirror-"))
        atexit.register(shutil.rmtree, self.directory, ignore_errors=True)
        note_copy(str(self.directory), self.uri)
        self.is_held = False
        self._first = tuple(first)
        self._last = tuple(last)
        self._there: dict[str, Identity] = {}  # what the store had when a file was fetched or sent
        self._here: dict[str, _State] = {}  # what the local file was then

    def fetch(self, but: Sequence[str] = ()) -> None:
        """Makes the local folder hold what the store holds; what was not sent is forgotten.

        Files that have not changed since they were brought or sent are not brought again.

        Args:
            but: Patterns of names that are not needed. Default: all files are.

        Raises:
            StoreError: If the store cannot be read, or a file changes meanwhile.
            OSError: If the disk does not take a file.
        """
        names = [name for name in self._names() if not _fits(name, but)]
        now = dict(zip(names, self._at_once(self._identity, names), strict=True))
        here = {name: state for name, state in self._local().items() if not _fits(name, but)}
        for name in here.keys() | {known for known in self._here if not _fits(known, but)}:
            if name not in now or here.get(name) != self._here.get(name):
                (self.directory / name).unlink(missing_ok=True)
                self._forget(name)
        wanted = [name for name in names if self._there.get(name) != now[name]]
        self._at_once(functools.partial(self._fetch, now), wanted)

    def _names(self) -> list[str]:
        names = []
        for entry in entries(self.uri, below=True):
            name = entry.path.removeprefix(self.uri).lstrip("/")
            if not is_hidden(name):
                names.append(name)
        return names

    def _identity(self, name: str) -> Identity:
        return identity(join(self.uri, name))

    def _fetch(self, now: dict[str, Identity], name: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        if fetch_file(join(self.uri, name), beside) != now[name]:
            raise StoreError(
                f"{join(self.uri, name)}: was replaced while it was read; read it again"
            )
        os.replace(beside, path)
        self._there[name] = now[name]
        self._here[name] = _state(path)

    def send(self) -> None:
        """Sends files that are new or changed here, in order, and removes those that are gone here.

        A process that is killed meanwhile leaves some files as they were before, never one that is
        half there, and none that stands before another in the order without it.

        Raises:
            StoreError: If the store does not take a file, or another process has taken over.
        """
        found = self._local()
        by_rank: dict[int, list[str]] = {}
        for name, state in found.items():
            if self._here.get(name) != state:
                by_rank.setdefault(self._rank(name), []).append(name)
        for rank in sorted(by_rank):
            self._at_once(self._send, by_rank[rank])
        gone = [name for name in self._here if name not in found]
        for name in sorted(gone, key=self._rank, reverse=True):  # what counts on others first
            remove(join(self.uri, name))
            self._forget(name)

    def _local(self) -> dict[str, _State]:
        found = {}
        for path in self.directory.rglob("*"):
            name = path.relative_to(self.directory).as_posix()
            if not is_hidden(name) and path.is_file():
                found[name] = _state(path)
        return found

    def _send(self, name: str) -> None:
        path = self.directory / name
        state = _state(path)  # what is written meanwhile is sent the next time
        put_file(path, join(self.uri, name))
        self._there[name] = self._identity(name)
        self._here[name] = state

    def _rank(self, name: str) -> int:
        if _fits(name, self._first):
            return -1
        ranks = [rank for rank, pattern in enumerate(self._last, 1) if _fits(name, [pattern])]
        return max(ranks, default=0)

    def _forget(self, name: str) -> None:
        self._there.pop(name, None)
        self._here.pop(name, None)

    def _at_once(self, action: Callable[[str], T], names: Iterable[str]) -> list[T]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(action, names))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _state(path: pathlib.Path) -> _State:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
