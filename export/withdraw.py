"""Rolls back: withdraws the newest versions of a model, so that an older one is served again."""

from __future__ import annotations

import itertools
import pathlib

from tafe_tf.data import atomic
from tafe_tf.data.lock import locked
from tafe_tf.export.errors import ExportError
from tafe_tf.export.gate import check
from tafe_tf.export.versions import BUSY, versions
from tafe_tf.storage.addresses import must_be_local


def withdraw(
    export_dir: str | pathlib.Path,
    to_version: int = 0,
) -> list[pathlib.Path]:
    """Withdraws every version above `to_version`, which must itself pass the gate.

    A version is withdrawn by a rename to `withdrawn-<version>`, or to `withdrawn-<version>.2` and
    so on if that was withdrawn before. TensorFlow Serving polls the directory and reads only names
    that are numbers: it loads the older version, and unloads the withdrawn one once the older one
    is ready.

    Args:
        export_dir: The directory in which versions are published.
        to_version: Number of the version to go back to. The default, 0, means the one before the
            newest.

    Returns:
        The directories of the withdrawn versions under their new names, in ascending order.

    Raises:
        ExportError: If there is no such version, or it does not pass the gate. Nothing is withdrawn
            then.
        LockError: If another process publishes or withdraws a version there.

    Example:
        withdraw("models/shop")  # [PosixPath('models/shop/withdrawn-3')]
    """
    must_be_local(export_dir, "export_dir")
    export_dir = pathlib.Path(export_dir)
    if not export_dir.is_dir():
        raise ExportError(f"{export_dir}: is no directory of versions")
    with locked(export_dir, BUSY):
        found = versions(export_dir)
        target = _target(export_dir, found, to_version)
        check(target)
        withdrawn = []
        for path in reversed(found):  # the newest first, so that no gap is served
            if int(path.name) > int(target.name):
                new_path = _free_name(path)
                atomic.publish(path, new_path)
                withdrawn.append(new_path)
    return withdrawn[::-1]


def _target(
    export_dir: pathlib.Path,
    found: list[pathlib.Path],
    to_version: int,
) -> pathlib.Path:
    """The version to go back to."""
    if len(found) < 2:
        raise ExportError(
            f"{export_dir}: holds {len(found)} version(s), so there is none to go back to"
        )
    target = export_dir / str(to_version) if to_version else found[-2]
    if target not in found:
        names = ", ".join(path.name for path in found)
        raise ExportError(f"{target}: is no version; there are {names}")
    return target


def _free_name(path: pathlib.Path) -> pathlib.Path:
    """A name for a withdrawn version; one of the same number may have been withdrawn before."""
    name = f"withdrawn-{path.name}"
    free = path.with_name(name)
    for number in itertools.count(2):
        if not free.exists():
            break
        free = path.with_name(f"{name}.{number}")
    return free
