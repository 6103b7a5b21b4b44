"""What every file of a published version held, so that a damaged or exchanged one is not believed.

    <version>/assets.extra/manifest.json    {"files": {"saved_model.pb": {"bytes": 81920, ...}}}

A version is tens of files that mean something only together: another model's variables fit under
the same graph, and a vocabulary in another order gives every value another row. The manifest is no
signature: whoever can write these files can write it too.
"""

from __future__ import annotations

import hashlib
import pathlib

from tafe_tf.data import manifest
from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.manifest import ManifestError
from tafe_tf.export.versions import CARD_FILE

FILE = pathlib.PurePath("assets.extra", manifest.FILE)  # within a version
NONE = "has no manifest: it was exported before there were any, so its files are not compared"
MEND = "Copy the version again from where it was published, or export the run again"


def write(path: pathlib.Path) -> None:
    """Notes what all files of a version hold; it is written last.

    Args:
        path: The version's directory.
    """
    write_json(path / FILE, {"files": manifest.entries(path, _files(path))})


def check(path: str | pathlib.Path) -> str:
    """Finds that a version's files are those that were published, and no more.

    Every file is read: a second for each GB. Nothing is loaded.

    Args:
        path: The version's directory.

    Returns:
        What was found, a line. It says so if the version was exported before there were manifests.

    Raises:
        ManifestError: In one line, if a file holds something else, is gone, or was added.
        DataError: If the manifest or the model card holds no JSON.
        OSError: If a file cannot be read.

    Example:
        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp())
        >>> (path / "assets.extra").mkdir()
        >>> _ = (path / "saved_model.pb").write_bytes(b"graph")
        >>> write(path)
        >>> check(path)
        '1 files hold what was published'
    """
    path = pathlib.Path(path)
    if not (path / FILE).exists():
        return _without(path)
    noted = manifest.read(path / FILE, MEND, key="files")
    added = [f"{name} is not of this version" for name in _files(path) if name not in noted]
    manifest.check(path, noted, MEND, also=added)
    return f"{len(noted)} files hold what was published"


def identity(path: str | pathlib.Path) -> str:
    """A text that is another one for every other content of a version, 16 hexadecimal digits.

    Args:
        path: The version's directory; of one without a manifest only the graph counts.

    Raises:
        OSError: If the version lacks a file.
    """
    path = pathlib.Path(path)
    names = (FILE, pathlib.PurePath("fingerprint.pb"), pathlib.PurePath("saved_model.pb"))
    known = [path / name for name in names if (path / name).exists()]
    content = (known or [path / names[-1]])[0].read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _files(path: pathlib.Path) -> list[str]:
    """The files of a version that its manifest is about."""
    return [name for name in manifest.files_below(path) if name != FILE.as_posix()]


def _without(path: pathlib.Path) -> str:
    """What is said of a version without a manifest, if it never had one."""
    if not (path / FILE).parent.is_dir():
        raise ManifestError(f"{path}: {FILE.parent} is gone. {MEND}")
    card = path / CARD_FILE
    noted = read_json(card) if card.exists() else {}
    if not isinstance(noted, dict):
        raise ManifestError(f"{card}: is no model card. {MEND}")
    if "manifest" in noted:
        raise ManifestError(f"{path}: {FILE} is gone. {MEND}")
    return NONE
