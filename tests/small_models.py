"""Tiny funnels and untrained runs of them, for all tests of exporting and serving."""

from __future__ import annotations

import pathlib
import tomllib

import numpy as np

from tafe_tf.data.formats.write import write
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run_dir import RunDir

CLICK_BUY = """
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
"""
SHOP = f"""
name = "shop"
group = "user"
{CLICK_BUY}[[features]]
name = "user"
kind = "vocabulary"
min_count = 2
side = "user"
[[features]]
name = "item"
kind = "hash"
dtype = "int64"
buckets = 40
[[features]]
name = "hour"
kind = "integer"
size = 24
side = "user"
[[features]]
name = "price"
kind = "log_round"
[[features]]
name = "tags"
kind = "vocabulary"
max_length = 3
weights = "tag_weights"
"""
LONG = """
name = "loans"
[[tasks]]
name = "view"
[[tasks]]
name = "apply"
[[tasks]]
name = "fund"
[[features]]
name = "user"
kind = "vocabulary"
[[features]]
name = "item"
kind = "vocabulary"
dtype = "int64"
"""
NUMBERS = f"""
name = "numbers"
{CLICK_BUY}[[features]]
name = "user"
kind = "integer"
size = 50
side = "user"
[[features]]
name = "item"
kind = "hash"
dtype = "int64"
buckets = 40
"""
STORIES = f"""
name = "stories"
{CLICK_BUY}[[features]]
name = "user"
kind = "integer"
size = 50
side = "user"
[[features]]
name = "item"
kind = "vocabulary"
[[features]]
name = "history"
shares = "item"
max_length = 4
side = "user"
[[features]]
name = "hour"
kind = "integer"
size = 24
side = "user"
[[features]]
name = "history_age"
kind = "log_round"
max_length = 4
side = "user"
[[sequences]]
name = "recent"
features = ["history", "history_age"]
query = ["item"]
"""
SCHEMAS = {"shop": SHOP, "loans": LONG, "numbers": NUMBERS, "stories": STORIES}


def rows(name: str, count: int, seed: int = 0) -> dict[str, list[object]]:
    """Draws raw rows of a funnel, whose user decides how likely the first step is.

    The rows of "shop" have missing values, and lists of every length; those of "stories" have
    histories of every length, of which most are cut.

    Args:
        name: the funnel's name, a key of `SCHEMAS`.
        count: number of rows.
        seed: seed of the draw; 0 by default.
    """
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 30, count)
    reached = rng.random(count) < (user % 10) / 10
    columns: dict[str, list[object]] = {"item": rng.integers(0, 1000, count).tolist()}
    columns["user"] = user.tolist() if name in ("numbers", "stories") else [f"u {i}" for i in user]
    if name == "shop":
        columns.update(_shop_columns(rng, count))
    if name == "stories":
        columns.update(_story_columns(rng, count))
    for task in tomllib.loads(SCHEMAS[name])["tasks"]:
        columns[task["name"]] = reached.astype(int).tolist()
        reached = reached & (rng.random(count) < 0.4)
    return columns


def _shop_columns(rng: np.random.Generator, count: int) -> dict[str, list[object]]:
    """The columns that only "shop" has."""
    tags: list[object] = []
    for length in rng.integers(1, 5, count):
        tags.append([f"t{tag}" for tag in rng.integers(0, 9, length)])
    hours = rng.integers(0, 24, count).tolist()
    prices: list[object] = []
    for price in np.round(rng.lognormal(2, 2, count), 3):
        is_missing = rng.random() < 0.1
        prices.append(None if is_missing else float(price))
    weights: list[object] = []
    for row in tags:
        weights.append(np.round(rng.uniform(0.1, 1, len(row)), 3).tolist())  # type: ignore[arg-type]
    return {"hour": hours, "price": prices, "tags": tags, "tag_weights": weights}


def _story_columns(rng: np.random.Generator, count: int) -> dict[str, list[object]]:
    """The columns that only "stories" has, and items as texts."""
    lengths = rng.integers(0, 9, count)
    histories: list[object] = []
    ages: list[object] = []
    for length in lengths:
        histories.append([f"i {item}" for item in rng.integers(0, 40, length)])
        ages.append(np.round(rng.uniform(0, 90, length), 2).tolist())
    return {
        "item": [f"i {item}" for item in rng.integers(0, 40, count)],
        "history": histories,
        "hour": rng.integers(0, 24, count).tolist(),
        "history_age": ages,
    }


def make_data(directory: pathlib.Path, name: str, train: int = 600, test: int = 300) -> DataConfig:
    """Writes a funnel's schema, train.parquet and test.parquet into a folder.

    Args:
        directory: the folder, made if it is not there.
        name: the funnel's name, a key of `SCHEMAS`.
        train: number of training rows; 600 by default.
        test: number of test rows; 300 by default.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "schema.toml").write_text(SCHEMAS[name])
    write(directory / "train.parquet", rows(name, train))
    write(directory / "test.parquet", rows(name, test, seed=1))
    return DataConfig.in_directory(directory)


def make_run(directory: pathlib.Path, name: str, *, seed: int = 0, count: int = 600) -> RunDir:
    """Makes a run that has learned nothing, with weights large enough for rows to differ.

    Args:
        directory: where to make it: the run in `run/`, its files in `data/`.
        name: the funnel's name, a key of `SCHEMAS`.
        seed: seed of the weights; 0 by default.
        count: number of rows of train.parquet and of test.parquet; 600 by default.
    """
    funnel = make_data(directory / "data", name, count, count)
    model = ModelConfig(
        arguments={
            "embedding_dim": 4,
            "num_inducing": 4,
            "num_layers": 1,
            "dropout": 0.0,
            "deep_units": 0,
            "heads": "separate",
            "conditional_weight": 0.0,
            "embedding_stddev": 0.3,
        }
    )
    nothing_is_learned = TrainingConfig(
        seed=seed,
        epochs=1,
        batch_size=100,
        learning_rate=0.0,
        intercept_rows=0,
        valid_fraction=0.5,
    )
    run = fit(
        funnel,
        directory / "run",
        model=model,
        training=nothing_is_learned,
        verbose=False,
    )
    num_tasks = len(run.schema.tasks)
    run.model.heads.bias.assign(np.linspace(-0.5, -1.5, num_tasks))
    run.directory.save_best(run.model)
    return run.directory


def run_of(export: pathlib.Path) -> RunDir:
    """The run that a version of the fixture `exports` was made from."""
    return RunDir(export.parents[1] / "run")
