"""What only training knows: a position effect is learned, and every item is served as if on top."""

from __future__ import annotations

import contextlib
import pathlib

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import tafe_tf
from tafe_tf import schema_toml
from tafe_tf.export.session_model import SessionModel
from tafe_tf.schema import Feature, Schema, SchemaError, Task
from tafe_tf.training.run import Run

SCHEMA = """
name = "search"
[[tasks]]
name = "click"
[[features]]
name = "item"
kind = "vocabulary"
[[features]]
name = "position"
kind = "integer"
size = 10
serve_as = 0
[[features]]
name = "hour"
kind = "integer"
size = 24
side = "user"
"""
ITEMS, ROWS = 40, 30_000
WORTH = np.random.default_rng(0).normal(0.0, 0.7, ITEMS)  # of each item, in the logit
DROP = 0.45  # of the logit from one position to the next


def log(rows: int, seed: int) -> pd.DataFrame:
    """An earlier ranking put half of the items where they did not belong."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, ITEMS, rows)
    was_low = np.random.default_rng(1).normal(size=ITEMS)  # nothing to do with worth
    rank = np.argsort(np.argsort(was_low))[item] * 10 // ITEMS
    position = np.clip(rank + rng.integers(-2, 3, rows), 0, 9)
    p = 1 / (1 + np.exp(-(WORTH[item] - DROP * position)))
    return pd.DataFrame(
        {
            "item": [f"item {i}" for i in item],
            "position": position,
            "hour": rng.integers(0, 24, rows),
            "click": (rng.random(rows) < p).astype(int),
            "worth": WORTH[item],
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    schema = tmp_path_factory.mktemp("schema") / "schema.toml"
    schema.write_text(SCHEMA)
    return tafe_tf.fit(
        train=log(ROWS, 2).drop(columns="worth"),
        schema=str(schema),
        run_dir=tmp_path_factory.mktemp("run") / "search",
        model="shared_bottom",
        epochs=3,
        batch_size=256,
        learning_rate=0.01,
        verbose=False,
    )


def test_the_export_ranks_by_worth_and_has_no_position(run: Run, tmp_path: pathlib.Path) -> None:
    rows = log(4000, 3)
    version = run.export(tmp_path / "export")
    with contextlib.closing(SessionModel(version)) as served:
        for name, signature in served.signatures.items():
            assert "position" not in signature.inputs, name
        asked = {name: rows[name].to_numpy() for name in ("item", "hour")}
        scores = served(asked)["ctr"]
    as_logged = run.model(
        run.features({name: rows[name].to_numpy() for name in ("item", "position", "hour")})
    ).numpy()[:, 0]
    is_good = rows["worth"] > 0
    by_export = roc_auc_score(is_good, scores)
    by_logged_positions = roc_auc_score(is_good, as_logged)
    assert by_export > 0.93
    assert by_logged_positions < by_export - 0.1
    on_top = rows.assign(position=0)
    columns = {name: on_top[name].to_numpy() for name in ("item", "position", "hour")}
    logits = run.model(run.features(columns)).numpy()[:, 0]
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-6)
    np.testing.assert_allclose(run.predict(rows)["ctr"], scores, atol=1e-6)
    without = rows.drop(columns="position")
    np.testing.assert_allclose(run.predict(without)["ctr"], scores, atol=1e-6)


def test_training_and_evaluation_read_the_column(run: Run) -> None:
    rows = log(4000, 3)
    shuffled = rows.assign(position=np.random.default_rng(5).permutation(rows["position"]))
    logged, elsewhere = (run.evaluate(some)["auc/ctr"] for some in (rows, shuffled))
    assert logged is not None and elsewhere is not None
    assert logged > elsewhere + 0.05


def test_what_a_value_must_be() -> None:
    def of(kind: str, **keys: object) -> Feature:
        return Feature(name="place", kind=kind, **keys)  # type: ignore[arg-type]

    for feature, rule in (
        ({"kind": "integer", "size": 10, "serve_as": 10}, "must be one of 0 to size - 1, 9"),
        ({"kind": "integer", "size": 10, "serve_as": "1"}, "must be an integer"),
        ({"kind": "vocabulary", "serve_as": 1}, "must be a text"),
        ({"kind": "log_round", "serve_as": "1"}, "must be a number"),
        ({"kind": "vocabulary", "max_length": 3, "serve_as": "a"}, "has no meaning for a list"),
    ):
        with pytest.raises(SchemaError, match=rule):
            of(**feature)
    with pytest.raises(SchemaError, match="must be left out of one feature at least"):
        Schema(
            name="search",
            features=(of("integer", size=3, serve_as=0),),
            tasks=(Task(name="click"),),
        )
    with pytest.raises(SchemaError, match="must be that of feature 'place'"):
        Schema(
            name="search",
            features=(
                of("vocabulary", serve_as="top"),
                Feature(name="twin", kind="hash", buckets=5, column="place"),
            ),
            tasks=(Task(name="click"),),
        )
    schema = schema_toml.parse(
        {
            "name": "search",
            "tasks": [{"name": "click"}],
            "features": [
                {"name": "item", "kind": "vocabulary"},
                {"name": "place", "kind": "vocabulary", "serve_as": "top"},
            ],
        }
    )
    assert [column.name for column in schema.served_inputs] == ["item"]
    assert [column.name for column in schema.inputs] == ["item", "place"]
    assert 'serve_as = "top"' in schema_toml.dump(schema)
