"""Measures what a history costs: a training step, an exported model, and a request to rank items.

    python -m benchmarks.sequences [--what=truth,steps,requests,rank] [--attentions=din,dot]

All ways of a table are measured in turn, round by round, so that ratios are of the same minutes.
"truth" is of the funnel of `tafe generate --interactions=history`: the AUC of the truth, and of
what pooled lists can tell at most (`HistoryFunnel.bag_probabilities`), on its test rows, each
counted as positive by its probability, as `tafe train` does. "steps" are rows/s of training TAFE on
20 fields, without a history and with one of --length items. "requests" are rows/s of the same
models exported, 1,024 rows of raw columns a request. "rank" asks for --items items of one user, by
the signature `rank` and by `serving_default` with the history repeated, ms a request, and by how
much their answers differ. Every table comes with a line of JSON.
"""

from __future__ import annotations

import functools
import json
import pathlib
import statistics
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import flags, logging
from sklearn.metrics import roc_auc_score

from benchmarks.support import rounds
from tafe_tf import machine, schema_toml
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.formats.write import write
from tafe_tf.data.public.history import HistoryFunnel
from tafe_tf.data.public.synthetic import CHUNK
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.session_model import SessionModel
from tafe_tf.features.graph import Features
from tafe_tf.native import stack
from tafe_tf.optimizers import LazyAdam
from tafe_tf.schema import Schema
from tafe_tf.terminal import command
from tafe_tf.training.build import build_model
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.deep_units import with_deep_units
from tafe_tf.training.fit import fit
from tafe_tf.training.sync_steps import SyncSteps

