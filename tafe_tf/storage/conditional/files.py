"""Files of this machine, named by file:// URIs."""

from __future__ import annotations

import os
import pathlib
import shutil
import uuid

from tafe_tf.storage.conditional.client import Claim


class FileClient:
    """Makes a file if there is none, by a link; see `Client`. It replaces no file by a mark."""

    def __init__(self, scheme: str, bucket: str) -> None:
        self._root = pathlib.Path("/") / bucket

    @staticmethod
    def check_installed() -> None:
        """Needs no package."""

    def put(
        self,
        key: str,
        content: bytes,
        tag: str | None,
    ) -> str | None:
        """See `Client.put`."""
        assert tag is None, "files are claimed by locks"
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
        beside.write_bytes(content)
        try:
            os.link(beside, path)
        except FileExistsError:
            return None
        finally:
            beside.unlink()
        return _mark(path)

    def get(self, key: str) -> Claim | None:
        """See `Client.get`."""
        path = self._root / key
        try:
            return Claim(path.read_bytes(), _mark(path))
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """See `Client.delete`."""
        (self._root / key).unlink(missing_ok=True)

    def copy(self, source: str, target: str) -> None:
        """See `Client.copy`."""
        path = self._root / target
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._root / source, path)


def _mark(path: pathlib.Path) -> str:
    return str(path.stat().st_mtime_ns)
