"""Tiny funnels and untrained runs of them, for all tests of exporting and serving."""

from __future__ import annotations

import json
import pathlib
import tomllib

import keras
import numpy as np

from tafe_tf import schema
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.formats.write import write
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.models import TAFE
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
SCHEMAS = {"shop": SHOP, "loans": LONG, "numbers": NUMBERS}


def rows(name: str, count: int, seed: int = 0) -> dict[str, list[object]]:
    """Raw rows of a funnel, with missing values and lists of every length, whose user decides the first step."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 30, count)
    reached = rng.random(count) < (user % 10) / 10
    columns: dict[str, list[object]] = {"item": rng.integers(0, 1000, count).tolist()}
    columns["user"] = user.tolist() if name == "numbers" else [f"u {i}" for i in user]
    if name == "shop":
        tags = [[f"t{t}" for t in rng.integers(0, 9, n)] for n in rng.integers(1, 5, count)]
        columns["hour"] = rng.integers(0, 24, count).tolist()
        columns["price"] = [
            None if rng.random() < 0.1 else float(p)
            for p in np.round(rng.lognormal(2, 2, count), 3)
        ]
        columns["tags"] = list(tags)
        columns["tag_weights"] = [np.round(rng.uniform(0.1, 1, len(t)), 3).tolist() for t in tags]
    for task in tomllib.loads(SCHEMAS[name])["tasks"]:
        columns[task["name"]] = reached.astype(int).tolist()
        reached = reached & (rng.random(count) < 0.4)
    return columns


def make_run(directory: pathlib.Path, name: str, *, seed: int = 0, count: int = 600) -> RunDir:
    """A run directory of an untrained model whose weights are large enough for rows to differ.

    Args:
        directory: the run's, made if it is not there; the files lie in `data/` inside.
        name: of the funnel, see `SCHEMAS`.
        seed: of the weights.
        count: rows of train.parquet; test.parquet has as many.
    """
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "schema.toml").write_text(SCHEMAS[name])
    write(data / "train.parquet", rows(name, count))
    write(data / "test.parquet", rows(name, count, seed=1))
    run = RunDir(directory / "run")
    run.claim({"data_dir": f"--data_dir={data}"}, "tafe", SCHEMAS[name])
    dataset = schema.load(data / "schema.toml")
    vocabulary.build([str(data / "train.parquet")], dataset, run.path, BadRows())
    (run.path / "metrics.json").write_text(json.dumps({"rows": count, "auc/ctr": 0.5}))
    keras.utils.set_random_seed(seed)
    features = Features(dataset, run.path)
    model = TAFE(
        features.rows,
        len(dataset.tasks),
        embedding_dim=4,
        num_inducing=4,
        num_layers=1,
        embedding_stddev=0.3,
        slots=features.slots,
    )
    model.heads.bias.assign(np.linspace(-0.5, -1.5, len(dataset.tasks)))
    run.save_model_config(model)
    held_out = FunnelData(
        files=[str(data / "train.parquet")],
        schema=dataset,
        batch_size=100,
        holdout=Holdout(fraction=0.5),
    )
    run.save_data(held_out, [str(data / "test.parquet")])
    run.best(model).save()
    return run
