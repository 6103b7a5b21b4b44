"""Input files that are kept whole on a local disk, for training that reads them in every epoch.

A file is named by its URI, its size and the store's mark (generation, ETag), so that one that is
replaced is brought anew. It appears by a rename. Nothing is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import tempfile
import threading
from collections.abc import Callable, Iterator

from tafe_tf.storage.listing import Identity

_folder: pathlib.Path | None = None  # where this process keeps files; None for nowhere
_bringing = threading.Lock()


@contextlib.contextmanager
def kept_in(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Has input files that are opened meanwhile be kept, by all threads of this process.

    Args:
        folder: Where; made if it is not there. With "" nothing is kept.
    """
    global _folder
    before = _folder
    _folder = pathlib.Path(folder) if os.fspath(folder) else None
    try:
        yield
    finally:
        _folder = before


def is_on() -> bool:
    """Whether files are kept."""
    return _folder is not None


def kept(
    uri: str,
    identity: Identity,
    bring: Callable[[pathlib.Path], None],
) -> pathlib.Path:
    """The local copy of an input file, which is brought if it is not there.

    Args:
        uri: The file.
        identity: What the store says of it now.
        bring: Brings it to a path.

    Raises:
        StoreError: If it cannot be read.
        OSError: If the disk does not take it.
    """
    assert _folder is not None, "is_on() says so"
    name = hashlib.sha256(repr((uri, *identity)).encode()).hexdigest()[:32]
    path = _folder / name
    with _bringing:
        if not path.exists():
            _folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", dir=_folder) as work:
                bring(pathlib.Path(work, name))
                os.replace(pathlib.Path(work, name), path)
    return path
