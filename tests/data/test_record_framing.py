"""Records without TensorFlow: TensorFlow's own files are the same bytes."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.data.errors import DataError
from tafe_tf.data.record_framing import crc32c, frame, read_records

# RFC 3720, B.4: 32 bytes of 0, of 255, upwards and downwards.
KNOWN = {
    b"\x00" * 32: 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
}


@pytest.mark.parametrize("content", KNOWN)
def test_the_checksums_of_the_standard(content: bytes) -> None:
    assert crc32c(content) == KNOWN[content]


def test_tensorflow_writes_the_same_bytes_and_both_read_them(tmp_path: pathlib.Path) -> None:
    chance = np.random.default_rng(7)
    sizes = [0, 1, 255, 256, 257, 512, 5000, 70_001]
    records = [chance.bytes(size) for size in sizes]
    ours = tmp_path / "ours"
    ours.write_bytes(b"".join(map(frame, records)))
    theirs = tmp_path / "theirs"
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for record in records:
            writer.write(record)
    assert ours.read_bytes() == theirs.read_bytes()
    assert list(read_records(theirs)) == records
    assert list(tf.data.TFRecordDataset(str(ours)).as_numpy_iterator()) == records


def test_a_cut_tail_is_said_and_a_changed_byte_is_an_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    whole = frame(b"one") + frame(b"two" * 100)
    for end in (len(whole) - 1, len(frame(b"one")) + 5, len(frame(b"one")) + 12):
        path.write_bytes(whole[:end])
        said: list[str] = []
        assert list(read_records(path, said.append)) == [b"one"]
        assert said == [f"{path}: ends inside record 2, which is left out"]
    for place in (0, 9, 12, len(whole) - 50, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"record [12]: is damaged"):
            list(read_records(path))
