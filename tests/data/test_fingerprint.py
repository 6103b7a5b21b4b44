"""Files are told apart by what they hold."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest

from tafe_tf.data.fingerprint import fingerprint

SIZES = [0, 1, 1000, 1 << 16, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_told_by_its_bytes(tmp_path: pathlib.Path, size: int) -> None:
    held = bytes(np.random.default_rng(size).integers(0, 256, size, np.uint8))
    path = tmp_path / "a.csv"
    path.write_bytes(held)
    first = fingerprint(path)
    os.utime(path, (1, 1))
    assert fingerprint(path) == first  # times do not count
    assert first.name == "a.csv" and first.size == size
    others = [held + b"x", bytes(reversed(held)) or b"x"]
    if size:
        others += [held[:-1], bytes([held[0] ^ 1]) + held[1:], held[:-1] + bytes([held[-1] ^ 1])]
    if 1 < size <= 1 << 20:
        middle = size // 2  # every byte counts in a file that is hashed whole
        others.append(held[:middle] + bytes([held[middle] ^ 1]) + held[middle + 1 :])
    for other in others:
        if other != held:
            path.write_bytes(other)
            assert fingerprint(path).sample != first.sample
