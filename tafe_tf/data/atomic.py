"""Files that appear whole or not at all, on this machine or in a store."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tafe_tf.data.errors import DataError
from tafe_tf.storage import texts
from tafe_tf.storage.addresses import is_remote, name_of


@contextlib.contextmanager
def replacing(path: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path beside `path` to write to, and renames what was written there to `path`.

    What a URI names is written to a temporary file of this machine, and then sent whole.

    If the `with` block raises, what was written is removed and `path` stays as it was. Processes
    that write the same file at the same time do not disturb each other: the last one wins. Bytes
    and name are on the disk before this returns, so that a loss of power leaves the old file or
    the new one.

    Args:
        path: The file to make or to replace; its directory must exist.

    Raises:
        OSError: If it cannot be written, with its name; the disk is full, for example.
        StoreError: If the store does not take it.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            local = pathlib.Path(folder, name_of(path))
            yield local
            publish(local, path)
        return
    path = pathlib.Path(path)
    temporary = temporary_name(path)
    try:
        with naming(path):
            yield temporary
            publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Adds the name of what is being written to an error of the system that names nothing.

    A write does not know the file's name: where the disk is full, for example.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def temporary_name(path: pathlib.Path) -> pathlib.Path:
    """This process's name for what is not yet, or never will be, the file `path`."""
    return path.with_name(f".{os.getpid()}.{path.name}")


def remove_left_over(folder: pathlib.Path) -> None:
    """Removes the files that killed processes were writing under a `temporary_name`.

    Args:
        folder: The folder, in which no other process writes; see `tafe_tf.data.lock`. It need not
            be there.
    """
    for path in folder.glob(".[0-9]*.*"):
        number = path.name.split(".")[1]
        if number.isdigit() and path.is_file():
            path.unlink(missing_ok=True)


def publish(
    temporary: str | os.PathLike[str],
    path: str | os.PathLike[str],
) -> None:
    """Renames a finished file or folder, once what it holds is on the disk, and waits for the name.

    Args:
        temporary: What was written; on the same file system as `path`, unless that is a URI.
        path: Its final name. A file of that name is replaced. To a URI a finished file is sent
            whole, and `temporary` is removed.

    Raises:
        StoreError: If the store does not take it.
    """
    if is_remote(path):
        from tafe_tf.storage.staging import put_file  # needs pyarrow, see `texts`

        put_file(temporary, str(path))
        os.unlink(temporary)
        return
    sync(temporary)
    os.replace(temporary, path)
    _sync_one(pathlib.Path(path).parent)


def sync(path: str | os.PathLike[str]) -> None:
    """Waits until a file, or all files and folders below a folder, are on the disk."""
    path = pathlib.Path(path)
    below = path.rglob("*") if path.is_dir() else ()
    for item in (*below, path):
        _sync_one(item)


def _sync_one(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def read_text(path: str | os.PathLike[str]) -> str:
    """Reads a text file in UTF-8.

    Raises:
        DataError: If the file is not in UTF-8; the message names it.
        FileNotFoundError: If there is no such file.
    """
    try:
        return texts.read_text(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is damaged, its text is not UTF-8: {error}") from None


def read_json(path: str | pathlib.Path) -> Any:
    """Reads a JSON file in UTF-8.

    Args:
        path: The file.

    Returns:
        The value that it holds: a dict, list, text, number, bool or None.

    Raises:
        DataError: If the file does not hold JSON; the message names the file.
        FileNotFoundError: If there is no such file.
    """
    return _parsed(path, json.loads, "JSON")


def read_toml(path: str | pathlib.Path) -> dict[str, Any]:
    """Reads a TOML file, which is in UTF-8.

    Args:
        path: The file.

    Returns:
        Its keys and their values.

    Raises:
        DataError: If the file does not hold TOML; the message names the file.
        FileNotFoundError: If there is no such file.
    """
    return dict(_parsed(path, tomllib.loads, "TOML"))


def _parsed(path: str | pathlib.Path, parse: Callable[[str], Any], language: str) -> Any:
    try:
        return parse(texts.read_text(path))
    except DataError:  # a store's
        raise
    except (ValueError, RecursionError) as error:  # ValueError: of the language, or of UTF-8
        raise DataError(f"{path}: holds no {language}: {error}") from None


def write_json(path: str | pathlib.Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically."""
    text = json.dumps(value, indent=2)
    write_text(path, text + "\n")


def write_text(path: str | pathlib.Path, text: str) -> None:
    """Writes a text file in UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_arrays(
    path: str | pathlib.Path,
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Writes arrays by name as an uncompressed .npz file, atomically.

    Raises:
        ValueError: If an array holds Python objects, which would be written as a pickle.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:  # NumPy 1.26 has no `allow_pickle` of `savez`
            raise ValueError(f"{path}: array {name!r} holds Python objects")
    named: dict[str, Any] = dict(arrays)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **named)
