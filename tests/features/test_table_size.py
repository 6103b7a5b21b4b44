"""Embedding tables that cannot be, refused before anything is read and again once it is."""

from __future__ import annotations

import pathlib

import pytest

from tafe_tf import memory
from tafe_tf.features.table_size import RowSize, check_known_table, check_table
from tafe_tf.first_look.look import EMBEDDING_DIM
from tafe_tf.schema import Feature, Schema, SchemaError, Task
from tafe_tf.training.config import ModelConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit

ROW = RowSize(dim=8, dtype="float32")  # 8 numbers, each with two moments: 96 bytes
SCHEMA = Schema(
    name="shop",
    features=(
        Feature(name="user", kind="vocabulary"),
        Feature(name="item", kind="hash", buckets=998),
        Feature(name="hour", kind="integer", size=24),
    ),
    tasks=(Task(name="click"),),
)


def test_a_table_as_large_as_the_memory_fits_and_one_row_more_does_not() -> None:
    rows = [2 + 3000, 1000, 26]
    check_table(SCHEMA, rows, ROW, 96 * sum(rows))
    check_table(SCHEMA, rows, ROW, None)
    message = (
        r"^feature 'user': has 3,002 of the 4,028 rows of the embedding table, which takes 0.0 GiB "
        r"in training, .* this machine has 0.0 GiB; raise its min_count, .* --embedding_dim$"
    )
    with pytest.raises(SchemaError, match=message):
        check_table(SCHEMA, rows, ROW, 96 * sum(rows) - 1)


def test_ids_have_31_bits() -> None:
    check_table(SCHEMA, [2**31 - 1 - 1026, 1000, 26], ROW, None)
    with pytest.raises(SchemaError, match=r"feature 'user': has .* of the 2,147,483,648 rows"):
        check_table(SCHEMA, [2**31 - 1026, 1000, 26], ROW, None)


def test_vocabularies_count_once_they_are_known() -> None:
    check_known_table(SCHEMA, ROW, 96 * 1028)
    with pytest.raises(SchemaError, match="feature 'item': has 1,000 of the 1,028 rows"):
        check_known_table(SCHEMA, ROW, 96 * 1028 - 1)


def test_training_refuses_before_it_reads(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 96 * 1000)
    path = tmp_path / "train.csv"
    path.write_bytes(b"\0")  # which no reader takes
    data = DataConfig(schema=SCHEMA, train=(str(path),))
    model = ModelConfig(name="shared_bottom", arguments={"embedding_dim": 8})
    with pytest.raises(SchemaError, match="feature 'item': has 1,000 of the 1,028 rows"):
        fit(data, tmp_path / "run", model=model)
    assert not (tmp_path / "run").exists()


def test_training_refuses_vocabularies_that_do_not_fit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 96 * 1100)
    path = tmp_path / "train.csv"
    rows = "".join(f"user{i},x,3,{i % 2}\n" for i in range(2000))
    path.write_text(f"user,item,hour,click\n{rows}")
    data = DataConfig(schema=SCHEMA, train=(str(path),))
    model = ModelConfig(name="shared_bottom", arguments={"embedding_dim": 8})
    with pytest.raises(SchemaError, match="feature 'user': has 2,002 of the 3,028 rows"):
        fit(data, tmp_path / "run", model=model, verbose=False)


def test_the_look_takes_the_models_default() -> None:
    assert ModelConfig().all_arguments()["embedding_dim"] == EMBEDDING_DIM
