"""A new day after a trained run: rows by value, moments, resumption, retirement, publishing."""

from __future__ import annotations

import collections
import dataclasses
import json
import pathlib
import shutil
from typing import Any

import keras
import numpy as np
import pytest
import small_models
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score

from tafe_tf import evaluate, train
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.export import model_card, saved_model
from tafe_tf.export.errors import ExportError
from tafe_tf.export.publish import publish
from tafe_tf.export.publish_terms import Terms
from tafe_tf.features import vocabulary
from tafe_tf.metrics import Metrics
from tafe_tf.models import BY_NAME
from tafe_tf.optimizers import LazyAdam, LinearDecay
from tafe_tf.schema import FIRST, Amount
from tafe_tf.training import predecessor
from tafe_tf.training.build import learning_rate
from tafe_tf.training.config import TrainingConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.loop import Trainer
from tafe_tf.training.predecessor import compare
from tafe_tf.training.run_dir import RunDir, variables
from tafe_tf.training.warm_start import WarmStart

FLAGS = absl_flags.FLAGS
ROWS = 1500  # of a file
PRICE_CLASS = """
[[features]]
name = "price_class"
column = "price"
kind = "quantile"
buckets = 8
[[features]]
name = "price_itself"
column = "price"
kind = "number"
"""
TOLERANCE = (
    1e-5  # of an AUC: rows whose logits are equal but for rounding change places, each by 2e-6
)
SETTINGS: dict[str, Any] = {
    "embedding_dim": 4,
    "num_inducing": 4,
    "num_layers": 1,
    "batch_size": 64,
    "epochs": 2,
    "learning_rate": 0.02,
    "dropout": 0.05,
}


def rows_of(day: int, seed: int) -> dict[str, list[Any]]:
    """Rows of the shop; each day ten of its thirty users are gone and ten are new."""
    columns = small_models.rows("shop", ROWS, seed)
    users = [int(str(user)[2:]) for user in columns["user"]]
    return {**columns, "user": [f"u {user + 30 if user < 10 * day else user}" for user in users]}


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[pathlib.Path]:
    """The files of three days."""
    root = tmp_path_factory.mktemp("days")
    for day in range(3):
        directory = root / f"day{day}"
        directory.mkdir()
        (directory / "schema.toml").write_text(small_models.SHOP + PRICE_CLASS)
        write(directory / "train.parquet", rows_of(day, seed=2 * day))
        write(directory / "test.parquet", rows_of(day, seed=2 * day + 1))
    return [root / f"day{day}" for day in range(3)]


def run_train(data: pathlib.Path, run: pathlib.Path, **settings: Any) -> RunDir:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(
        **{**SETTINGS, "data_dir": str(data), "run_dir": str(run), **settings}
    ):
        train.train()
    return RunDir(run)


