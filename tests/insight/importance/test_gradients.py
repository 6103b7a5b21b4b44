"""Integrated gradients: a linear model in closed form, a twin by finite differences, sums."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
import small_models
from keras import ops

import tafe_tf
from tafe_tf.data.errors import DataError
from tafe_tf.insight.importance.explain import explain
from tafe_tf.insight.importance.gradients import Explainer, log_odds
from tafe_tf.models import TAFE, SingleTask
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import Amount, Feature, Schema, Task
from tafe_tf.terminal.explanation_table import explanation_table
from tafe_tf.training.run import Run

SCHEMA = Schema(
    name="shop",
    features=tuple(Feature(name=name, kind="integer", size=18) for name in ("a", "b", "c")),
    tasks=(Task(name="click"), Task(name="buy")),
)
ROW = np.array([[3, 4, 5]])
BASELINE = np.array([[7, 8, 9]])


class Linear(FunnelModel):
    """A linear head for each task on the embeddings side by side."""

    def __init__(self, field_rows: list[int], num_tasks: int, **kwargs: Any) -> None:
        super().__init__(field_rows, num_tasks, **kwargs)
        self.embedding = self.make_embedding()
        self.finish(self.flat_size)

    def score(self, h: Any, training: bool) -> Any:
        flat = self.flatten(h)[:, None]
        return self.heads(ops.repeat(flat, self.num_tasks, axis=1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = small_models.make_run(tmp_path_factory.mktemp("stories"), "stories")
    return tafe_tf.load(directory.path)


def embedded(model: FunnelModel, ids: np.ndarray) -> np.ndarray:
    return np.asarray(model.embed(ids, training=False))


def test_a_linear_model_in_closed_form() -> None:
    keras.utils.set_random_seed(3)
    model = Linear([20, 20, 20], 2, embedding_dim=4, embedding_stddev=1.0)
    model.heads.bias.assign([4.0, -4.0])  # so that the second step stays below the first
    h, start = embedded(model, ROW), embedded(model, BASELINE)
    found = Explainer(model, SCHEMA, start).explain(h)
    kernel = np.asarray(model.heads.kernel).reshape(2, 3, 4)
    by_hand = np.einsum("nfd,fd->fn", kernel, (h - start)[0])
    np.testing.assert_allclose(found.attributions[:, :2], by_hand, atol=1e-5)
    assert (found.outputs, found.fields) == (("ctr", "ctcvr", "cvr"), ("a", "b", "c"))
    logits = np.asarray(model(ROW))[0]
    p = 1 / (1 + np.exp(-logits))
    cvr = p[1] / p[0]
    np.testing.assert_allclose(found.value, [*logits, np.log(cvr / (1 - cvr))], rtol=1e-5)
    assert np.abs(found.error).max() < 0.01


@pytest.mark.parametrize("kind", [TAFE, SingleTask])
def test_a_twin_by_finite_differences(kind: type[FunnelModel]) -> None:
    """The model itself is asked at 2 x 512 points a field, without any gradient."""
    keras.utils.set_random_seed(3)
    small: dict[str, Any] = {"num_inducing": 4, "num_layers": 1, "deep_units": 8}
    if kind is SingleTask:
        small = {"tower_units": [6, 5]}
    model = kind([20, 20, 20], 2, embedding_dim=4, embedding_stddev=1.0, **small)
    model.heads.bias.assign([3.0, -3.0])
    h, start = embedded(model, ROW), embedded(model, BASELINE)
    found = Explainer(model, SCHEMA, start).explain(h, tolerance=1e-3)
    assert max(np.abs(found.error).max(), found.change) <= 1e-3
    way = (h - start).reshape(-1, 3, 4)  # single_task has embeddings for each task
    middles = (np.arange(512) + 0.5) / 512
    small_step = 1e-2
    for field in range(3):
        of_field = np.zeros_like(way)
        of_field[:, field] = way[:, field]
        aside = of_field.reshape(h.shape)
        values = []
        for sign in (-0.5, 0.5):
            points = [
                start + middle * (h - start) + sign * small_step * aside for middle in middles
            ]
            values.append(np.asarray(log_odds(model.logits(np.concatenate(points)), SCHEMA)))
        by_hand = ((values[1] - values[0]) / small_step).mean(axis=0)
        np.testing.assert_allclose(found.attributions[field], by_hand, atol=5e-3)
    assert np.abs(found.attributions).max() > 0.1


def test_log_odds_are_those_of_what_is_served() -> None:
    amount = Amount(name="spend")
    schema = Schema(name="paid", features=SCHEMA.features, tasks=SCHEMA.tasks, amount=amount)
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(50, 4)).astype(np.float32)  # of which many cross
    served = probabilities(outputs, schema)
    found = np.asarray(log_odds(outputs, schema))
    for place, name in enumerate(schema.output_names):
        value = np.asarray(served[name], np.float64)
        if name in schema.amount_names:
            np.testing.assert_allclose(found[:, place], np.log(value), rtol=1e-4, atol=1e-5)
            continue
        inner = value < 0.999
        odds = np.log(value[inner]) - np.log1p(-value[inner])
        np.testing.assert_allclose(found[inner, place], odds, rtol=1e-3, atol=1e-4)
        assert (found[~inner, place] > 6).all()


def test_rows_of_a_run(run: Run) -> None:
    test = run.directory.rows.test_files()[0]
    (columns, third), (_, first) = explain(run, test, [3, 1])
    assert third.fields == ("user", "item", "hour", "recent")
    assert columns["user"].tolist() == pq.read_table(test)["user"][2:3].to_pylist()
    p = run.predict(test)
    for number, one in ((2, third), (0, first)):
        assert np.abs(one.error).max() <= 0.01
        odds = np.log(p["ctr"][number] / (1 - p["ctr"][number]))
        assert one.value[0] == pytest.approx(odds, rel=1e-4)
    train = run.directory.rows.train_files()
    inputs = run.features(next(run.served_columns(train, batch_size=600)))
    mean = np.asarray(run.model.embed(inputs, training=False)).mean(axis=0, keepdims=True)
    at_mean = np.asarray(log_odds(run.model.logits(mean), run.schema))[0]
    np.testing.assert_allclose(third.baseline, at_mean, atol=1e-5)


def test_a_row_in_which_everything_is_missing_is_the_other_baseline(
    run: Run, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("user,item,history,hour,history_age\n,,,,\n")
    p = run.predict(str(path))["ctcvr"][0]
    ((_, found),) = explain(run, str(path), baseline="missing")
    np.testing.assert_array_equal(found.attributions, 0.0)
    assert found.baseline[1] == pytest.approx(np.log(p / (1 - p)), rel=1e-5)


def test_what_no_number_of_steps_reaches_is_told(run: Run) -> None:
    test = run.directory.rows.test_files()[0]
    ((_, found),) = explain(run, test, tolerance=0.0, most_steps=64)
    assert found.steps == 64 and np.abs(found.error).max() > 0.0


def test_rows_that_are_not_there(run: Run) -> None:
    test = run.directory.rows.test_files()[0]
    with pytest.raises(DataError, match="row 601 is asked for, and there are 600 rows"):
        explain(run, test, [1, 601])
    with pytest.raises(ValueError, match=r"rows are numbered from 1. Received: 0$"):
        explain(run, test, [0])


@pytest.mark.slow
def test_the_command(run: Run) -> None:
    test = run.directory.rows.test_files()[0]
    arguments = [f"--run_dir={run.path}", f"--input={test}", "--row=2"]
    done = subprocess.run(
        [sys.executable, "-m", "tafe_tf.explain", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "row 2, from the baseline 'mean'" in " ".join(done.stdout.split())
    assert "the sums are off by" in done.stdout and "warning" not in done.stdout
    for name in ("the baseline", "recent", "the row"):
        assert name in done.stdout


def test_values_are_shown_with_the_digits_of_the_file() -> None:
    class Explained:
        outputs = ("ctr",)
        fields = ("price", "user", "image")
        attributions = np.array([[0.3], [0.2], [0.1]])
        value = np.array([0.5])
        baseline = np.array([-0.1])

    image = np.array([[0.1, -2.5]], np.float32)
    columns = {"price": np.array([27.31], np.float32), "user": np.array([b"u7"]), "image": image}
    table = explanation_table("row 1", Explained(), columns)
    assert list(table.columns[1].cells) == ["", "27.31", "'u7'", "[0.1, -2.5]", ""]
