"""Ids that training takes for unseen ones: which, how many, and that every way draws the same."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.data.batches.stream import Stream, deal
from tafe_tf.data.batches.unseen import UnseenDraw, UnseenIds, untrained_fields
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write
from tafe_tf.features.graph import Features
from tafe_tf.schema import MISSING, UNSEEN, Feature, Schema, Task

SCHEMA = Schema(
    name="shop",
    features=(
        Feature(name="id", kind="integer", size=2000),
        Feature(name="price", kind="log_round"),
        Feature(name="tags", kind="integer", size=9, max_length=3),
    ),
    tasks=(Task(name="click"), Task(name="buy")),
)
DRAWN = [0, 2, 3, 4]  # slots; the second field's is 1
SHARE = 0.1


def data(directory: pathlib.Path, rows: int = 300, **settings: Any) -> FunnelData:
    rng = np.random.default_rng(0)
    for shard in range(2):
        ids = np.arange(shard * rows, (shard + 1) * rows)
        tags = [rng.integers(0, 9, length).tolist() for length in rng.integers(0, 4, rows)]
        columns = {
            "id": ids.tolist(),
            "price": rng.random(rows).tolist(),
            "tags": ["|".join(map(str, row)) for row in tags],
            "click": (ids % 2).tolist(),
            "buy": [0] * rows,
        }
        write(directory / f"train-{shard}.csv", columns)
    settings = {"batch_size": 60, "shuffle_rows": 100, **settings}
    unseen = UnseenIds(share=SHARE, fields=["id", "tags"])
    return FunnelData(
        files=find_files(directory, "train"),
        schema=SCHEMA,
        unseen=unseen,
        **settings,
    )


def drawn(data: FunnelData, epoch: int = 0) -> dict[int, list[bool]]:
    """Each row's mask by its id."""
    mine = range(data.readers)
    found: dict[int, list[bool]] = {}
    for batch in data.training_batches(Position(epoch=epoch), mine):
        found.update(zip(batch.inputs["id"].tolist(), batch.unseen.tolist(), strict=True))
    return found


def test_so_many_of_the_ids_of_the_fields_are_drawn_and_anew_in_each_epoch() -> None:
    ids = UnseenIds(share=SHARE, fields=["id", "tags"])
    rows = np.arange(40_000)
    masks = {}
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        draw = UnseenDraw(ids, SCHEMA, seed=seed, epoch=epoch)
        masks[seed, epoch] = draw.mask(np.zeros(len(rows), np.int32), rows)
        assert not masks[seed, epoch][:, 1].any()
    # Each of the masks is as good as independent of the others and of those of other slots.
    parts = [mask[:, slot] for mask in masks.values() for slot in DRAWN]
    error = 5 * np.sqrt(SHARE / len(rows))
    for i, part in enumerate(parts):
        assert part.mean() == pytest.approx(SHARE, abs=error)
        for other in parts[:i]:
            assert (part & other).mean() == pytest.approx(SHARE**2, abs=error)


def test_every_way_through_an_epoch_draws_the_same(tmp_path: pathlib.Path) -> None:
    one = data(tmp_path)
    expected = drawn(one)
    assert len(expected) == 600 and expected != drawn(one, epoch=1)
    share = np.mean(list(expected.values()), axis=0)
    assert share[DRAWN].min() > 0 and share[1] == 0
    assert drawn(dataclasses.replace(one, readers=2)) == expected
    other_windows = dataclasses.replace(one, batch_size=20, shuffle_rows=1)
    assert drawn(other_windows) == expected
    resumed = one.training_batches(Position(batch=4))
    pieces = list(itertools.islice(deal(resumed, 2), 4))
    for piece in pieces:
        assert piece.unseen.shape == (30, 5)
        by_id = dict(zip(piece.inputs["id"].tolist(), piece.unseen.tolist(), strict=True))
        assert by_id == {i: expected[i] for i in by_id}
    for batch in one.evaluation_batches("train"):
        assert batch.unseen == ()
    nothing = dataclasses.replace(one, unseen=UnseenIds(share=0.0, fields=["id"]))
    assert next(nothing.training_batches(Position())).unseen == ()


def test_drawn_ids_are_those_of_unseen_values_and_missing_ones_stay(
    tmp_path: pathlib.Path,
) -> None:
    rows = data(tmp_path)
    features = Features(SCHEMA, tmp_path)
    batches = list(rows.training_batches(Position()))
    stream = Stream(lambda: iter(batches), SCHEMA, "train", features, draws_unseen=True)
    changed = 0
    for batch, given in zip(batches, stream.dataset, strict=True):
        columns = {name: tf.constant(values) for name, values in batch.inputs.items()}
        plain = features(columns)
        ids = plain["ids"].numpy()
        expected = np.where(batch.unseen & (ids != MISSING), UNSEEN, ids)
        np.testing.assert_array_equal(given.inputs["ids"].numpy(), expected)
        np.testing.assert_array_equal(given.inputs["weights"], plain["weights"])
        assert given.unseen == ()
        changed += (expected != ids).sum()
        assert (ids == UNSEEN).sum() == 0 and (ids == MISSING).sum() > 0
    assert changed > 50


def test_which_fields_nothing_else_trains() -> None:
    def of(name: str, kind: str, **keys: Any) -> Feature:
        return Feature(name=name, kind=kind, **keys)

    features = (
        of("user", "vocabulary"),
        of("item", "vocabulary", min_count=2),
        of("rare", "vocabulary", min_count=5),
        of("hour", "integer", size=24),
        of("place", "integer", size=9, serve_as=0),
        of("shop", "hash", buckets=7),
        of("price", "log_round"),
    )
    schema = Schema(name="shop", features=features, tasks=(Task(name="click"),))
    shares = {"user": 0.0, "item": 0.0, "rare": 0.2, "hour": 0.0}
    assert untrained_fields(schema, shares) == ["user", "item", "hour"]
    assert untrained_fields(schema, {}) == ["user", "item", "rare", "hour"]
