"""Copies of a model's versions on this machine's disk, for servers that read no object store."""

from __future__ import annotations

import itertools
import pathlib
import shutil
from collections.abc import Callable

from tafe_tf.data import atomic
from tafe_tf.data.errors import DataError
from tafe_tf.data.lock import locked
from tafe_tf.export import manifest
from tafe_tf.export.versions import newest_first, versions
from tafe_tf.storage.addresses import join, name_of
from tafe_tf.storage.staging import fetch_tree
from tafe_tf.storage.texts import read_text

_COMING = ".coming-"  # begins the name of a version that is not whole yet
_GOING = ".going-"  # begins the name of one that is being removed
_ONE_AT_A_TIME = "only one process may copy into it"


def update(
    uri: str,
    directory: str | pathlib.Path,
    newest: int = 2,
    say: Callable[[str], None] = print,
) -> list[int]:
    """Makes a local directory hold the newest versions of a store.

    A version appears by a rename, once all of its files are here and hold what its manifest says.
    Then those go that are not among the newest of the store: old ones, and those that were
    withdrawn. They stay while the store has no whole version, or none of the newest could be
    brought. A version whose number stands for other files in the store than here is brought anew.

    Args:
        uri: Where versions are published.
        directory: Where the copies go; made if it is not there. Only one process may copy into it.
        newest: How many versions to keep. Default: 2.
        say: Takes a line for each version that came, went or could not be brought. Default: it is
            printed.

    Returns:
        The numbers of the versions that are here now, in ascending order.

    Raises:
        StoreError: If the store cannot be listed.
        LockError: If another process copies into the directory.
        OSError: If the disk does not take a file.
    """
    directory = pathlib.Path(directory)
    sources = itertools.islice(newest_first(uri), newest)
    wanted = {int(name_of(source)): source for source in sources}
    with locked(directory, _ONE_AT_A_TIME):
        _remove_leftovers(directory)
        for source in wanted.values():
            try:
                _bring(source, directory, say)
            except DataError as error:  # others may be sound
                say(f"cannot be brought: {error}")
        here = {int(path.name): path for path in versions(directory)}
        if not here.keys() & wanted.keys():
            return sorted(here)
        for number in sorted(here.keys() - wanted.keys()):
            _remove(here[number])
            say(f"{here[number]}: removed")
    return sorted(here.keys() & wanted.keys())


def _bring(
    source: str,
    directory: pathlib.Path,
    say: Callable[[str], None],
) -> None:
    """Brings a version, unless it is here.

    Raises:
        DataError: If it cannot be read, or its files are not what was published.
    """
    target = directory / name_of(source)
    if target.is_dir():
        if _is_same(source, target):
            return
        _remove(target)
        say(f"{target}: removed, since {source} holds other files")
    coming = directory / f"{_COMING}{target.name}"
    try:
        fetch_tree(source, coming)
        found = manifest.check(coming)
        atomic.publish(coming, target)
    finally:
        shutil.rmtree(coming, ignore_errors=True)
    say(f"{target}: brought from {source}, {found}")


def _is_same(source: str, target: pathlib.Path) -> bool:
    """Whether the manifest in the store is the one that is here; of old versions there is none."""
    local = target / manifest.FILE
    if not local.exists():
        return True
    return read_text(join(source, *manifest.FILE.parts)) == local.read_text(encoding="utf-8")


def _remove(path: pathlib.Path) -> None:
    """Removes a version, of which a server sees all or nothing."""
    going = path.with_name(f"{_GOING}{path.name}")
    atomic.publish(path, going)
    shutil.rmtree(going, ignore_errors=True)


def _remove_leftovers(directory: pathlib.Path) -> None:
    """Removes what killed processes have left."""
    for beginning in (_COMING, _GOING):
        for path in directory.glob(f"{beginning}*"):
            shutil.rmtree(path, ignore_errors=True)
