"""Flagfiles that say the same in other words."""

from __future__ import annotations

import pytest

from tafe_tf.comparison.same_settings import differing

# What an earlier version wrote where nothing but the directory was asked for.
EVERYTHING = """--batch_size=1024
--bottom_units=256,128
--data_dir=shop
--embedding_dim=18
--embedding_dtype=float32
--gamma_decay_steps=50000.0
--gate=softmax
--learning_rate=0.003
--selector_hidden=
--shuffle_rows=262144
--tower_units=
--use_asrg
--warm_start=
"""


def test_a_default_may_be_written_down_or_left_out() -> None:
    assert differing(EVERYTHING, "--data_dir=shop\n") == []
    assert differing("--data_dir=shop\n", EVERYTHING) == []


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("--learning_rate=0.003", "--learning_rate=0.5"),
        ("--bottom_units=256,128", "--bottom_units=64"),
        ("--tower_units=", "--tower_units=64"),
        ("--use_asrg", "--nouse_asrg"),
        ("--embedding_dtype=float32", "--embedding_dtype=bfloat16"),
        ("--gate=softmax", "--gate=dselect_k"),
    ],
)
def test_other_values_differ(line: str, other: str) -> None:
    assert differing(EVERYTHING.replace(line, other), "--data_dir=shop\n") == [other]


def test_what_has_no_default_differs() -> None:
    assert differing("--data_dir=shop\n", "--data_dir=mall\n") == [
        "--data_dir=mall",
        "--data_dir=shop",
    ]
