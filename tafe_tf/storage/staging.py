"""Whole files and folders: from a store to this machine's disk, and from the disk to a store."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from tafe_tf.storage.addresses import inner_path, is_remote, join, note_copy
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import Entry, Identity, entries, identity, is_file
from tafe_tf.storage.reading import RANGE_BYTES, ObjectFile
from tafe_tf.storage.sending import put_bytes

_AT_ONCE = 8  # files


def stage(uri: str | os.PathLike[str], cache_dir: str | os.PathLike[str] = "") -> pathlib.Path:
    """Brings a folder of a store to this machine's disk, whole or not at all.

    What was brought before is taken as it lies, while the store's files have the same sizes and
    marks (generation, ETag). A local directory is itself. Nothing that was brought is removed:
    remove the folders of `cache_dir` to get the disk back.

    Args:
        uri: The folder, such as one version of an exported model.
        cache_dir: Where to keep it. Default: `tafe_tf/staged` below `XDG_CACHE_HOME`, which is
            `~/.cache` where it is not set.

    Returns:
        The local directory.

    Raises:
        StoreError: If there is no such folder, it cannot be read, or it changes meanwhile.
    """
    if not is_remote(uri):
        return pathlib.Path(uri)
    uri = str(uri)
    wanted = _identities(uri)
    name = hashlib.sha256(repr((uri, sorted(wanted.items()))).encode()).hexdigest()[:32]
    target = (pathlib.Path(cache_dir) if cache_dir else _cache()) / name
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as work:
            _fetch(uri, wanted, pathlib.Path(work, "whole"))
            _move(pathlib.Path(work, "whole"), target)
    note_copy(str(target), uri)
    return target


def fetch_file(uri: str, path: str | os.PathLike[str]) -> Identity:
    """Brings one object to a local file, range by range.

    Args:
        uri: The object.
        path: The file; it is half there if this ends with an error.

    Returns:
        What the object was.

    Raises:
        StoreError: If it is not there or cannot be read.
        OSError: If the disk does not take it.
    """
    with ObjectFile(uri) as file, open(path, "wb") as local:
        while piece := file.read(RANGE_BYTES):
            local.write(piece)
        return file.identity


def fetch_tree(uri: str, directory: str | os.PathLike[str]) -> None:
    """Brings all files of a folder into a local directory, which is half full if this fails.

    Raises:
        StoreError: If there is no such folder, it cannot be read, or it changes meanwhile.
        OSError: If the disk does not take a file.
    """
    _fetch(uri, _identities(uri), pathlib.Path(directory))


def put_file(path: str | os.PathLike[str], uri: str) -> None:
    """Sends one finished file, which appears whole in the store or not at all.

    A process that is killed meanwhile leaves at most an upload that nobody sees, which a lifecycle
    rule of the bucket removes.

    Args:
        path: The file.
        uri: Where it goes; an object that is there is replaced.

    Raises:
        StoreError: If the store does not take it.
        OSError: If the file cannot be read.
    """
    size = os.path.getsize(path)
    # A file that cannot be read further ends the process instead of an upload.
    content = pa.memory_map(os.fspath(path)).read_buffer() if size else pa.py_buffer(b"")
    put_bytes(content, uri)


def publish_tree(
    directory: str | os.PathLike[str],
    uri: str,
    last: Sequence[str] = (),
) -> list[str]:
    """Sends all files of a directory, and last of all those that make it count.

    Stores have no rename, so a reader takes a folder for finished by one file of it. Files that the
    store has with the same content may be sent again; nothing there is removed.

    Args:
        directory: A finished directory of this machine.
        uri: Where it goes.
        last: Paths within the directory that are sent at the end, in this order, each only once all
            before it are there. Default: none.

    Returns:
        The URIs, in the order of their names.

    Raises:
        StoreError: If the store does not take one.
        ValueError: If `last` names a file that is not there.
    """
    names = [entry.path for entry in entries(directory, below=True)]
    names = [pathlib.Path(name).relative_to(directory).as_posix() for name in names]
    unknown = [name for name in last if name not in names]
    if unknown:
        raise ValueError(f"last must name files of {directory}. Received: {unknown[0]!r}")
    first = [name for name in names if name not in last]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda name: put_file(join(directory, name), join(uri, name)), first))
    for name in last:
        put_file(join(directory, name), join(uri, name))
    return [join(uri, name) for name in names]


def _cache() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base, "tafe_tf", "staged")


def _identities(uri: str) -> dict[str, Identity]:
    """What each file of a folder is now, by its path within it."""
    listed: Iterable[Entry] = entries(uri, below=True)
    names = [entry.path.removeprefix(uri.rstrip("/")).lstrip("/") for entry in listed]
    if not names:
        what = "is one file" if inner_path(uri) and is_file(uri) else "there is nothing below it"
        raise StoreError(f"{uri}: must be a folder; {what}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda name: identity(join(uri, name)), names))
    return dict(zip(names, found, strict=True))


def _fetch(
    uri: str,
    wanted: dict[str, Identity],
    directory: pathlib.Path,
) -> None:
    """Brings all files of a folder, each as it was listed."""

    def fetch(name: str) -> None:
        local = directory / name
        local.parent.mkdir(parents=True, exist_ok=True)
        if fetch_file(join(uri, name), local) != wanted[name]:
            raise StoreError(f"{join(uri, name)}: was replaced while it was read; read it again")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fetch, wanted))


def _move(work: pathlib.Path, target: pathlib.Path) -> None:
    """Gives a finished folder its name; another process that was faster has brought the same."""
    try:
        os.rename(work, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(work)
