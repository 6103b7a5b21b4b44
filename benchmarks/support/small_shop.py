"""A small export with every kind of input: what matters is how it is served, not what it says."""

from __future__ import annotations

import pathlib

import numpy as np

from tafe_tf.data.formats.write import write
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit

NAME = "shop"
_ROWS = 600  # to train on, for a step or two, and to check the export with
_SCHEMA = f"""
name = "{NAME}"
group = "user"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
[[features]]
name = "user"
kind = "hash"
buckets = 200
side = "user"
[[features]]
name = "item"
kind = "integer"
size = 50
[[features]]
name = "price"
kind = "log_round"
[[features]]
name = "tags"
kind = "hash"
buckets = 20
max_length = 3
"""


def export(directory: pathlib.Path, seed: int) -> pathlib.Path:
    """Trains a small model for a moment on invented rows and exports it.

    Args:
        directory: A new directory for rows, run and export.
        seed: Seed of the weights: another one gives other answers.

    Returns:
        The directory of the exported version.
    """
    data = directory / "data"
    data.mkdir(parents=True)
    (data / "schema.toml").write_text(_SCHEMA, encoding="utf-8")
    columns = rows(_ROWS)
    clicks = np.arange(_ROWS) % 3 == 0
    buys = np.arange(_ROWS) % 9 == 0
    write(data / "train.parquet", {**columns, "click": clicks.astype(int), "buy": buys.astype(int)})
    arguments = {"embedding_dim": 4, "embedding_stddev": 0.3}
    run = fit(
        DataConfig.in_directory(data),
        directory / "run",
        model=ModelConfig(name="shared_bottom", arguments=arguments),
        training=TrainingConfig(epochs=1, valid_fraction=0.5, seed=seed),
        verbose=False,
    )
    return run.export(directory / "export", version=1)


def rows(count: int, seed: int = 0) -> dict[str, list[object]]:
    """Draws raw rows, as columns by name.

    Args:
        count: The number of rows.
        seed: Seed of the draws; 0 by default.
    """
    rng = np.random.default_rng(seed)
    users = [f"u {number}" for number in rng.integers(0, 300, count)]
    tags = [[f"t{tag}" for tag in three] for three in rng.integers(0, 30, (count, 3))]
    return {
        "user": users,
        "item": rng.integers(0, 50, count).tolist(),
        "price": np.round(rng.lognormal(2, 2, count), 3).tolist(),
        "tags": tags,
    }
