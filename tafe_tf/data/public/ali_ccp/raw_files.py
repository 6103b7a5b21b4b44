"""The raw Ali-CCP files as blocks of whole lines."""

from __future__ import annotations

import gzip
import pathlib
import zlib
from collections.abc import Iterator

from tafe_tf.data.errors import DataError

BLOCK_BYTES = 1 << 23


def find_file(raw_dir: str | pathlib.Path, name: str) -> pathlib.Path:
    """The file `<name>.csv`, or `<name>.csv.gz`.

    Raises:
        DataError: If neither is there.
    """
    plain = pathlib.Path(raw_dir) / f"{name}.csv"
    packed = pathlib.Path(raw_dir) / f"{name}.csv.gz"
    for path in (plain, packed):
        if path.is_file():
            return path
    raise DataError(f"{plain}: no such file, nor with .gz behind")


def line_blocks(
    path: str | pathlib.Path,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[bytes]:
    """The file in blocks of whole lines; the same file gives the same blocks.

    Args:
        path: The file, plain or `.gz`.
        block_bytes: The size of a block, give or take a line. Default: 8 MiB.

    Raises:
        DataError: If the file cannot be read.
    """
    is_gz = str(path).endswith(".gz")
    rest = b""
    try:
        with gzip.open(path) if is_gz else open(path, "rb") as file:
            while piece := file.read(block_bytes):
                rest += piece
                end = rest.rfind(b"\n") + 1
                if end:
                    yield rest[:end]
                    rest = rest[end:]
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if rest:
        yield rest


def count_rows(block: bytes) -> int:
    """Lines of a block that are not empty."""
    if b"\r" in block or b"\n\n" in block or block.startswith(b"\n"):
        return sum(1 for line in block.splitlines() if line)
    return block.count(b"\n") + (not block.endswith(b"\n"))
