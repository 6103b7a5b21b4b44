"""What the writers take, what they refuse, and that the same rows give the same bytes."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from small_files import EXTENSIONS, GOOD, column, read, texts, written

from tafe_tf.data.formats.write import Writer, write


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_what_numpy_calls_a_number_or_a_text(tmp_path: pathlib.Path, extension: str) -> None:
    path = written(
        tmp_path,
        extension,
        click=np.array(GOOD["click"], bool),
        buy=[np.bool_(v) for v in GOOD["buy"]],
        price=[1, 2.5, np.float32("nan"), np.int32(4)],
        tags=[np.array([b"x", b"y"], object), ("z",), ["x"], [np.str_("y")]],
    )
    assert np.concatenate([b.labels for b in read(path)]).tolist() == [
        [1, 1],
        [0, 0],
        [1, 0],
        [0, 0],
    ]
    prices = column(path, "price")
    assert np.isnan(prices[2]) and [*prices[:2], prices[3]] == [1.0, 2.5, 4.0]
    assert texts(column(path, "tags")) == [["x", "y"], ["z", ""], ["x", ""], ["y", ""]]


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            {"a": [1], "b": [2]},
            {"b": [2], "a": [1]},
            r"every piece must have the columns \['a', 'b'\]. Rec.*\['b', 'a'\]",
        ),
        (
            {"a": [1], "b": [2]},
            {"a": [1]},
            r"every piece must have the columns \['a', 'b'\]. Received: \['a'\]",
        ),
        (
            {"a": [1], "b": [2, 3]},
            None,
            r"columns must be of one length. Received: \{'a': 1, 'b': 2\}",
        ),
        ({"a": [[1, None]]}, None, "column 'a': a list must not hold None"),
        (None, None, "nothing was appended"),
    ],
)
def test_writers_refuse(
    tmp_path: pathlib.Path,
    extension: str,
    first: dict[str, Any] | None,
    second: dict[str, Any] | None,
    message: str,
) -> None:
    with (
        pytest.raises(ValueError, match=message),
        Writer(tmp_path / f"train.{extension}") as writer,
    ):
        for piece in filter(None, (first, second)):
            writer.append(piece)
    assert list(tmp_path.iterdir()) == []


WRONG: list[tuple[str, list[dict[str, Any]], str]] = [
    (
        "csv",
        [{"a": [["x|y"]]}],
        r"a value of a list must not hold '\|' in CSV. Received: \['x\|y'\]",
    ),
    (
        "tfrecord",
        [{"a": [1]}, {"a": [1.5]}],
        "column 'a': the pieces before held integers, this one holds floats",
    ),
]


@pytest.mark.parametrize(("extension", "pieces", "message"), WRONG)
def test_writers_refuse_what_a_format_cannot_hold(
    tmp_path: pathlib.Path, extension: str, pieces: list[dict[str, Any]], message: str
) -> None:
    with (
        pytest.raises(ValueError, match=message),
        Writer(tmp_path / f"train.{extension}") as writer,
    ):
        for piece in pieces:
            writer.append(piece)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_float_column_stays_one_over_pieces(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"train.{extension}"
    with Writer(path) as writer:
        writer.append(GOOD)
        writer.append({**GOOD, "price": [5, 6, 7, 8]})
    assert column(path, "price")[4:] == [5.0, 6.0, 7.0, 8.0]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_writers_are_deterministic(
    tmp_path: pathlib.Path, extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(tmp_path, extension).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert written(tmp_path, extension).read_bytes() == first


def test_a_tfrecord_names_its_columns_in_order(tmp_path: pathlib.Path) -> None:
    """Protobuf's maps have an order of their own in each process."""
    names = [f"column_{i:02}" for i in range(20)]
    path = tmp_path / "train.tfrecord"
    write(path, {name: [1] for name in reversed(names)})
    record = path.read_bytes()
    places = [record.index(name.encode()) for name in names]
    assert places == sorted(places)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_nanoseconds_keep_their_bits(tmp_path: pathlib.Path, extension: str) -> None:
    """A time in nanoseconds is more than the 2^53 that a float64 counts by ones."""
    times = [1_700_000_000_000_000_001, 1_700_000_000_000_000_002, -(2**63) + 1, 2**63 - 1]
    assert column(written(tmp_path, extension, item=times), "item") == times
    stamps = np.array(times[:2] * 2, "datetime64[ns]")
    assert column(written(tmp_path, extension, item=stamps), "item") == times[:2] * 2
