"""What a file held, in a few bytes: enough to notice that it is another one now."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, NamedTuple

from tafe_tf.data.formats.partitions import names_within
from tafe_tf.storage.addresses import is_remote, name_of
from tafe_tf.storage.listing import identity
from tafe_tf.storage.reading import ObjectFile

_PIECE = 1 << 16  # bytes
_REQUESTS = 16  # of a store at a time
_PIECES = 16  # so a file of up to 1 MiB is hashed whole


class Fingerprint(NamedTuple):
    """A file's name, size and sample.

    Attributes:
        name: The file's name, without its folders; among the files of a split as `names_within`
            gives it.
        size: Its length in bytes.
        sample: A hash of 16 pieces of 64 KiB, the first and the last ones of the file and others at
            equal distances; of all bytes if there are not more. So its cost does not grow with the
            file, it does not depend on times of change, and a longer, shorter or rewritten file has
            another one. A change of single bytes between the pieces of a large file goes unnoticed.
            Of an object it is "store:" and the store's mark: generation, ETag or time of change.
    """

    name: str
    size: int
    sample: str


def fingerprint(path: str | os.PathLike[str]) -> Fingerprint:
    """The fingerprint of a file; of an object the store's own mark takes the place of the sample.

    Raises:
        OSError: If the file cannot be read.
        StoreError: If the object is not there.
    """
    if is_remote(path):
        size, tag = identity(str(path))
        return Fingerprint(name_of(path), size, f"store:{tag}")
    return sampled(path)


def sampled(path: str | os.PathLike[str]) -> Fingerprint:
    """The fingerprint of a file by its bytes, of an object too, where 16 ranges are read for it.

    So a file and its copy in a store have the same one.

    Raises:
        OSError: If the file cannot be read.
        StoreError: If the object cannot be read.
    """
    with _opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        return Fingerprint(name_of(path), size, _sample(file, size))


def _opened(path: str | os.PathLike[str]) -> IO[bytes] | ObjectFile:
    return ObjectFile(str(path)) if is_remote(path) else open(path, "rb")


def _sample(file: IO[bytes] | ObjectFile, size: int) -> str:
    """A hash of pieces of a file of a size."""
    digest = hashlib.blake2b(digest_size=16)
    for i in range(_PIECES):
        first_of_last = max(size - _PIECE, 0)
        start = i * _PIECE
        if size > _PIECES * _PIECE:
            start = first_of_last * i // (_PIECES - 1)
        file.seek(start)
        digest.update(file.read(_PIECE))
    return digest.hexdigest()


def differences(
    then: Sequence[Fingerprint],
    now: Sequence[Fingerprint],
) -> list[str]:
    """What differs between files then and now, a text for each file.

    Example:
        >>> then = [Fingerprint("a.csv", 10, "0f"), Fingerprint("b.csv", 5, "11")]
        >>> now = [Fingerprint("a.csv", 12, "3c"), Fingerprint("c.csv", 5, "11")]
        >>> differences(then, now)
        ['a.csv holds other bytes', 'b.csv is gone', 'c.csv is new']
    """
    before = {item.name: item for item in then}
    after = {item.name: item for item in now}
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(f"{name} is gone")
        elif name not in before:
            found.append(f"{name} is new")
        elif before[name] != after[name]:
            found.append(f"{name} holds other bytes")
    return found


def of_splits(splits: Mapping[str, Sequence[str]]) -> dict[str, list[Fingerprint]]:
    """The fingerprints of all files, by split.

    Args:
        splits: The paths of the files by split.

    Raises:
        OSError: If a file cannot be read.
    """
    found: dict[str, list[Fingerprint]] = {}
    for split, files in splits.items():
        found[split] = []
        for seen, name in zip(of_files(files), names_within(files), strict=True):
            found[split].append(seen._replace(name=name))
    return found


def of_files(files: Sequence[str]) -> list[Fingerprint]:
    """The fingerprints of some files; a store is asked for many at a time.

    Raises:
        OSError: If a file cannot be read.
        StoreError: If an object is not there.
    """
    if not any(map(is_remote, files)):
        return [fingerprint(file) for file in files]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        return list(pool.map(fingerprint, files))


def changes(
    noted: Mapping[str, Sequence[Sequence[Any]]],
    now: Mapping[str, Sequence[Fingerprint]],
) -> list[str]:
    """What differs between the files of now and those that were noted, a text for each file.

    Args:
        noted: The fingerprints of then by split, as JSON gives them back. A split that was not
            noted has no changes.
        now: Those of now.

    Example:
        >>> now = {"train": [Fingerprint("a.csv", 12, "3c")], "test": []}
        >>> changes({"train": [["a.csv", 10, "0f"]]}, now)
        ['a.csv holds other bytes']
    """
    found = []
    for split, files in now.items():
        if split in noted:
            then = [Fingerprint(*item) for item in noted[split]]
            found += differences(then, files)
    return found
