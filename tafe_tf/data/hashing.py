"""Hashes of row numbers and texts: the same in every process, on every machine."""

from __future__ import annotations

import hashlib

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64's increment, 2^64 over the golden ratio


def finalize(x: np.ndarray) -> np.ndarray:
    """Mixes the bits of numbers by SplitMix64's finalizer (Steele, Lea, Flood 2014).

    Args:
        x: uint64, of any shape.

    Returns:
        The top 53 bits of the result, of the same shape: as many as a float64 holds exactly.
    """
    x = x ^ (x >> np.uint64(30))
    x = x * np.uint64(0xBF58476D1CE4E5B9)
    x = x ^ (x >> np.uint64(27))
    x = x * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return x >> np.uint64(11)


def of_places(
    file: np.ndarray,
    row: np.ndarray,
    stream: int = 0,
) -> np.ndarray:
    """Hashes the places of rows in files, by SplitMix64.

    Args:
        file: The index of each row's file, [n].
        row: Each row's number inside its file, [n].
        stream: Which of many hashes that have nothing to do with each other; 0 by default.

    Returns:
        53 bits of each, uint64 [n].
    """
    place = (file.astype(np.uint64) << np.uint64(40)) + row.astype(np.uint64)
    start = (stream + 1) * _GOLDEN % 2**64
    return finalize(place + np.uint64(start))


def of_texts(texts: np.ndarray) -> np.ndarray:
    """Hashes texts, as str or as UTF-8 bytes, by BLAKE2b.

    Args:
        texts: [n].

    Returns:
        53 bits of each, uint64 [n].

    Example:
        >>> one, other = of_texts(np.array(["ann", b"ann"], object))
        >>> bool(one == other)
        True
    """
    known: dict[bytes | str, int] = {}
    found = np.empty(len(texts), np.uint64)
    for i, text in enumerate(texts.tolist()):
        if text not in known:
            content = text if isinstance(text, bytes) else str(text).encode()
            digest = hashlib.blake2b(content, digest_size=8).digest()
            known[text] = int.from_bytes(digest, "little") >> 11
        found[i] = known[text]
    return found
