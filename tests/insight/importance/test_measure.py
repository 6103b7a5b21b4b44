"""Permutation importance: against a law in closed form and a permuted file; without effect."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_models

import tafe_tf
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.write import write
from tafe_tf.insight.importance.fields import Field, chosen, fields_of, permuted
from tafe_tf.insight.importance.held_rows import Arrays, HeldRows, read
from tafe_tf.insight.importance.measure import measure, order_of
from tafe_tf.metrics import auc
from tafe_tf.schema import Feature, Schema, Task
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run import Run

SCHEMA = Schema(
    name="law",
    features=tuple(
        Feature(name=name, kind="integer", size=9) for name in ("strong", "weak", "noise", "unread")
    ),
    tasks=(Task(name="click"), Task(name="buy")),
)
FIELDS = [Field(feature.name, {"ids": [i]}) for i, feature in enumerate(SCHEMA.features)]
VALUES = 8  # of each field, all as likely
EFFECT = np.array([0.5, 0.15, 0.0, 0.0])  # on the true logit, for each step of a value
LEARNED = np.array([0.5, 0.15, 0.1, 0.0])  # what a model that has learned some noise makes of it


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = small_models.make_run(tmp_path_factory.mktemp("stories"), "stories")
    return tafe_tf.load(directory.path)


def logits_of(ids: np.ndarray, effect: np.ndarray) -> np.ndarray:
    score = (ids - (VALUES - 1) / 2) @ effect
    return np.stack([score - 1.0, score - 3.0], axis=1)


def drawn(count: int, seed: int) -> HeldRows:
    """Rows of the law."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, VALUES, (count, 4))
    p = 1 / (1 + np.exp(-logits_of(ids, EFFECT)))
    depth = (rng.random(count)[:, None] < p).sum(axis=1)
    labels = {
        "depth": depth.astype(np.uint8),
        "unknown": np.zeros(count, np.uint8),
        "weight": np.ones(count, np.float32),
    }
    return HeldRows({"ids": ids}, labels)


def predict(inputs: Arrays) -> np.ndarray:
    return logits_of(inputs["ids"], LEARNED).astype(np.float32)