_WHAT = flags.DEFINE_list("what", ["truth", "steps", "requests", "rank"], "What to measure.")
_ATTENTIONS = flags.DEFINE_list("attentions", ["din", "dot", "transformer"], "How it is read.")
_LENGTH = flags.DEFINE_integer("length", 50, "Items of the history.", lower_bound=1)
_LENGTHS = flags.DEFINE_list("lengths", ["50", "500"], "Items of the history, for rank.")
_ITEMS = flags.DEFINE_integer("items", 500, "Items of a request to rank.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 1024, "Rows of a step or of a request.", lower_bound=1)
_FIELDS = 20
_VALUES = 10_000  # of each field
_PER_CALL = 10  # steps in one call
_TEST_ROWS = 100_000  # those of `tafe generate`
_ROWS = 1200  # that exports are made of
_NONE = "no history"


def main(argv: list[str]) -> None:
    """Measures and prints one table after the other."""
    command.only_flags(argv)
    logging.set_verbosity(logging.WARNING)
    for what in _WHAT.value:
        {"truth": _truth, "steps": _steps, "requests": _requests, "rank": _rank}[what]()


def _truth() -> None:
    funnel = HistoryFunnel()
    ids = np.concatenate(
        [
            funnel.rows(stream=1, number=number, rows=min(CHUNK, _TEST_ROWS - start))
            for number, start in enumerate(range(0, _TEST_ROWS, CHUNK))
        ]
    )
    truth = funnel.probabilities(ids)
    known = funnel.bag_probabilities(ids)
    line: dict[str, Any] = {"title": "AUC on the funnel of histories"}
    for step, task in enumerate(funnel.tasks):
        line[f"truth, {task}"] = _expected_auc(truth[:, step], truth[:, step])
        line[f"pooled, {task}"] = _expected_auc(known[:, step], truth[:, step])
    print(json.dumps(line), flush=True)


def _expected_auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """The AUC of scores, where each row counts as positive by its probability."""
    twice = np.concatenate([scores, scores])
    labels = np.repeat([1, 0], len(scores))
    weights = np.concatenate([truth, 1.0 - truth])
    return round(float(roc_auc_score(labels, twice, sample_weight=weights)), 4)


def schema_of(attention: str, length: int) -> Schema:
    """20 fields of integers, half of them the user's, and a history that the item's field reads."""
    features: list[dict[str, Any]] = []
    for field in range(_FIELDS):
        side = "user" if field % 2 else "item"
        feature = {"name": f"f{field}", "kind": "integer", "size": _VALUES, "side": side}
        features.append(feature)
    sequences = []
    if attention != _NONE:
        features.append({"name": "history", "shares": "f0", "max_length": length, "side": "user"})
        recent = {"name": "recent", "features": ["history"], "query": ["f0"]}
        sequences.append({**recent, "attention": attention})
    return schema_toml.parse(
        {
            "name": "histories",
            "tasks": [{"name": "click"}, {"name": "buy"}],
            "features": features,
            "sequences": sequences,
        }
    )


def columns_of(schema: Schema, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Raw columns with Zipf-distributed values and full histories."""
    rng = np.random.default_rng(seed)
    columns = {}
    for column in schema.inputs:
        shape = (rows, column.max_length) if column.max_length else (rows,)
        columns[column.name] = (rng.zipf(1.3, shape) - 1) % _VALUES
    return columns


def _steps() -> None:
    ways = {}
    for attention in (_NONE, *_ATTENTIONS.value):
        ways[attention] = _step(schema_of(attention, _LENGTH.value))
    _show_ratios(rounds.run(ways, {}), f"steps with {_LENGTH.value} items, rows/s")


def _step(schema: Schema) -> rounds.Measure:
    """Compiles a training step, and returns what measures it."""
    size = _BATCH.value
    features = Features(schema, "no vocabularies")
    model = build_model(with_deep_units(ModelConfig(), rows=0), features)
    print(stack.use(model))
    model.pieces = machine.pieces(size)
    optimizer = LazyAdam(1e-3)
    optimizer.build(model.trainable_variables)
    batches = []
    for seed in range(20):
        made = features(
            {name: tf.constant(v) for name, v in columns_of(schema, size, seed).items()}
        )
        labels = np.random.default_rng(seed).random((size, 1)) < [0.2, 0.05]
        batch = Batch(
            inputs={name: values.numpy() for name, values in made.items()},
            labels=labels.astype(np.float32),
            weight=np.ones(size, np.float32),
            file=np.zeros(size, np.int32),
            row=np.arange(size),
            position=np.zeros([1, 2], np.int64),
            more=np.ones([1], bool),
            extra={},
        )
        batches.append(batch)
    stacked = tf.nest.map_structure(lambda *arrays: np.stack(arrays), *batches)
    iterator = iter(tf.data.Dataset.from_tensor_slices(stacked).repeat().prefetch(4))
    strategy = tf.distribute.get_strategy()
    steps = SyncSteps(model, optimizer, model.paper_loss(), strategy, 1, _PER_CALL)

    def call() -> int:
        return int(steps(iterator).rows)

    call()
    return lambda: {"rows_per_s": rounds.rate(call, rounds.SECONDS.value)}


def _requests() -> None:
    with tempfile.TemporaryDirectory() as root:
        ways = {}
        for attention in (_NONE, *_ATTENTIONS.value):
            schema = schema_of(attention, _LENGTH.value)
            session = SessionModel(_exported(pathlib.Path(root, attention), schema))
            request = columns_of(schema, _BATCH.value)
            ways[attention] = functools.partial(_rate, session, request)
        seen = rounds.run(ways, {})
    _show_ratios(seen, f"requests with {_LENGTH.value} items, rows/s")


def _rate(session: SessionModel, request: dict[str, np.ndarray]) -> rounds.Figures:
    def ask() -> int:
        session(request)
        return _BATCH.value

    ask()
    return {"rows_per_s": rounds.rate(ask, rounds.SECONDS.value)}


def _rank() -> None:
    for length in map(int, _LENGTHS.value):
        for attention in _ATTENTIONS.value:
            _rank_one(attention, length)


def _rank_one(attention: str, length: int) -> None:
    """Compares `rank` with rows that repeat the user."""
    items = _ITEMS.value
    schema = schema_of(attention, length)
    with tempfile.TemporaryDirectory() as root:
        session = SessionModel(_exported(pathlib.Path(root), schema))
        columns = columns_of(schema, items)
        user = {name: columns[name][:1] for name in schema.user_inputs}
        once = {**columns, **user}
        repeated = {name: np.repeat(values, items, axis=0) for name, values in user.items()}
        rows = {**columns, **repeated}
        of_rank = session(once, "rank")
        of_rows = session(rows)
        without = session({**rows, "history": np.full((items, 1), -1)})
        differ = max(np.abs(of_rank[name] - of_rows[name]).max() for name in of_rows)
        matters = max(np.abs(without[name] - of_rows[name]).max() for name in of_rows)
        ways = {
            "rows": functools.partial(_milliseconds, lambda: session(rows)),
            "rank": functools.partial(_milliseconds, lambda: session(once, "rank")),
        }
        seen = rounds.run(ways, {})
    title = f"{attention}, {length} items of a history, {items} to rank, ms"
    _show_ratios(seen, title, differ_by=float(differ), history_matters_by=float(matters))


def _milliseconds(ask: Callable[[], Any]) -> rounds.Figures:
    def once() -> int:
        ask()
        return 1

    once()
    return {"ms": 1000.0 / rounds.rate(once, rounds.SECONDS.value)}


def _exported(directory: pathlib.Path, schema: Schema) -> pathlib.Path | str:
    """Trains a model for two steps and exports it."""
    data = directory / "data"
    data.mkdir(parents=True)
    (data / "schema.toml").write_text(schema_toml.dump(schema), encoding="utf-8")
    for seed, split in enumerate(("train", "test")):
        columns: dict[str, Any] = {
            name: values.tolist() for name, values in columns_of(schema, _ROWS, seed).items()
        }
        clicks = np.arange(_ROWS) % 3 == 0
        buys = np.arange(_ROWS) % 9 == 0
        labels = {"click": clicks.astype(int), "buy": buys.astype(int)}
        write(data / f"{split}.parquet", {**columns, **labels})
    run = fit(
        DataConfig.in_directory(data),
        directory / "run",
        model=ModelConfig(arguments={"embedding_stddev": 0.15}),
        training=TrainingConfig(epochs=1, batch_size=500),
        verbose=False,
    )
    return publish(run.directory, directory / "export", ExportConfig(version=1))


def _show_ratios(seen: rounds.Seen, title: str, **more: float) -> None:
    """Prints a table, and the first way's figure divided by each other's, round by round."""
    rounds.show_table(seen, title)
    (first, base), *others = seen.items()
    line: dict[str, Any] = {"title": title, **more}
    for way, values in others:
        for figure, own in values.items():
            ratios = [one / two for one, two in zip(base[figure], own, strict=True)]
            line[f"{first} / {way}"] = round(statistics.median(ratios), 3)
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    command.run(main)
