"""Small objects that are written, copied and removed; `staging` sends whole files and folders."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from tafe_tf.storage import claims, leases
from tafe_tf.storage.addresses import is_remote, join, parent_of
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import entries, identity
from tafe_tf.storage.retries import again
from tafe_tf.storage.stores import is_object_store, open_place

_AT_ONCE = 8  # requests


def put_bytes(content: bytes | pa.Buffer, uri: str) -> None:
    """Writes an object, which appears whole or not at all; one that is there is replaced.

    Args:
        content: What it shall hold.
        uri: The object.

    Raises:
        StoreError: If the store does not take it, or another process has taken over what this one
            had claimed.
    """
    leases.check(uri)
    place = open_place(uri)
    size = len(content)

    def send() -> None:
        if not is_object_store(place):
            _put_beside(content, uri)
            return
        with place.filesystem.open_output_stream(place.path, compression=None) as stream:
            stream.write(content)

    again(send, uri, "send it")
    sent = identity(uri).size
    if sent != size:
        raise StoreError(f"{uri}: has {sent:,} bytes after {size:,} were sent; send it again")


def _put_beside(content: bytes | pa.Buffer, uri: str) -> None:
    """Writes a file of a file system with folders under another name first, then renames it."""
    place = open_place(uri)
    hidden = open_place(join(parent_of(uri), f".{os.getpid()}-{place.path.rpartition('/')[2]}"))
    place.filesystem.create_dir(place.path.rpartition("/")[0], recursive=True)
    with place.filesystem.open_output_stream(hidden.path, compression=None) as stream:
        stream.write(content)
    place.filesystem.move(hidden.path, place.path)


def put_text(text: str, uri: str) -> None:
    """Writes a text in UTF-8 as an object, see `put_bytes`."""
    put_bytes(text.encode(), uri)


def remove(path: str | os.PathLike[str]) -> None:
    """Removes a file or an object; nothing happens if there is none.

    Raises:
        StoreError: If the store refuses.
        OSError: If the file system does.
    """
    if not is_remote(path):
        pathlib.Path(path).unlink(missing_ok=True)
        return
    uri = str(path)
    leases.check(uri)
    claims.delete(uri)


def remove_tree(directory: str | os.PathLike[str], first: Sequence[str] = ()) -> None:
    """Removes all files of a folder; nothing happens if there are none.

    Args:
        directory: The folder, of this machine or of a store.
        first: Paths within it of what goes before all else: what makes the folder count. Default:
            nothing.

    Raises:
        StoreError: If the store refuses.
        OSError: If the file system does.
    """
    if not is_remote(directory):
        shutil.rmtree(directory, ignore_errors=True)
        return
    for name in first:
        remove(join(directory, name))
    _all_at_once(remove, [entry.path for entry in entries(directory, below=True)])


def copy_tree(source: str, target: str, last: Sequence[str] = ()) -> None:
    """Copies all objects of a folder of a store within the store.

    Args:
        source: The folder.
        target: Where the copies go.
        last: Paths within the folder of what is copied at the end, in this order. Default: nothing.

    Raises:
        StoreError: If the store does not do it.
    """
    paths = [entry.path for entry in entries(source, below=True)]
    names = [path.removeprefix(source.rstrip("/")).lstrip("/") for path in paths]

    def copy(name: str) -> None:
        leases.check(target)
        claims.copy(join(source, name), join(target, name))

    _all_at_once(copy, [name for name in names if name not in last])
    for name in last:
        copy(name)


def _all_at_once(action: Callable[[str], None], items: Iterable[str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(action, items))