def true_drop(field: int) -> float:
    """The drop of ctr's AUC over all 8^3 combinations of values, and 8 more for the field's own."""
    values = np.stack(np.meshgrid(*[np.arange(VALUES)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    ids = np.concatenate([values, np.zeros((len(values), 1), int)], axis=1)
    p = 1 / (1 + np.exp(-logits_of(ids, EFFECT)[:, 0]))
    before = auc(np.round(logits_of(ids, LEARNED)[:, 0], 6), p, 1 - p)
    scores = []
    for value in range(VALUES):
        other = ids.copy()
        other[:, field] = value
        scores.append(np.round(logits_of(other, LEARNED)[:, 0], 6))
    after = auc(np.concatenate(scores), np.tile(p, VALUES), np.tile(1 - p, VALUES))
    assert before is not None and after is not None
    return before - after


def test_drops_are_those_of_the_law() -> None:
    found = measure(drawn(20_000, seed=1), predict, FIELDS, SCHEMA)
    of_ctr = {one.field: one for one in found.fields if one.output == "ctr"}
    names = [one.field for one in found.fields if one.output == "ctr"]
    assert names[:2] == ["strong", "weak"]
    for place, name in enumerate(["strong", "weak", "noise"]):
        low, high = of_ctr[name].interval or (0.0, 0.0)
        assert low <= true_drop(place) <= high
    assert true_drop(0) > 5 * true_drop(1) > 0.01 and abs(true_drop(2)) < 1e-12
    assert of_ctr["unread"].auc_drop == 0.0
    assert of_ctr["unread"].interval == pytest.approx((0.0, 0.0), abs=1e-15)
    assert [one.output for one in found.fields[:3]] == ["ctr", "ctcvr", "cvr"]
    assert (of_ctr["strong"].log_loss_rise or 0.0) > 0.1


def test_the_interval_of_a_field_without_effect_holds_0_as_often_as_it_says() -> None:
    """The model has learned noise of it, with which it predicts; 300 samples of 400 rows."""
    of_auc = 0
    of_log_loss = 0
    for seed in range(300):
        found = measure(drawn(400, seed), predict, FIELDS[2:3], SCHEMA, repeats=3)
        low, high = found.fields[0].interval or (1.0, 1.0)
        of_auc += low <= 0.0 <= high
        low, high = found.fields[0].log_loss_interval or (1.0, 1.0)
        of_log_loss += low <= 0.0 <= high
    assert of_auc / 300 > 0.92 and of_log_loss / 300 > 0.92


@pytest.mark.parametrize("name", ["item", "recent", "hour"])
def test_a_drop_is_that_of_a_file_permuted_by_hand(run: Run, name: str) -> None:
    columns = {"recent": ["history", "history_age"]}.get(name, [name])
    test = pq.read_table(run.directory.rows.test_files()[0])
    order = pa.array(order_of(len(test), 0))
    by_hand = test
    for column in columns:
        place = test.column_names.index(column)
        by_hand = by_hand.set_column(place, column, test[column].take(order))
    before = run.evaluate(test)
    after = run.evaluate(by_hand)
    found = run.importance(test, fields=[name], repeats=1, verbose=False)
    assert [one.output for one in found.fields] == ["ctr", "ctcvr", "cvr"]
    for one in found.fields:
        drop = (before[f"auc/{one.output}"] or 0) - (after[f"auc/{one.output}"] or 0)
        rise = (after[f"log_loss/{one.output}"] or 0) - (before[f"log_loss/{one.output}"] or 0)
        assert one.auc_drop == pytest.approx(drop, abs=1e-9)
        assert one.log_loss_rise == pytest.approx(rise, rel=1e-5)
        assert rise != 0.0


def test_what_the_run_keeps(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run.importance(repeats=2)
    assert "600 rows are held, 0 MiB; 2 permutations a field" in capsys.readouterr().out
    kept = json.loads((run.path / "importance.json").read_text())
    assert (kept["rows"], kept["repeats"]) == (600, 2)
    assert {one["field"] for one in kept["fields"]} == {"user", "item", "hour", "recent"}
    assert set(kept["fields"][0]) == {
        *("field", "output", "auc_drop", "interval", "log_loss_rise", "log_loss_interval")
    }
    assert kept["fields"][0]["auc_drop"] == found.fields[0].auc_drop
    run.directory.files.check("importance.json")
    assert "importance.json" in json.loads((run.path / "manifest.json").read_text())
    again = run.importance(repeats=2, fields=["hour"])
    assert [one for one in found.fields if one.field == "hour"] == list(again.fields)
    assert json.loads((run.path / "importance.json").read_text()) == kept


def test_swapped_test_rows_are_not_kept_as_the_runs_own(
    run: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    other = tmp_path / "test.parquet"
    write(other, small_models.rows("stories", 70, seed=8))
    noted = json.loads((tmp_path / "run" / "data.json").read_text())
    noted["test_files"] = [str(other)]
    (tmp_path / "run" / "data.json").write_text(json.dumps(noted))
    moved = tafe_tf.load(tmp_path / "run")
    path = moved.path / "importance.json"
    before = path.read_bytes() if path.exists() else None
    assert moved.importance(repeats=1).rows == 70
    assert "these are not the test rows of training" in capsys.readouterr().out
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_run_that_another_process_holds_costs_no_work(run: Run, tmp_path: pathlib.Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    code = (
        "import sys, time\n"
        "from tafe_tf.data.lock import locked\n"
        "with locked(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            held = tafe_tf.load(tmp_path / "run")
            with (
                mock.patch("tafe_tf.insight.importance.held_rows.read") as read_rows,
                pytest.raises(ValueError, match="wait until it has ended"),
            ):
                held.importance()
            read_rows.assert_not_called()
        finally:
            holder.kill()


def test_a_sample_is_the_same_however_rows_are_batched(run: Run) -> None:
    files = run.directory.rows.test_files()
    whole = read(run.data(files, 4096), run.features)
    samples = [read(run.data(files, size), run.features, 100) for size in (32, 4096)]
    for name, values in samples[0].inputs.items():
        np.testing.assert_array_equal(values, samples[1].inputs[name])
    assert samples[0].count == 100 and whole.count == 600
    assert whole.bytes > 5 * samples[0].bytes
    drawn_depths = np.bincount(samples[0].labels["depth"], minlength=3)
    expected = np.bincount(whole.labels["depth"], minlength=3) / 6
    assert (np.abs(drawn_depths - expected) < 4 * np.sqrt(expected)).all()


def test_fields_and_their_columns(run: Run) -> None:
    fields = fields_of(run.features)
    assert [field.name for field in fields] == list(run.schema.fields)
    places = {field.name: list(field.places["ids"]) for field in fields}
    assert places == {
        "user": [0],
        "item": [1],
        "hour": [6],
        "recent": [2, 3, 4, 5, 7, 8, 9, 10],
    }
    (together,) = chosen(fields, ["hour+user"])
    inputs = {"ids": np.arange(22).reshape(2, 11), "weights": np.zeros((2, 11))}
    moved = permuted(inputs, together, np.array([1, 0]))["ids"]
    assert moved[0].tolist() == [11, 1, 2, 3, 4, 5, 17, 7, 8, 9, 10]
    assert inputs["ids"][0, 0] == 0


def test_what_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match=r"must be some of user, item, hour, .* Received: 'shop'"):
        run.importance(fields=["user+shop"])
    with pytest.raises(ValueError, match=r"`repeats` must be 1 or more\. Received: 0"):
        run.importance(repeats=0)
    no_rows = pq.read_table(run.directory.rows.test_files()[0]).slice(0, 0)
    with pytest.raises(DataError, match="rows: holds no rows"):
        run.importance(no_rows, verbose=False)


def test_planted_fields_of_a_trained_run_come_in_their_order(tmp_path: pathlib.Path) -> None:
    names = [feature.name for feature in SCHEMA.features]
    tables = {}
    for split, seed, count in (("train", 1, 8_000), ("test", 2, 4_000)):
        rows = drawn(count, seed)
        columns = dict(zip(names, rows.inputs["ids"].T, strict=True))
        depth = rows.labels["depth"]
        tables[split] = pa.table({**columns, "click": depth > 0, "buy": depth > 1})
    run = fit(
        DataConfig(**tables, schema=SCHEMA),
        tmp_path / "run",
        model=ModelConfig(name="shared_bottom", arguments={"bottom_units": [16]}),
        training=TrainingConfig(epochs=3, batch_size=256, learning_rate=0.01),
        verbose=False,
    )
    found = run.importance(verbose=False)
    of_ctr = {one.field: one for one in found.fields if one.output == "ctr"}
    assert list(of_ctr)[:2] == ["strong", "weak"]
    for place, name in enumerate(["strong", "weak"]):
        assert of_ctr[name].auc_drop == pytest.approx(true_drop(place), abs=0.02)
    for name in ("noise", "unread"):  # neither has an effect; the model has learned some noise
        low, high = of_ctr[name].interval or (1.0, 1.0)
        assert low < 0.0 < high
    low, _ = of_ctr["weak"].interval or (0.0, 0.0)
    assert low > 0.0


@pytest.mark.slow
def test_the_command(run: Run) -> None:
    arguments = [f"--run_dir={run.path}", "--rows=200", "--repeats=2"]
    command = [sys.executable, "-m", "tafe_tf.importance", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "what 200 rows lose by 2 permutations of a field" in done.stdout
    kept = json.loads((run.path / "importance.json").read_text())
    assert kept["rows"] == 200
    assert {one["field"] for one in kept["fields"]} == {"user", "item", "hour", "recent"}
    for one in kept["fields"]:
        assert f"{one['auc_drop']:.4f} [{one['interval'][0]:.4f}" in done.stdout
    some = subprocess.run([*command, "--fields=hour,user+item"], capture_output=True, text=True)
    assert some.returncode == 0, some.stderr
    for effect in run.importance(sample=200, repeats=2, fields=["hour", "user+item"]).fields:
        assert f"{effect.auc_drop:.4f} [" in some.stdout
    assert json.loads((run.path / "importance.json").read_text()) == kept
