"""Rolls back: withdraws the newest versions of a model, so that an older one is served again."""

from __future__ import annotations

import itertools
import pathlib

from tafe_tf.data import atomic
from tafe_tf.data.lock import locked
from tafe_tf.export import manifest
from tafe_tf.export.errors import ExportError
from tafe_tf.export.gate import check
from tafe_tf.export.versions import BUSY, GRAPH, addresses
from tafe_tf.storage.addresses import is_remote, join, name_of, parent_of
from tafe_tf.storage.listing import exists, missing
from tafe_tf.storage.sending import copy_tree, remove_tree
from tafe_tf.storage.texts import read_text


def withdraw(
    export_dir: str | pathlib.Path,
    to_version: int = 0,
) -> list[pathlib.Path] | list[str]:
    """Withdraws every version above `to_version`, which must itself pass the gate.

    A version is withdrawn by a rename to `withdrawn-<version>`, or to `withdrawn-<version>.2` and
    so on if that was withdrawn before. TensorFlow Serving polls the directory and reads only names
    that are numbers: it loads the older version, and unloads the withdrawn one once the older one
    is ready. A store has no rename: there the version is copied, and then removed, its graph first,
    without which it does not count. Killed at any moment, the same call goes on.

    Args:
        export_dir: The directory in which versions are published, or its URI.
        to_version: Number of the version to go back to. The default, 0, means the one before the
            newest.

    Returns:
        The directories of the withdrawn versions under their new names, in ascending order; URIs
        for those in a store.

    Raises:
        ExportError: If there is no such version, or it does not pass the gate. Nothing is withdrawn
            then.
        LockError: If another process publishes or withdraws a version there.
        StoreError: If the store does not do it.

    Example:
        withdraw("models/shop")  # [PosixPath('models/shop/withdrawn-3')]
    """
    if is_remote(export_dir):
        return _withdraw_in_store(str(export_dir).rstrip("/"), to_version)
    export_dir = pathlib.Path(export_dir)
    if not export_dir.is_dir():
        raise ExportError(f"{export_dir}: is no directory of versions")
    with locked(export_dir, BUSY):
        withdrawn = []
        for address in _above_target(str(export_dir), to_version):
            path = pathlib.Path(address)
            new_path = pathlib.Path(_free_name(address))
            atomic.publish(path, new_path)
            withdrawn.append(new_path)
    return withdrawn[::-1]


def _withdraw_in_store(uri: str, to_version: int) -> list[str]:
    with locked(uri, BUSY):
        withdrawn = []
        for address in _above_target(uri, to_version):
            new_address = _free_name(address)
            copy_tree(address, new_address, last=[GRAPH])
            remove_tree(address, first=[GRAPH])
            withdrawn.append(new_address)
    return withdrawn[::-1]


def _above_target(export_dir: str, to_version: int) -> list[str]:
    """The versions to withdraw, the newest first, so that no gap is served.

    Raises:
        ExportError: If there is none to go back to, or it does not pass the gate.
    """
    found = addresses(export_dir)
    target = _target(export_dir, found, to_version)
    check(target)
    above = [address for address in found if int(name_of(address)) > int(name_of(target))]
    return above[::-1]


def _target(
    export_dir: str,
    found: list[str],
    to_version: int,
) -> str:
    """The version to go back to."""
    if len(found) < 2:
        raise ExportError(
            f"{export_dir}: holds {len(found)} version(s), so there is none to go back to"
        )
    target = join(export_dir, str(to_version)) if to_version else found[-2]
    if target not in found:
        names = ", ".join(map(name_of, found))
        raise ExportError(f"{target}: is no version; there are {names}")
    return target


def _free_name(address: str) -> str:
    """A name for a withdrawn version; one of the same number may have been withdrawn before."""
    name = f"withdrawn-{name_of(address)}"
    free = join(parent_of(address), name)
    for number in itertools.count(2):
        is_free = _is_free(free, address) if is_remote(address) else not exists(free)
        if is_free:
            break
        free = join(parent_of(address), f"{name}.{number}")
    return free


def _is_free(folder: str, address: str) -> bool:
    """Whether a folder of a store is no withdrawn version, or a rollback's that was killed."""
    if not exists(join(folder, GRAPH)):
        return True
    manifests = [join(place, manifest.FILE.as_posix()) for place in (folder, address)]
    are_there = not missing(manifests)
    return are_there and read_text(manifests[0]) == read_text(manifests[1])
