"""New users at a later time: groups and the latest rows held out together, by a twin in NumPy."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.position import Position
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.schema import Feature, Schema, Task
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.job_rows import check_held_out, split

SCHEMA = Schema(
    name="shop",
    features=(Feature(name="id", kind="integer", size=6000),),
    tasks=(Task(name="click"), Task(name="buy")),
    group="user",
    time="at",
)
ROWS, FRACTION = 3000, 0.3


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two files of 3,000 rows of 200 users, in no order of time; "path" is the file."""
    directory = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(0)
    parts = []
    for number in range(2):
        rows = pd.DataFrame(
            {
                "id": np.arange(ROWS) + number * ROWS,
                "user": [f"user {i}" for i in rng.integers(0, 200, ROWS)],
                "at": rng.integers(0, 1000, ROWS),  # many rows of one moment
                "click": 0,
                "buy": 0,
            }
        )
        path = directory / f"train-{number}.csv"
        rows.to_csv(path, index=False)
        parts.append(rows.assign(path=str(path)))
    return pd.concat(parts, ignore_index=True)


def held_out(log: pd.DataFrame, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """The twin: which rows are of groups that are held out, and which are of the latest time."""

    def share(user: str) -> float:
        digest = hashlib.blake2b(user.encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "little") >> 11) / 2**53

    is_new = log["user"].map(share).to_numpy() < fraction
    ordered = np.sort(log["at"].to_numpy())
    first = ordered[round((1 - fraction) * (len(log) - 1))]
    return is_new, log["at"].to_numpy() >= first


def both(log: pd.DataFrame, valid_split: str) -> tuple[FunnelData, FunnelData]:
    data = DataConfig(schema=SCHEMA, train=list(dict.fromkeys(log["path"])))
    config = TrainingConfig(
        batch_size=1,
        shuffle_rows=500,
        valid_split=valid_split,  # type: ignore[arg-type]
        valid_fraction=FRACTION,
    )
    return split(data, config, Cluster(), BadRows())


def trained_and_valid(log: pd.DataFrame, valid_split: str) -> tuple[set[int], set[int]]:
    training, validation = both(log, valid_split)
    trained = [batch.inputs["id"][0] for batch in training.training_batches(Position())]
    again = [batch.inputs["id"][0] for batch in training.evaluation_batches("train")]
    assert len(trained) == len(set(trained)) and set(trained) == set(again)
    valid = [batch.inputs["id"][0] for batch in validation.evaluation_batches("valid")]
    return set(trained), set(valid)


def test_the_rows_are_those_of_the_twin_and_nothing_leaks(log: pd.DataFrame) -> None:
    is_new, is_late = held_out(log, FRACTION)
    trained, valid = trained_and_valid(log, "group_time")
    assert valid == set(log["id"][is_new & is_late])
    assert trained == set(log["id"][~is_new & ~is_late])
    assert len(valid) == pytest.approx(len(log) * FRACTION**2, rel=0.2)
    training, _ = both(log, "group_time")
    assert len(trained) == pytest.approx(len(log) * training.holdout.training_share, rel=0.1)
    of_training = log[log["id"].isin(trained)]
    of_validation = log[log["id"].isin(valid)]
    assert not set(of_training["user"]) & set(of_validation["user"])
    assert of_training["at"].max() < of_validation["at"].min()
    # By one of both alone, the rows of the other kind are trained on.
    for name, is_held in (("group", is_new), ("time", is_late)):
        trained, valid = trained_and_valid(log, name)
        assert valid == set(log["id"][is_held])
        assert trained == set(log["id"][~is_held])


def test_a_run_that_notes_it_holds_out_the_same(log: pd.DataFrame) -> None:
    training, _ = both(log, "group_time")
    noted = json.loads(json.dumps(dataclasses.asdict(training.holdout)))
    assert Holdout(**noted) == training.holdout


@pytest.mark.parametrize("column", ["group", "time"])
def test_it_needs_both_columns(log: pd.DataFrame, column: str) -> None:
    schema = dataclasses.replace(SCHEMA, **{column: ""})  # type: ignore[arg-type]
    data = DataConfig(schema=schema, train=list(dict.fromkeys(log["path"])))
    config = TrainingConfig(valid_split="group_time")
    rule = rf"--valid_split=group_time needs a schema with a `{column}` column"
    with pytest.raises(RunError, match=rule):
        check_held_out(data, config)
