"""The folder of a comparison or a search: on a disk, or in a store and worked on in a copy."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

from tafe_tf.data import lock
from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.mirror import Mirror

LAST_OF_A_RUN = "predictions.npz"
# A run counts once its predictions are there, and a trial of a search once the journal has it.
_SENT_LAST = (f"*/{LAST_OF_A_RUN}", "*.journal")


class RunsFolder:
    """A folder with runs of several models.

    In a store, what a run has made is sent when the run has ended. A run that was killed is trained
    anew, where one on a disk goes on.

    Args:
        address: The path, or the URI in a store.

    Attributes:
        address: The path or URI.
        path: Where the files are on this machine.

    Raises:
        StoreError: If there is no such store.
    """

    def __init__(self, address: str | os.PathLike[str]) -> None:
        self.address = os.fspath(address)
        self._mirror: Mirror | None = None
        if is_remote(address):
            self._mirror = Mirror(self.address, last=_SENT_LAST)
            self.path = self._mirror.directory
        else:
            self.path = pathlib.Path(address)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing in the folder, and sends what was written.

        Raises:
            LockError: If another process works in it.
            StoreError: If it is in a store that cannot be read or does not take a file.
        """
        with lock.locked(self.address, "wait until it has ended, or give another --run_dir"):
            self.fetch()
            yield
            self.send()

    def fetch(self) -> None:
        """Brings the files of a folder in a store; runs that were sent in part are left out."""
        if self._mirror is None:
            return
        self._mirror.fetch()
        for flags in list(self.path.glob("**/flags.txt")):
            run = flags.parent
            if not (run / LAST_OF_A_RUN).exists():
                shutil.rmtree(run)

    def send(self) -> None:
        """Sends what is new to a store; a folder on a disk has it already."""
        if self._mirror is not None:
            self._mirror.send()
