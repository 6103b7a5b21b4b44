"""The versions of an exported model on disk: directories whose names are numbers."""

from __future__ import annotations

import pathlib
import re

# For whoever finds the lock of a directory of versions taken.
BUSY = "wait until it has ended, or end it"

# Files within a version.
SCHEMA_FILE = pathlib.PurePath("assets.extra", "schema.toml")
CARD_FILE = pathlib.PurePath("assets.extra", "model_card.json")


def versions(export_dir: str | pathlib.Path) -> list[pathlib.Path]:
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
        is_number = re.fullmatch("[0-9]+", path.name) and int(path.name) < 1 << 63
        if is_number and path.is_dir():
            found.append(path)
    return sorted(found, key=lambda path: int(path.name))


def latest(export_dir: str | pathlib.Path) -> pathlib.Path:
    """Finds the version with the highest number below `export_dir`.

    Args:
        export_dir: The directory in which versions are published.

    Returns:
        Its directory.

    Raises:
        FileNotFoundError: If there is no version.
    """
    found = versions(export_dir)
    if not found:
        raise FileNotFoundError(
            f"{export_dir}: holds no exported version (a directory with a number as its name)"
        )
    return found[-1]


def one_version(path: str | pathlib.Path) -> pathlib.Path:
    """Finds the version that a user means who names either a version or the directory of versions.

    Args:
        path: A SavedModel, or a directory of versions, of which the latest is taken.

    Returns:
        The version's directory.

    Raises:
        FileNotFoundError: If `path` is neither.
    """
    path = pathlib.Path(path)
    if (path / "saved_model.pb").exists():
        return path
    return latest(path)
