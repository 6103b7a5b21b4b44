"""What there is: files, folders and what tells one state of a file from another."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pyarrow import fs

from tafe_tf.storage.addresses import is_remote, join
from tafe_tf.storage.retries import again
from tafe_tf.storage.stores import open_place

_AT_ONCE = 16  # requests


class Identity(NamedTuple):
    """What tells an object from what replaces it.

    Attributes:
        size: Its length in bytes.
        tag: The store's own mark of its content: a hash of it where the store tells one, the
            generation or the ETag, and otherwise the time of change in whole seconds.
    """

    size: int
    tag: str


class Entry(NamedTuple):
    """What lies in a directory or below a prefix.

    Attributes:
        path: Its path or URI.
        size: Its length in bytes; 0 for a folder.
        is_file: Whether it is a file.
    """

    path: str
    size: int
    is_file: bool


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file or object.

    Raises:
        StoreError: If the store does not say.
    """
    if not is_remote(path):
        return os.path.isfile(path)
    return _type_of(str(path)) == fs.FileType.File


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file or folder; a store has folders where it has objects in them.

    Raises:
        StoreError: If the store does not say.
    """
    if not is_remote(path):
        return os.path.exists(path)
    return _type_of(str(path)) != fs.FileType.NotFound


def missing(paths: Iterable[str]) -> list[str]:
    """Those of some files that are not there, in their order; objects are asked for at once."""
    paths = list(paths)
    if not any(map(is_remote, paths)):
        return [path for path in paths if not os.path.isfile(path)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(is_file, paths))
    return [path for path, is_there in zip(paths, found, strict=True) if not is_there]


def _type_of(uri: str) -> fs.FileType:
    place = open_place(uri)
    info = again(lambda: place.filesystem.get_file_info(place.path), uri, "look for it")
    return info.type


def entries(directory: str | os.PathLike[str], below: bool = False) -> list[Entry]:
    """What lies in a directory, in order of the names.

    Args:
        directory: A directory or a prefix of a store.
        below: Whether to go into folders; only files are listed then. Default: False.

    Returns:
        Nothing for a directory that is not there.

    Raises:
        StoreError: If the bucket is missing or access denied.
        OSError: If a local directory cannot be read.
    """
    if not is_remote(directory):
        found = pathlib.Path(directory).glob("**/*" if below else "*")
        local = [Entry(str(path), path.stat().st_size, path.is_file()) for path in found]
        return sorted(entry for entry in local if entry.is_file or not below)
    uri = str(directory)
    place = open_place(uri)
    # Of GCS pyarrow lists no folder that has no object of its own, so that paths must tell them.
    are_folders_listed = place.filesystem.type_name != "gcs"
    selector = fs.FileSelector(
        place.path,
        allow_not_found=True,
        recursive=below or not are_folders_listed,
    )
    infos = again(lambda: place.filesystem.get_file_info(selector), uri, "list what is there")
    listed = set()
    for info in infos:
        rest = info.path.strip("/").removeprefix(place.path.strip("/")).lstrip("/")
        name, _, inside = rest.partition("/")
        is_object = info.type == fs.FileType.File
        if inside and not below:
            listed.add(Entry(join(uri, name), 0, is_file=False))
        elif rest and (is_object or not below):
            listed.add(Entry(join(uri, rest), info.size or 0, is_object))
    return sorted(listed)


def identity(uri: str) -> Identity:
    """The size of an object and the store's own mark of its content.

    Raises:
        StoreError: If it is not there.
    """
    place = open_place(uri)

    def look() -> Identity:
        with place.filesystem.open_input_file(place.path) as file:
            return identity_of(file, place.filesystem, place.path)

    return again(look, uri, "open it")


def identity_of(
    file: object,
    filesystem: fs.FileSystem,
    path: str,
) -> Identity:
    """The identity of an object that is open.

    Args:
        file: A `pyarrow.NativeFile` of it.
        filesystem: Where it lies.
        path: Its path there.
    """
    if file.closed:  # type: ignore[attr-defined]  # as pyarrow leaves it after a 503 of GCS
        raise OSError("the answer holds no file")
    size = file.size()  # type: ignore[attr-defined]
    metadata = file.metadata() or {}  # type: ignore[attr-defined]
    known = {name.lower(): value.decode() for name, value in metadata.items()}
    for name in ("md5hash", "generation", "etag"):
        if name in known:
            return Identity(size, known[name].strip('"'))
    info = filesystem.get_file_info(path)
    seconds = 0 if info.mtime_ns is None else info.mtime_ns // 1_000_000_000
    return Identity(size, str(seconds))
