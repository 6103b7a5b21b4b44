"""Batches: every row once, in an order that the seed fixes, resumable anywhere."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib

import numpy as np
import pytest

from tafe_tf import schema
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout, time_holdout
from tafe_tf.data.batches.position import Position
from tafe_tf.data.batches.stream import Stream, deal
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write

DATASET = schema.Schema(
    name="x",
    features=(schema.Feature(name="id", kind="integer", size=1000),),
    tasks=(schema.Task(name="click"), schema.Task(name="buy")),
    time="at",
)


def columns(ids: np.ndarray) -> dict[str, np.ndarray]:
    return {"id": ids, "at": ids * 10.0, "click": ids % 2, "buy": ids % 2 * (ids % 3 == 0)}


def data(
    directory: pathlib.Path, shards: int = 3, rows: int = 200, **settings: object
) -> FunnelData:
    for shard in range(shards):
        write(
            directory / f"train-{shard}.csv", columns(np.arange(shard * rows, (shard + 1) * rows))
        )
    settings = {"batch_size": 32, "shuffle_rows": 100, **settings}
    return FunnelData(files=find_files(directory, "train"), schema=DATASET, **settings)  # type: ignore[arg-type]


def ids(batches: list[Batch]) -> list[list[int]]:
    return [batch.inputs["id"].tolist() for batch in batches]


def flat(batches: list[Batch]) -> list[int]:
    return [i for batch in ids(batches) for i in batch]


def test_an_epoch_is_every_row_once_in_another_order(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path)
    first, again, second = (flat(list(d.training_batches(Position(epoch=e)))) for e in (0, 0, 1))
    assert first == again != second
    assert len(set(first)) == len(first) == 600 // 32 * 32  # the partial batch is left out
    other_seed = dataclasses.replace(d, seed=1)
    assert flat(list(other_seed.training_batches(Position()))) != first
    assert first != sorted(first)


def test_rows_keep_their_labels_and_places(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path)
    for batch in d.training_batches(Position()):
        values = batch.inputs["id"]
        np.testing.assert_array_equal(batch.labels[:, 0], values % 2)
        np.testing.assert_array_equal(batch.labels[:, 1], values % 2 * (values % 3 == 0))
        np.testing.assert_array_equal(batch.file * 200 + batch.row - 1, values)


@pytest.mark.parametrize("shuffle_rows", [1, 100, 10_000])
def test_every_position_resumes(tmp_path: pathlib.Path, shuffle_rows: int) -> None:
    d = data(tmp_path, shuffle_rows=shuffle_rows, holdout=Holdout(fraction=0.2))
    whole = list(d.training_batches(Position(epoch=3)))
    for done in range(1, len(whole)):
        position = Position(epoch=3, batch=done, readers=whole[done - 1].position.tolist())
        assert ids(list(d.training_batches(position))) == ids(whole[done:])


def test_holdout_parts_are_disjoint_and_whole(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path, rows=1000, batch_size=1, holdout=Holdout(fraction=0.25))
    train, valid = (
        flat(list(b)) for b in (d.training_batches(Position()), d.evaluation_batches("valid"))
    )
    assert sorted(train + valid) == list(range(3000))
    assert 650 < len(valid) < 850  # 750 +- 4 standard deviations
    assert valid == sorted(valid)
    assert flat(list(d.evaluation_batches("all"))) == list(range(3000))


def test_time_holdout_is_the_latest_rows(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path, shards=1)
    d = dataclasses.replace(d, holdout=time_holdout(d.files, DATASET, 0.1, BadRows()))
    valid = flat(list(d.evaluation_batches("valid")))
    assert valid == list(range(200 - len(valid), 200)) and 19 <= len(valid) <= 21


def test_evaluation_keeps_the_last_partial_batch(tmp_path: pathlib.Path) -> None:
    sizes = [
        len(batch.labels) for batch in data(tmp_path, shards=2, rows=50).evaluation_batches("all")
    ]
    assert sizes == [32, 32, 32, 4]


def test_fewer_rows_than_a_batch_are_one_batch(tmp_path: pathlib.Path) -> None:
    assert [
        len(b.labels) for b in data(tmp_path, shards=1, rows=5).training_batches(Position())
    ] == [5]


def test_order_does_not_depend_on_the_format(tmp_path: pathlib.Path) -> None:
    orders = []
    for extension in ("csv", "csv.gz", "parquet", "tfrecord", "tfrecord.gz"):
        directory = tmp_path / extension
        directory.mkdir()
        write(directory / f"train.{extension}", columns(np.arange(300)))
        d = FunnelData(
            files=find_files(directory, "train"), schema=DATASET, batch_size=32, shuffle_rows=100
        )
        orders.append(ids(list(d.training_batches(Position()))))
    assert all(order == orders[0] for order in orders)


def test_stream_keeps_the_readers_error(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path, shards=1)
    with open(d.paths[0], "a") as file:
        file.write("7,1.0,2,0\n")
    stream = Stream(lambda: d.evaluation_batches("all"), DATASET, "all", lambda columns: columns)
    with pytest.raises(
        BadRowError,
        match=r"train-0.csv: row 201, column 'click': a label must be 0 or 1. Received: '2'",
    ):
        try:
            list(stream.dataset)
        except Exception as error:
            stream.reraise(error)


def test_an_iterator_does_not_wait_for_a_look_of_the_tuning(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path, shards=1)
    stream = Stream(lambda: d.evaluation_batches("all"), DATASET, "all", lambda columns: columns)
    assert stream.dataset.options().autotune.enabled is False


@pytest.mark.parametrize("shards", [3, 1], ids=["by file", "by row"])
def test_readers_see_the_same_batches_in_any_number_of_processes(
    tmp_path: pathlib.Path, shards: int
) -> None:
    d = data(tmp_path, shards=shards, rows=600 // shards, readers=2)
    one = list(d.training_batches(Position(), mine=(0, 1)))
    two = [list(d.training_batches(Position(), mine=(reader,))) for reader in (0, 1)]
    assert {len(batch.labels) for batch in one} == {32} and {
        len(b.labels) for part in two for b in part
    } == {16}
    assert [[*a, *b] for a, b in zip(*map(ids, two), strict=False)] == ids(one)
    assert len(set(flat(one))) == len(flat(one))
    assert [bool(batch.more[0]) for batch in one] == [True] * (len(one) - 1) + [False]
    resumed = Position(batch=4, readers=one[3].position.tolist())
    assert ids(list(d.training_batches(resumed, mine=(0, 1)))) == ids(one[4:])


def test_readers_share_the_rows_of_an_evaluation(tmp_path: pathlib.Path) -> None:
    for shards in (1, 3):
        (tmp_path / str(shards)).mkdir()
        d = data(tmp_path / str(shards), shards=shards, rows=7, readers=2)
        parts = [flat(list(d.evaluation_batches("all", reader))) for reader in (0, 1)]
        assert sorted([*parts[0], *parts[1]]) == list(range(7 * shards))


def test_a_reader_without_a_batch_and_an_uneven_batch_are_refused(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path, shards=2, rows=10, readers=2)
    with pytest.raises(
        DataError, match=r"reader 1 of 2 has 10 rows, fewer than its part of a batch, 16"
    ):
        next(d.training_batches(Position(), mine=(0,)))
    with pytest.raises(ValueError, match="a batch of 32 rows cannot be dealt to 3 readers evenly"):
        next(dataclasses.replace(d, readers=3).training_batches(Position()))


def test_a_batch_is_dealt_to_replicas_and_comes_again_at_the_end(tmp_path: pathlib.Path) -> None:
    batches = list(data(tmp_path, rows=32).training_batches(Position()))
    pieces = list(itertools.islice(deal(iter(batches), 2), 2 * len(batches) + 3))
    assert flat(pieces[: 2 * len(batches)]) == flat(batches)
    assert ids(pieces[-3:-1]) == ids(pieces[-5:-3]) and ids(pieces[-1:]) == ids(pieces[-5:-4])
    assert not pieces[1].position.any()
    with pytest.raises(
        DataError, match="a batch of 32 rows cannot be cut into equal pieces for 3 replicas"
    ):
        next(deal(iter(batches), 3))


@pytest.mark.parametrize("readers", [1, 2, 8])
def test_empty_parts_change_no_batch(tmp_path: pathlib.Path, readers: int) -> None:
    """The readers share the rows of all files, or the files; an empty one is of no weight."""
    d = data(tmp_path, shards=2, batch_size=16, readers=readers)
    full = d.files
    header = (tmp_path / "train-0.csv").read_text().splitlines()[0]
    (tmp_path / "train-x.csv").write_text(header + "\n")
    (tmp_path / "train-y.csv").write_text("")
    with_empty = dataclasses.replace(d, files=find_files(tmp_path, "train"))
    assert len(with_empty.files) == 4
    for part in ("all", "train"):
        rows = [
            row
            for r in range(readers)
            for row in flat(list(with_empty.evaluation_batches(part, r)))
        ]
        assert sorted(rows) == list(range(400))
    mine = range(readers)
    if readers != 2:  # each of two readers has two files, and maybe no row
        assert len(flat(list(with_empty.training_batches(Position(), mine)))) == 400
    no_rows = dataclasses.replace(d, files=with_empty.files[2:], readers=1)
    with pytest.raises(DataError, match=r"train-x.csv( and 1 more|, .*train-y.csv): holds no rows"):
        list(no_rows.training_batches(Position()))
    assert full == with_empty.files[:2]


def test_a_reader_without_rows_is_an_error(tmp_path: pathlib.Path) -> None:
    d = data(tmp_path, shards=1, readers=2)
    (tmp_path / "train-x.csv").write_text("")
    d = dataclasses.replace(d, files=find_files(tmp_path, "train"))
    with pytest.raises(DataError, match=r"train-x.csv: reader [12] of 2 has no rows; take fewer"):
        list(d.training_batches(Position(), mine=(0, 1)))


def test_negatives_are_kept_at_a_rate_and_stand_for_the_others(tmp_path: pathlib.Path) -> None:
    whole = data(tmp_path, rows=2000)
    thinned = dataclasses.replace(whole, keep_negatives=0.25)
    batches = list(thinned.training_batches(Position()))
    places = np.concatenate([batch.inputs["id"] for batch in batches])
    weights = np.concatenate([batch.weight for batch in batches])
    is_click = places % 2 == 1
    assert len(set(places)) == len(places)
    assert is_click.sum() >= 3000 - 32  # all but those of the partial batch
    assert (~is_click).sum() == pytest.approx(750, abs=4 * np.sqrt(3000 * 0.25 * 0.75) + 32)
    np.testing.assert_array_equal(weights, np.where(is_click, 1.0, 4.0))
    later = flat(list(thinned.training_batches(Position(epoch=1))))
    assert len({i for i in later if i % 2 == 0} ^ set(places[~is_click])) <= 64
    rest = thinned.training_batches(Position(batch=5))
    assert ids(list(rest)) == ids(batches[5:])
    assert len(flat(list(thinned.evaluation_batches("train")))) == 6000
