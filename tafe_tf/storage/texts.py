"""Small text files, of this machine or of a store."""

from __future__ import annotations

import errno
import os
import pathlib

from tafe_tf.storage.addresses import is_remote


def read_text(path: str | os.PathLike[str]) -> str:
    """Reads all of a small file or object as UTF-8.

    Raises:
        StoreError: If the object cannot be read.
        FileNotFoundError: If there is no such file or object.
        OSError: If the local file cannot be read.
        UnicodeDecodeError: If it is not UTF-8.
    """
    if not is_remote(path):
        return pathlib.Path(path).read_text(encoding="utf-8")
    # Only here is pyarrow needed, which a machine with JAX alone lacks.
    from tafe_tf.storage.listing import is_file
    from tafe_tf.storage.reading import ObjectFile

    if not is_file(path):
        raise FileNotFoundError(errno.ENOENT, "there is no such object", str(path))
    with ObjectFile(str(path)) as file:
        text = file.read().decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")  # as a local file is read