@pytest.fixture(scope="module")
def runs(
    days: list[pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunDir, RunDir]:
    """A trained run of the first day, and one of the second that goes on from it."""
    root = tmp_path_factory.mktemp("runs")
    before = run_train(days[0], root / "run0")
    return before, run_train(days[1], root / "run1", warm_start=str(before.path))


def lines(run: RunDir, file: str) -> list[str]:
    return (run.path / "vocabulary" / file).read_text(encoding="utf-8").split("\n")[:-1]


def counts(columns: dict[str, list[Any]], name: str) -> collections.Counter[str]:
    """How often each value occurs; of lists the first three count."""
    cells = columns[name]
    return collections.Counter(
        v for cell in cells for v in (cell[:3] if isinstance(cell, list) else [cell])
    )


def by_value(run: RunDir, table: Any) -> dict[tuple[str, str], np.ndarray]:
    """Rows of a table or of its moment, by field and value; some fields number their values."""
    rows: dict[tuple[str, str], np.ndarray] = {}
    left = np.array(table)
    for feature in run.schema().features:
        is_known = feature.kind == "vocabulary"
        values = (
            lines(run, f"{feature.name}.txt")
            if is_known
            else map(str, range(feature.rows() - FIRST))
        )
        names = ["<unseen>", "<missing>", *values]
        rows |= {(feature.name, name): row for name, row in zip(names, left, strict=False)}
        left = left[len(names) :]
    assert not len(left)
    return rows


def dense(model: keras.Model) -> list[np.ndarray]:
    """All weights but the tables, the schedule's step and the seeds of dropout among them."""
    tables = {id(layer.table) for layer in model.tables()}
    return [np.array(variable) for variable in model.variables if id(variable) not in tables]


class Made:
    """A model and an optimizer of a run, not trained."""

    def __init__(
        self, run: RunDir, name: str, rate: float | LinearDecay = 0.01, **own: Any
    ) -> None:
        self.run, self.features = run, run.features()
        self.model: Any = BY_NAME[name](
            self.features.rows, 2, embedding_dim=4, slots=self.features.slots, **own
        )
        self.optimizer = LazyAdam(rate)
        self.optimizer.build(self.model.trainable_variables)

    def leave(self) -> Made:
        """Leaves random best weights, then other random weights and moments in a checkpoint."""
        rng = np.random.default_rng(5)
        self.run.save_model_config(self.model)
        training = {
            "weights": variables(self.model),
            "optimizer": variables(self.optimizer),
            "state": tf.Variable(""),
        }
        for manager in (self.run.best(self.model), self.run.checkpoints(**training)):
            for variable in (*self.model.variables, *self.optimizer.variables):
                is_whole = "int" in variable.dtype
                variable.assign(
                    rng.integers(1, 999, variable.shape)
                    if is_whole
                    else rng.normal(size=variable.shape)
                )
            manager.save()
        return self

    def moments(self) -> list[tuple[Any, Any, Any]]:
        """Every weight that is trained, with its two."""
        of = self.optimizer
        return list(zip(self.model.trainable_variables, of._momentums, of._velocities, strict=True))


def cold(data: pathlib.Path, path: pathlib.Path) -> RunDir:
    """A run directory with vocabularies only."""
    run = RunDir(path)
    run.claim({}, "tafe", (data / "schema.toml").read_text(encoding="utf-8"), {})
    vocabulary.build([str(data / "train.parquet")], run.schema(), path, BadRows())
    return run


def warm(before: RunDir, data: pathlib.Path, path: pathlib.Path, **settings: Any) -> WarmStart:
    """The same, grown from those of another run."""
    run = RunDir(path)
    run.claim({}, "tafe", (data / "schema.toml").read_text(encoding="utf-8"), {})
    start = WarmStart(before, run, **settings)
    start.check_schema(run.schema())
    start.grow([str(data / "train.parquet")], run.schema(), BadRows())
    return start


def test_old_values_keep_their_lines_and_new_ones_follow(
    days: list[pathlib.Path], runs: tuple[RunDir, RunDir]
) -> None:
    before, after = runs
    today = rows_of(1, seed=2)
    for name, min_count in (("user", 2), ("tags", 1)):
        old, new, seen = (
            lines(before, f"{name}.txt"),
            lines(after, f"{name}.txt"),
            counts(today, name),
        )
        added = sorted(
            (-n, value) for value, n in seen.items() if value not in old and n >= min_count
        )
        assert new == [*old, *(value for _, value in added)]
        assert [int(age) for age in lines(after, f"{name}.age")] == [
            int(value not in seen) for value in new
        ]
    assert len(lines(after, "user.txt")) == 40 and lines(after, "user.age").count("1") == 10
    statistics = json.loads((after.path / "statistics.json").read_text())
    assert (statistics["rows"], statistics["distinct"]["user"]) == (ROWS, 30)
    users = counts(today, "user")
    known = set(lines(after, "user.txt"))
    rare = sum(count for user, count in users.items() if user not in known)
    assert statistics["unseen"]["user"] == rare / ROWS
    assert statistics["made_from"] != vocabulary.fingerprint(
        [str(days[1] / "train.parquet")], after.schema()
    )


def test_edges_and_scales_of_numbers_stay(
    days: list[pathlib.Path], runs: tuple[RunDir, RunDir], tmp_path: pathlib.Path
) -> None:
    """The new files alone would have others."""
    schema = runs[1].schema()
    vocabulary.build([str(days[1] / "train.parquet")], schema, tmp_path, BadRows())
    for field in ("price_class", "price_itself"):
        name = f"vocabulary/{field}.json"
        before, after = ((run.path / name).read_bytes() for run in runs)
        assert before == after
        assert (tmp_path / name).read_bytes() != before


@pytest.mark.parametrize(
    ("name", "own", "rates"),
    [
        (
            "tafe",
            {"num_inducing": 4, "num_layers": 2, "dropout": 0.1},
            (0.01, LinearDecay(0.5, 10)),
        ),
        (
            "single_task",
            {"embedding_dtype": "bfloat16"},
            (LinearDecay(0.5, 10), 0.25),
        ),  # a table a task
    ],
)
def test_rows_and_moments_go_with_their_values(
    days: list[pathlib.Path],
    tmp_path: pathlib.Path,
    name: str,
    own: dict[str, Any],
    rates: tuple[Any, Any],
) -> None:
    before = Made(cold(days[0], tmp_path / "run0"), name, rates[0], **own).leave()
    best = before.run.load_best()
    start = warm(before.run, days[1], tmp_path / "run1")
    after = Made(RunDir(tmp_path / "run1"), name, rates[1], **own)
    begun = [by_value(after.run, layer.table) for layer in after.model.tables()]
    start.load(after.model, after.optimizer)
    for layer, trained, new in zip(after.model.tables(), best.tables(), begun, strict=True):
        now, then = by_value(after.run, layer.table), by_value(before.run, trained.table)
        assert len(now) == len(then) + 10 and set(now) > set(then)
        for value, row in now.items():
            np.testing.assert_array_equal(row, then.get(value, new[value]))
    for here, there in zip(dense(after.model), dense(best), strict=True):
        np.testing.assert_array_equal(here, there)
    tables = {id(layer.table) for layer in after.model.tables()}
    for (weight, *moments), (_, *earlier_moments) in zip(
        after.moments(), before.moments(), strict=True
    ):
        for moment, earlier in zip(moments, earlier_moments, strict=True):
            if id(weight) not in tables:
                np.testing.assert_array_equal(np.array(moment), np.array(earlier))
                continue
            then = by_value(before.run, earlier)
            for value, row in by_value(after.run, moment).items():
                np.testing.assert_array_equal(row, then.get(value, np.zeros(4)))
    assert (
        int(after.optimizer.iterations) == int(before.optimizer.iterations) == start.iterations > 0
    )
    assert isinstance(rates[1], LinearDecay) or float(after.optimizer.learning_rate) == rates[1]
    columns = raw(before.run, days[0])
    answer, earlier_answer = after.model(after.features(columns)), best(before.features(columns))
    np.testing.assert_array_equal(
        np.array(answer), np.array(earlier_answer)
    )  # the first day's values get what they got


def raw(run: RunDir, data: pathlib.Path) -> dict[str, tf.Tensor]:
    """The test rows' columns as a model takes them."""
    (block,) = read_blocks([str(data / "test.parquet")], run.schema(), bad_rows=BadRows())
    return {column.name: tf.constant(block.columns[column.name]) for column in run.schema().inputs}


def test_gamma_goes_on_or_starts_anew(days: list[pathlib.Path], tmp_path: pathlib.Path) -> None:
    own = {"num_inducing": 4, "num_layers": 1}
    before = Made(cold(days[0], tmp_path / "run0"), "tafe", **own).leave()
    step = int(before.run.load_best().gamma.step)
    for restart, expected in ((False, step), (True, 0)):
        start = warm(before.run, days[1], tmp_path / f"{restart}", restart_gamma=restart)
        after = Made(
            RunDir(tmp_path / f"{restart}"), "tafe", gamma_decay_steps=99.0, **own
        )  # may differ
        start.load(after.model, after.optimizer)
        assert int(after.model.gamma.step) == expected and step > 0


def test_the_decay_of_the_rate_starts_anew() -> None:
    schedule = keras.optimizers.schedules.PolynomialDecay(0.3, 40, end_learning_rate=0.0)
    for start in (0, 1000):
        ours = LinearDecay.from_config(LinearDecay(0.3, 40, start).get_config())
        for step in (0, 1, 17, 40, 99):
            assert float(ours(tf.constant(start + step, tf.int64))) == pytest.approx(
                float(schedule(step)), abs=1e-8
            )
    config = TrainingConfig(learning_rate=0.3, learning_rate_decay="linear", epochs=4)
    rate = learning_rate(config, 10, 1000)
    assert isinstance(rate, LinearDecay) and float(rate(1020)) == pytest.approx(0.15)


def test_unseen_values_retire_and_the_others_keep_their_rows(
    days: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
    shape = {"num_inducing": 4, "num_layers": 1}
    run = Made(cold(days[0], tmp_path / "run0"), "tafe", **shape).leave().run
    for day in (1, 2):
        start = warm(run, days[day], tmp_path / f"run{day}", retire_after=2)
        earlier, run = run, RunDir(tmp_path / f"run{day}")
        made = Made(run, "tafe", **shape)
        start.load(made.model, made.optimizer)
        here = by_value(run, made.model.embedding.table)
        there = by_value(earlier, earlier.load_best().embedding.table)
        kept = set(here) & set(there)
        assert all(np.array_equal(here[value], there[value]) for value in kept)
        gone = {value for field, value in set(there) - kept if field == "user"}
        assert gone == (set() if day == 1 else {f"u {i}" for i in range(10)})
        made.leave()
    ages = dict(zip(lines(run, "user.txt"), lines(run, "user.age"), strict=True))
    assert ages == {
        f"u {i}": str(int(i < 20)) for i in range(10, 50)
    }  # 10 to 19 were there yesterday
    back = warm(run, days[0], tmp_path / "back", retire_after=2)
    made = Made(RunDir(tmp_path / "back"), "tafe", **shape)
    new = by_value(made.run, made.model.embedding.table)["user", "u 0"]
    back.load(made.model, made.optimizer)
    np.testing.assert_array_equal(
        by_value(made.run, made.model.embedding.table)["user", "u 0"], new
    )


def test_a_rare_value_is_seen_too(days: list[pathlib.Path], tmp_path: pathlib.Path) -> None:
    before = Made(cold(days[0], tmp_path / "run0"), "single_task").leave().run
    few = {name: cells[:40] for name, cells in rows_of(0, seed=9).items()}
    (tmp_path / "few").mkdir()
    shutil.copyfile(days[0] / "schema.toml", tmp_path / "few" / "schema.toml")
    write(tmp_path / "few" / "train.parquet", few)
    warm(before, tmp_path / "few", tmp_path / "run1", retire_after=1)
    seen = counts(few, "user")
    assert 1 in seen.values() and len(seen) < 30  # once is less than min_count
    assert lines(RunDir(tmp_path / "run1"), "user.txt") == [
        v for v in lines(before, "user.txt") if v in seen
    ]


def test_a_run_of_another_schema_or_model_is_refused(
    days: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
    data = shutil.copytree(days[1], tmp_path / "data")
    run = cold(days[0], tmp_path / "run0")
    with pytest.raises(
        RunError, match=r"run0: no run to start from, it holds no checkpoint in best/"
    ):
        WarmStart(run, RunDir(tmp_path / "x"))
    made = Made(run, "shared_bottom", bottom_units=[8], tower_units=[4]).leave()
    of_run = run.schema()
    late = [dataclasses.replace(task, matures_after="7d") for task in of_run.tasks]
    start = WarmStart(run, RunDir(tmp_path / "y"))
    start.check_schema(dataclasses.replace(of_run, time="at", tasks=tuple(late)))  # not refused
    text = small_models.SHOP.replace("min_count = 2", "min_count = 3").replace("price", "cost")
    (data / "schema.toml").write_text(text)
    with pytest.raises(RunError) as caught:
        run_train(data, tmp_path / "run1", warm_start=str(run.path))
    assert "run0: --warm_start needs the same schema, but " in str(caught.value)
    assert "min_count of feature 'user' is 2 there and 3 here" in str(caught.value)
    assert "name of feature 'cost' is None there and 'cost' here" in str(caught.value)
    assert not (tmp_path / "run1").exists()  # nothing is claimed
    start = warm(run, days[1], tmp_path / "run2")
    other = Made(RunDir(tmp_path / "run2"), "shared_bottom", bottom_units=[16], tower_units=[4])
    with pytest.raises(
        RunError, match=r"needs the same model, but bottom_units is \[8\] there and \[16\] here$"
    ):
        start.load(other.model, other.optimizer)
    other = Made(RunDir(tmp_path / "run2"), "esmm", tower_units=[4])
    with pytest.raises(
        RunError, match="same model, but model is 'SharedBottom' there and 'ESMM' here"
    ):
        start.load(other.model, other.optimizer)
    shutil.rmtree(made.run.path / "checkpoints")
    with pytest.raises(RunError, match="holds no checkpoint in checkpoints/"):
        WarmStart(run, RunDir(tmp_path / "run2"))


def test_prepared_vocabularies_in_the_run_do_not_replace_grown_ones(
    days: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
    before = Made(cold(days[0], tmp_path / "run0"), "single_task").leave()
    cold(days[1], tmp_path / "run1")  # as `tafe_tf.prepare --run_dir` leaves them
    warm(before.run, days[1], tmp_path / "run1")
    assert len(lines(RunDir(tmp_path / "run1"), "user.txt")) == 40


def test_stopped_and_started_again_it_ends_the_same(
    days: list[pathlib.Path],
    runs: tuple[RunDir, RunDir],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, whole = runs
    saves: list[object] = []
    save = Trainer._save

    def stop(trainer: Trainer, state: Any) -> None:
        save(trainer, state)
        saves.append(state)
        if len(saves) == 2:
            raise KeyboardInterrupt

    settings = {"warm_start": str(before.path), "steps_per_call": 5, "checkpoint_steps": 10}
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_save", stop)
        with pytest.raises(KeyboardInterrupt):
            run_train(days[1], tmp_path, **settings)
    monkeypatch.setattr(WarmStart, "load", None)  # the checkpoint wins
    again = run_train(days[1], tmp_path, **settings).load_best()
    for a, b in zip(again.variables, whole.load_best().variables, strict=True):
        np.testing.assert_array_equal(np.array(a), np.array(b))


def judged(run: RunDir, data: pathlib.Path) -> dict[str, float]:
    """AUC and log loss of a run's model on a day's test rows, by scikit-learn."""
    logits = np.array(run.load_best()(run.features()(raw(run, data))), np.float64)
    (block,) = read_blocks([str(data / "test.parquet")], run.schema(), bad_rows=BadRows())
    found = {}
    for i, name in enumerate(("ctr", "ctcvr")):
        found[f"auc/{name}"] = roc_auc_score(block.labels[:, i], logits[:, i])
        found[f"log_loss/{name}"] = log_loss(block.labels[:, i], expit(logits[:, i]))
    return found


def test_the_previous_model_stands_beside_the_new_one(
    days: list[pathlib.Path],
    runs: tuple[RunDir, RunDir],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, after = runs
    with flagsaver.flagsaver(data_dir=str(days[1]), run_dir=str(after.path), split="test"):
        evaluate.evaluate()  # as training did, at its end
    out = capsys.readouterr().out
    expected = {"previous_metrics": judged(before, days[1]), "metrics": judged(after, days[1])}
    for file, metrics in expected.items():
        written = json.loads((after.path / f"{file}.json").read_text())
        assert {name: written[name] for name in metrics} == pytest.approx(metrics, abs=TOLERANCE)
        assert all(f"{written[name]:.5f}" in out for name in metrics)
    assert "AUC: previous" in out and not (before.path / "previous_metrics.json").exists()
    fresh = run_train(days[1], tmp_path)
    assert expected["metrics"]["auc/ctr"] > judged(fresh, days[1])["auc/ctr"] - 0.02
    assert expected["metrics"]["auc/ctr"] > expected["previous_metrics"]["auc/ctr"]


def test_a_model_that_is_not_worse_passes(
    days: list[pathlib.Path],
    runs: tuple[RunDir, RunDir],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, after = runs
    assert Terms().judge(before, before.load_best()) is None  # it started cold
    found = Terms().judge(after, after.load_best()) or {}
    assert f"{ROWS:,} test rows: {before.path}" in capsys.readouterr().out
    for key, run in (("metrics_before", before), ("metrics", after)):
        expected = judged(run, days[1])
        assert {name: found[key][name] for name in expected} == pytest.approx(
            expected, abs=TOLERANCE
        )
    assert (found["run"], found["broken"]) == (str(before.path), [])
    untested = RunDir(shutil.copytree(after.path, tmp_path / "untested"))
    noted = json.loads((after.path / "data.json").read_text())
    (untested.path / "data.json").write_text(json.dumps({**noted, "test_files": []}))
    held_out = json.loads((after.path / "history.json").read_text())[0]["rows"]
    judgement = Terms(publish_worse=True).judge(untested, after.load_best()) or {}
    assert judgement["rows"] == f"{held_out} held-out rows"


@pytest.mark.slow
def test_a_worse_model_is_published_only_if_asked_for(
    runs: tuple[RunDir, RunDir], tmp_path: pathlib.Path
) -> None:
    before, after = runs
    worse = RunDir(shutil.copytree(after.path, tmp_path / "worse"))
    model = worse.load_best()
    for head in (model.heads, model.deep_heads):
        head.kernel.assign(-head.kernel)
    worse.save_best(model)
    with flagsaver.flagsaver(
        run_dir=str(worse.path), export_dir=str(tmp_path / "export"), version=1
    ):
        with pytest.raises(SystemExit) as ended:
            saved_model.main(["export"])
        text = str(ended.value)
        assert text.startswith(
            f"error: {worse.path}: worse than {before.path} on {ROWS:,} test rows: AUC of ctr 0."
        )
        assert "lower by more than 0.002" in text and "larger by more than 1.00%" in text
        assert text.endswith("; --publish_worse publishes it")
        assert not list((tmp_path / "export").glob("*"))
        with flagsaver.flagsaver(publish_worse=True):
            saved_model.main(["export"])
    written = json.loads((tmp_path / "export" / "1" / model_card.FILE).read_text())["previous"]
    assert (
        "AUC of ctr" in written["broken"][0]
        and written["metrics"]["auc/ctr"] < written["metrics_before"]["auc/ctr"]
    )


@pytest.mark.slow
def test_the_previous_run_can_be_named_and_may_be_gone(
    runs: tuple[RunDir, RunDir], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = runs
    note = tmp_path / "moved" / "warm_start.json"
    shutil.copytree(after.path, note.parent)
    note.write_text(json.dumps({"run": str(tmp_path / "none"), "iterations": 1}))
    with pytest.raises(
        RunError, match=r"none: the run before .*moved is gone; bring it back, or give --previous"
    ):
        publish(RunDir(note.parent), tmp_path / "export")
    compare(RunDir(note.parent), {}, after.rows.held_out())
    assert "none: the run before this one is gone" in capsys.readouterr().out
    loans = small_models.make_run(tmp_path / "loans", "loans")
    with pytest.raises(
        RunError, match=r"must have the tasks \['click', 'buy'\].* Received: \['view', 'apply'"
    ):
        Terms(previous=loans).judge(after, after.load_best())
    with pytest.raises(
        ExportError,
        match=f"{before.path}: worse than {after.path} on {ROWS:,} test rows: AUC of ct(r|cvr) ",
    ):
        Terms(previous=after).judge(before, before.load_best())


def test_a_previous_model_that_reads_a_target_of_the_rows_is_named(
    runs: tuple[RunDir, RunDir],
) -> None:
    before, after = runs
    rows = after.rows.held_out()
    first, *others = rows.schema.features
    amount = Amount(name="spend", column=first.column)
    changed: dict[str, Any] = {"features": tuple(others), "amount": amount, "group": ""}
    schema = dataclasses.replace(rows.schema, **changed)
    rule = f"{before.path}: cannot be compared with on these rows: feature {first.name!r}: column"
    with pytest.raises(RunError, match=rule):
        predecessor.evaluate(before, dataclasses.replace(rows, schema=schema))


def test_terms() -> None:
    def metrics(*values: float | None, rows: int = 9) -> Metrics:
        names = ("auc/ctr", "auc/ctcvr", "log_loss/ctr", "log_loss/ctcvr")
        return {"rows": rows, **dict(zip(names, values, strict=True))}

    def broken(before: Metrics, new: Metrics) -> list[str]:
        terms = Terms(max_auc_loss=0.01, max_log_loss_rise=0.1)
        return [text.split(" 0.")[0] for text in terms.broken(before, new, ("ctr", "ctcvr"))]

    before = metrics(0.7, 0.8, 0.5, 0.1)
    assert broken(before, metrics(0.6901, 0.9, 0.5499, 0.0)) == []
    assert broken(before, metrics(0.6901, 0.7899, 0.5501, 0.0)) == [
        "log loss of ctr",
        "AUC of ctcvr",
    ]
    assert broken(metrics(0.7, None, 0.5, 0.1), metrics(0.7, None, 0.5, 0.1101)) == [
        "log loss of ctcvr"
    ]
    nothing = metrics(None, None, None, None, rows=0)
    assert broken(nothing, nothing) == ["there is no row to tell by"]
