"""The versions of an exported model: directories whose names are numbers, on a disk or in a store.

A directory appears on a disk by a rename. In a store a version counts once its graph is there,
which is sent last.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

from tafe_tf.storage.addresses import is_remote, join, name_of
from tafe_tf.storage.listing import entries, is_file, missing
from tafe_tf.storage.staging import stage

# For whoever finds the lock of a directory of versions taken.
BUSY = "wait until it has ended, or end it"

# Files within a version.
GRAPH = "saved_model.pb"
SCHEMA_FILE = pathlib.PurePath("assets.extra", "schema.toml")
CARD_FILE = pathlib.PurePath("assets.extra", "model_card.json")
PROFILE_FILE = pathlib.PurePath("assets.extra", "profile.json")


def numbered(export_dir: str | os.PathLike[str]) -> list[int]:
    """The numbers of the directories that are, or are to be, versions, in ascending order.

    A number beyond 63 bits is none: no server could be asked for it.

    Raises:
        StoreError: If the store cannot be read.
    """
    return [number for number, _ in _numbered(export_dir)]


def _numbered(export_dir: str | os.PathLike[str]) -> list[tuple[int, str]]:
    """The numbers and addresses of these directories, in ascending order."""
    found = []
    for entry in entries(export_dir):
        name = name_of(entry.path)
        if _is_number(name) and not entry.is_file:
            found.append((int(name), entry.path))
    return sorted(found)


def _is_number(name: str) -> bool:
    return re.fullmatch("[0-9]+", name) is not None and int(name) < 1 << 63


def newest_first(uri: str) -> Iterator[str]:
    """The URIs of the whole versions below a prefix of a store, the highest number first.

    The store is asked for a version's graph only once the version is asked for.

    Args:
        uri: Where versions are published.

    Raises:
        StoreError: If the store cannot be read.
    """
    for _, address in reversed(_numbered(uri)):
        if is_file(join(address, GRAPH)):
            yield address


def addresses(export_dir: str | os.PathLike[str]) -> list[str]:
    """Finds the versions below `export_dir`.

    Args:
        export_dir: The directory in which versions are published, or its URI.

    Returns:
        Their paths or URIs, in ascending order of their numbers.

    Raises:
        StoreError: If the store cannot be read.
    """
    if not is_remote(export_dir):
        return list(map(str, versions(export_dir)))
    found = [join(export_dir, str(number)) for number in numbered(export_dir)]
    half_there = set(missing(join(address, GRAPH) for address in found))
    return [address for address in found if join(address, GRAPH) not in half_there]


def versions(export_dir: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Finds the numbered versions below `export_dir`.

    Args:
        export_dir: The directory in which versions are published.

    Returns:
        Their directories, in ascending order of their numbers. A number beyond 63 bits is none:
        no server could be asked for it.

    Example:

    >>> import os, tempfile
    >>> root = tempfile.mkdtemp()
    >>> for name in ("9", "10", "withdrawn-11"):
    ...     os.mkdir(os.path.join(root, name))
    >>> [path.name for path in versions(root)]
    ['9', '10']
    """
    found = []
    for path in pathlib.Path(export_dir).glob("*"):
        if _is_number(path.name) and path.is_dir():
            found.append(path)
    return sorted(found, key=lambda path: int(path.name))


def latest(export_dir: str | os.PathLike[str]) -> pathlib.Path:
    """Finds the version with the highest number below `export_dir`.

    Args:
        export_dir: The directory in which versions are published, or its URI.

    Returns:
        Its directory; of one in a store that of a copy on this machine.

    Raises:
        FileNotFoundError: If there is no version.
        StoreError: If the store cannot be read.
    """
    return stage(_newest(export_dir))


def _newest(export_dir: str | os.PathLike[str]) -> str:
    """The path or URI of the version with the highest number."""
    found = addresses(export_dir)
    if not found:
        raise FileNotFoundError(
            f"{export_dir}: holds no exported version (a directory with a number as its name)"
        )
    return found[-1]


def one_address(path: str | os.PathLike[str]) -> str:
    """Finds the version that a user means who names either a version or the directory of versions.

    Args:
        path: A SavedModel, or a directory of versions, of which the latest is taken; or the URI of
            one.

    Returns:
        The version's path or URI.

    Raises:
        FileNotFoundError: If `path` is neither.
        StoreError: If the store cannot be read.
    """
    address = str(path).rstrip("/") if is_remote(path) else str(path)
    if not missing([join(address, GRAPH)]):
        return address
    return _newest(address)


def one_version(path: str | os.PathLike[str]) -> pathlib.Path:
    """Where the files are of the version that a user means, see `one_address`.

    Those of a version in a store are brought to this machine.

    Raises:
        FileNotFoundError: If `path` is neither a version nor holds some.
        StoreError: If the store cannot be read.
    """
    return stage(one_address(path))
