"""A shared library with a SHA-256 of its bytes at its end, so that a damaged one is never loaded.

To load a library that was cut off ends the process by a signal. The loader of the system does not
read what stands behind a library's last section.
"""

from __future__ import annotations

import hashlib
import pathlib
import time

from tafe_tf.data.atomic import replacing

_SEAL_BYTES = hashlib.sha256().digest_size
_LONGEST_WRITE = 600.0  # seconds, after which whoever wrote a hidden file has been killed


def write(library: pathlib.Path, place: pathlib.Path) -> None:
    """Copies a library to where it is loaded from, with its seal, and removes what was left over.

    A process that has loaded the library which was there keeps it.

    Args:
        library: The library.
        place: The file to make or to replace; its folder must exist.

    Raises:
        OSError: If it cannot be written.
    """
    for hidden in place.parent.glob(f".[0-9]*.{place.name}"):
        if time.time() - hidden.stat().st_mtime > _LONGEST_WRITE:
            hidden.unlink(missing_ok=True)
    content = library.read_bytes()
    seal = hashlib.sha256(content).digest()
    with replacing(place) as hidden:
        hidden.write_bytes(content + seal)


def is_whole(place: pathlib.Path) -> bool:
    """Whether a file is there, can be read, and holds what `write` wrote."""
    try:
        content = place.read_bytes()
    except OSError:
        return False
    seal = hashlib.sha256(content[:-_SEAL_BYTES]).digest()
    return content[-_SEAL_BYTES:] == seal
