"""Raw files in blocks of whole lines."""

from __future__ import annotations

import pathlib

from tafe_tf.data.public.ali_ccp.raw_files import count_rows, line_blocks


def test_blocks_of_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    for text, rows in (
        (b"", 0),
        (b"a\nbc\n", 2),
        (b"a\n\n\nbc", 2),
        (b"\r\na\r\nb\r\n", 2),
        (b"\n\n", 0),
        (b"long line", 1),
    ):
        path.write_bytes(text)
        for size in (1, 2, 5, 100):
            blocks = list(line_blocks(path, size))
            assert b"".join(blocks) == text
            assert (
                sum(map(count_rows, blocks)) == rows or size < 3
            )  # a line break may be cut in two
