"""A small shop, and `tafe_tf.compare` and `tafe_tf.tune` run on it in processes of their own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import small_models

from tafe_tf.data.formats.write import write

SIZES = [
    "--embedding_dim=4",
    "--num_inducing=4",
    "--num_layers=1",
    "--tower_units=8",
    "--bottom_units=8",
    "--batch_size=64",
]


def write_shop(directory: pathlib.Path) -> pathlib.Path:
    """1,500 training rows and 500 test rows of 30 users, with their schema; returns the folder."""
    directory.mkdir()
    write(directory / "train.parquet", small_models.rows("shop", 1500))
    write(directory / "test.parquet", small_models.rows("shop", 500, seed=1))
    (directory / "schema.toml").write_text(small_models.SHOP)
    return directory


def run(module: str, data_dir: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command on the shop with models of a few units."""
    return subprocess.run(
        [sys.executable, "-m", module, f"--data_dir={data_dir}", *SIZES, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
