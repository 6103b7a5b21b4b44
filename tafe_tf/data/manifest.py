"""What files held, to the last bit: a list of names, sizes and hashes beside them.

A manifest ties files together that have a meaning only together, such as a model's weights and its
vocabularies. Whoever reads them compares first, so that no changed, half-copied or foreign file is
believed.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from tafe_tf.data.atomic import read_json
from tafe_tf.data.errors import DataError
from tafe_tf.storage.addresses import is_remote, join

FILE = "manifest.json"


class ManifestError(DataError):
    """A file is not what the manifest says; the message names it, and what was expected."""


class Entry(TypedDict):
    """What a file held.

    Attributes:
        bytes: Its length.
        sha256: The SHA-256 of its content, in hexadecimal digits, as `sha256sum` prints it.
    """

    bytes: int
    sha256: str


Entries = Mapping[str, Entry]  # by the file's path within the directory, with "/" between folders


def entry(path: str | os.PathLike[str]) -> Entry:
    """What a file or an object holds now.

    Raises:
        OSError: If it cannot be read.
        StoreError: If the object cannot be read.
    """
    if is_remote(path):
        return _entry_of_object(str(path))
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        size = file.tell()
    return {"bytes": size, "sha256": digest.hexdigest()}


def _entry_of_object(uri: str) -> Entry:
    from tafe_tf.storage.reading import RANGE_BYTES, ObjectFile  # needs pyarrow, see `texts`

    digest = hashlib.sha256()
    with ObjectFile(uri) as file:
        while piece := file.read(RANGE_BYTES):
            digest.update(piece)
        return {"bytes": file.identity.size, "sha256": digest.hexdigest()}


def entries(
    directory: str | os.PathLike[str],
    names: Iterable[str | os.PathLike[str]],
) -> dict[str, Entry]:
    """What files of a directory hold now, by their paths within it.

    Args:
        directory: The directory.
        names: The files' paths within it.

    Raises:
        OSError: If one cannot be read.
    """
    found = {}
    for name in sorted(pathlib.PurePath(name).as_posix() for name in names):
        found[name] = entry(join(directory, name))
    return found


def read(path: str | pathlib.Path, mend: str, key: str = "") -> dict[str, Entry]:
    """What a manifest says of each file.

    Args:
        path: The manifest, a JSON file.
        mend: What to do if it is none, a sentence.
        key: Under which the files stand in it; by default they are all that it holds.

    Raises:
        ManifestError: If it holds no JSON, or JSON that is no manifest.
    """
    try:
        stored = read_json(path)
    except DataError as error:
        raise ManifestError(f"{error}. {mend}") from None
    noted: dict[str, Entry] = {}
    try:
        for name, entry in (stored[key] if key else stored).items():
            noted[name] = {"bytes": _number(entry["bytes"]), "sha256": _text(entry["sha256"])}
    except (AttributeError, KeyError, TypeError):
        raise ManifestError(f"{path}: is no manifest. {mend}") from None
    return noted


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def files_below(directory: str | os.PathLike[str]) -> list[str]:
    """The paths of all files below a directory, within it and in ascending order.

    Files whose name begins with a dot belong to no manifest: they are locks and what a killed
    process has left.
    """
    directory = pathlib.Path(directory)
    found = []
    for path in directory.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            found.append(path.relative_to(directory).as_posix())
    return sorted(found)


def differences(
    directory: str | os.PathLike[str],
    noted: Entries,
) -> list[str]:
    """What is not as it was noted, a text for each file; empty if all is.

    Sizes are compared first, so that a half-copied file costs no reading.

    Args:
        directory: The directory.
        noted: What the files held.

    Example:
        >>> import tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> _ = (folder / "user.txt").write_text("ann")
        >>> noted = entries(folder, ["user.txt"])
        >>> _ = (folder / "user.txt").write_text("bob")
        >>> differences(folder, noted)
        ['user.txt holds other bytes (sha256 81b637d8... and not 49915e0d...)']
    """
    directory = pathlib.Path(directory)
    found = []
    for name, expected in noted.items():
        path = directory / name
        if not path.is_file():
            found.append(f"{name} is gone")
            continue
        size = path.stat().st_size
        if size != expected["bytes"]:
            found.append(f"{name} has {size:,} bytes and not {expected['bytes']:,}")
            continue
        now = entry(path)["sha256"]
        then = expected["sha256"]
        if now != then:
            found.append(f"{name} holds other bytes (sha256 {now[:8]}... and not {then[:8]}...)")
    return found


def check(
    directory: str | os.PathLike[str],
    noted: Entries,
    mend: str,
    also: Sequence[str] = (),
) -> None:
    """Finds that files hold what was noted.

    Args:
        directory: The directory.
        noted: What the files held.
        mend: What to do if they do not, a sentence.
        also: What else was found wrong, a text for each file; nothing by default.

    Raises:
        ManifestError: In one line: the directory, each file that differs, and `mend`.
    """
    found = [*differences(directory, noted), *also]
    if found:
        raise ManifestError(f"{directory}: {'; '.join(found)}. {mend}")
