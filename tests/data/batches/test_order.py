"""The order of the rows, against a model of it in plain Python that knows no Arrow."""

from __future__ import annotations

import functools
import pathlib
from typing import Any, NamedTuple

import numpy as np
import pytest

from tafe_tf.data.batches import dataset
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.position import Position
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="order",
    features=(Feature(name="id", kind="integer", size=10_000),),
    tasks=(Task(name="click"), Task(name="buy")),
    time="at",
)
SEED, EPOCH = 7, 2
Place = tuple[int, int]  # the index of a file, and a row of it from 1


class Given(NamedTuple):
    """A batch: its rows, and for each reader where the window of its first row begins."""

    places: list[Place]
    position: list[list[int]]


def windows(
    sizes: list[int], reader: int, readers: int, block_rows: int, shuffle_rows: int
) -> list[tuple[int, list[Place]]]:
    """What a reader reads: for each window the raw row at which it begins, and all of its rows."""
    order = np.random.default_rng([SEED, EPOCH]).permutation(len(sizes)).tolist()
    files = order[reader::readers] if len(sizes) >= readers else order
    found: list[tuple[int, list[Place]]] = []
    start = 0
    window: list[Place] = []
    for file in files:
        for row in range(1, sizes[file] + 1):
            window.append((file, row))
            block_ends = row % block_rows == 0 or row == sizes[file]
            if block_ends and len(window) >= shuffle_rows:
                found.append((start, window))
                start += len(window)
                window = []
    if window:
        found.append((start, window))
    return found


def model(
    sizes: list[int],
    *,
    readers: int,
    block_rows: int,
    shuffle_rows: int,
    batch_size: int,
    held_out: Any,
) -> list[Given]:
    """The batches of an epoch."""
    streams = []
    for reader in range(readers):
        stream: list[tuple[Place, list[int]]] = []
        for start, places in windows(sizes, reader, readers, block_rows, shuffle_rows):
            kept = [place for place in places if not held_out(place)]
            if len(sizes) < readers:
                kept = [place for place in kept if place[1] % readers == reader]
            position = [start, len(stream)]
            shuffle = np.random.default_rng([SEED, EPOCH, start, reader])
            stream += [(kept[i], position) for i in shuffle.permutation(len(kept))]
        streams.append(stream)
    size = batch_size // readers
    batches = []
    for number in range(min(len(stream) for stream in streams) // size):
        parts = [stream[number * size : (number + 1) * size] for stream in streams]
        places = [place for part in parts for place, _ in part]
        batches.append(Given(places, [part[0][1] for part in parts]))
    return batches


@pytest.mark.parametrize("block_rows", [16, 1000])
@pytest.mark.parametrize("shuffle_rows", [1, 50, 10_000])
@pytest.mark.parametrize("readers", [1, 2, 4])
@pytest.mark.parametrize("sizes", [[70, 33, 120, 5, 90], [150, 201, 3], [300]], ids=str)
def test_batches_are_the_models(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    readers: int,
    shuffle_rows: int,
    block_rows: int,
) -> None:
    for file, size in enumerate(sizes):
        rows = list(range(1, size + 1))
        ids = [file * 1000 + row for row in rows]
        columns = {"id": ids, "at": rows, "click": [0] * size, "buy": [0] * size}
        write(tmp_path / f"train-{file}.csv", columns)
    monkeypatch.setattr(
        dataset, "read_blocks", functools.partial(read_blocks, block_rows=block_rows)
    )
    data = FunnelData(
        files=find_files(tmp_path, "train"),
        schema=SCHEMA,
        batch_size=8,
        seed=SEED,
        shuffle_rows=shuffle_rows,
        readers=readers,
        holdout=Holdout(time=40.0),  # the rows of each file from the 40th on
    )
    wanted = model(
        sizes,
        readers=readers,
        block_rows=block_rows,
        shuffle_rows=shuffle_rows,
        batch_size=8,
        held_out=lambda place: place[1] >= 40,
    )
    given = list(data.training_batches(Position(epoch=EPOCH), range(readers)))
    assert len(given) == len(wanted) > 0
    for ours, theirs in zip(given, wanted, strict=True):
        places = list(zip(ours.file.tolist(), ours.row.tolist(), strict=True))
        assert places == theirs.places
        assert ours.inputs["id"].tolist() == [file * 1000 + row for file, row in places]
        assert ours.position.tolist() == theirs.position
    assert [bool(batch.more[0]) for batch in given] == [True] * (len(given) - 1) + [False]
    done = len(given) // 2
    position = Position(epoch=EPOCH, batch=done + 1, readers=given[done].position.tolist())
    resumed = list(data.training_batches(position, range(readers)))
    assert [batch.row.tolist() for batch in resumed] == [
        batch.row.tolist() for batch in given[done + 1 :]
    ]
