"""What a run notes of its rows, and what happens when the rows or the settings change."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import small_models

from tafe_tf.data.batches.batch import Part
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError
from tafe_tf.export import held_out_rows
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.errors import RunError
from tafe_tf.training.fit import fit
from tafe_tf.training.noted_rows import NotedRows
from tafe_tf.training.run import Run
from tafe_tf.training.run_dir import RunDir

MODEL = ModelConfig(name="shared_bottom", arguments={"embedding_dim": 4, "bottom_units": [8]})
FAST: dict[str, Any] = {"epochs": 1, "batch_size": 64, "intercept_rows": 500}


def train(data: pathlib.Path, run_dir: pathlib.Path, **settings: Any) -> Run:
    return fit(
        DataConfig.in_directory(data),
        run_dir,
        model=MODEL,
        training=TrainingConfig(**{**FAST, **settings}),
        verbose=False,
    )


def weights(run: Run) -> list[np.ndarray]:
    return [np.array(variable) for variable in run.directory.load_best().variables]


def contents(directory: pathlib.Path) -> dict[str, bytes]:
    """The bytes of every file below a directory."""
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in files}


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "schema.toml").write_text(small_models.SHOP)
    write(directory / "train-1.csv.gz", plain_rows(200, seed=0))
    write(directory / "train-2.csv.gz", plain_rows(200, seed=1))
    write(directory / "test.csv.gz", plain_rows(100, seed=2))
    return directory


def test_rows_beside_those_of_training_may_lack_a_rare_column(tmp_path: pathlib.Path) -> None:
    """A TFRecord file leaves out what no record has; the training files tell that it exists."""
    (tmp_path / "schema.toml").write_text(small_models.SHOP)
    rows = plain_rows(200, seed=0)
    (rare, *_) = [name for name in rows if name not in ("click", "buy", "user")]
    without = {name: values for name, values in rows.items() if name != rare}
    for name, columns in (
        *(("train-1", without), ("train-2", rows)),
        *(("valid", without), ("test", without)),
    ):
        write(tmp_path / f"{name}.tfrecord", columns)
    run = train(tmp_path, tmp_path / "run")
    test = tmp_path / "test.tfrecord"
    metrics = run.evaluate([str(test)])
    assert metrics["rows"] == 200
    assert len(run.predict([str(test)])["ctr"]) == 200
    held_out = run.directory.rows.held_out()
    assert sum(len(batch.labels) for batch in held_out.evaluation_batches("valid")) == 200


def plain_rows(count: int, seed: int) -> dict[str, list[object]]:
    return small_models.rows("shop", count, seed)


def test_a_finished_run_is_not_trained_on_other_files(
    shop: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run_dir = tmp_path / "run"
    train(shop, run_dir)
    before = contents(run_dir)
    changes = {
        "train-3.csv.gz is new": lambda: write(shop / "train-3.csv.gz", plain_rows(50, seed=3)),
        "train-2.csv.gz is gone": lambda: (shop / "train-2.csv.gz").unlink(),
        "train-1.csv.gz holds other bytes": lambda: write(
            shop / "train-1.csv.gz", plain_rows(200, seed=4)
        ),
        "valid.csv.gz is new": lambda: write(shop / "valid.csv.gz", plain_rows(50, seed=3)),
    }
    original = tmp_path / "original"
    shutil.copytree(shop, original)
    for what, change in changes.items():
        change()
        offer = rf"; nothing was done\. Give another --run_dir, and --warm_start={run_dir} if"
        with pytest.raises(RunError, match=rf"was trained with other files: {what}{offer}"):
            train(shop, run_dir)
        assert contents(run_dir) == before
        shutil.rmtree(shop)
        shutil.copytree(original, shop)
    train(shop, run_dir)  # a copy has other times of change, and is the same data


def test_other_test_rows_are_for_evaluate(shop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    train(shop, tmp_path / "run")
    write(shop / "test.csv.gz", plain_rows(70, seed=9))
    with pytest.raises(RunError, match=r"test.csv.gz holds other bytes.*`tafe evaluate"):
        train(shop, tmp_path / "run")


def test_a_run_without_notes_goes_on(shop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run_dir = tmp_path / "run"
    train(shop, run_dir)
    noted = json.loads((run_dir / "data.json").read_text())
    for key in ("inputs", "on_bad_row"):  # as an earlier version left it
        del noted[key]
    (run_dir / "data.json").write_text(json.dumps(noted))
    write(shop / "train-3.csv.gz", plain_rows(50, seed=3))
    assert NotedRows(run_dir).bad_rows().policy == "raise"
    train(shop, run_dir)


@pytest.mark.slow
def test_more_epochs_end_as_if_they_had_been_asked_for_at_once(
    shop: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    straight = train(shop, tmp_path / "straight", epochs=3, patience=9)
    train(shop, tmp_path / "in two", epochs=1, patience=9)
    in_two = train(shop, tmp_path / "in two", epochs=3, patience=9)
    for x, y in zip(weights(straight), weights(in_two), strict=True):
        np.testing.assert_array_equal(x, y)
    assert len(in_two.history) == 3
    assert "--epochs=3\n" in (tmp_path / "in two" / "flags.txt").read_text()
    with pytest.raises(RunError, match=r"another run.*'--epochs=2', '--epochs=3'"):
        train(shop, tmp_path / "in two", epochs=2, patience=9)
    with pytest.raises(RunError, match=r"another run.*'--epochs=5'.*'--seed=1'"):
        train(shop, tmp_path / "in two", epochs=5, patience=9, seed=1)


def test_a_decayed_learning_rate_has_no_more_epochs(
    shop: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train(shop, tmp_path / "run", learning_rate_decay="linear")
    with pytest.raises(ValueError, match=r"--epochs cannot be raised.*Received: 2"):
        train(shop, tmp_path / "run", learning_rate_decay="linear", epochs=2)


def test_a_run_that_stopped_early_says_why_it_does_nothing(
    shop: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {**FAST, "learning_rate": 0.0, "patience": 1, "epochs": 4}
    settings["learning_rate_decay"] = "none"
    data = DataConfig.in_directory(shop)
    fit(data, tmp_path / "run", model=MODEL, training=TrainingConfig(**settings))
    capsys.readouterr()
    settings["epochs"] = 9
    fit(data, tmp_path / "run", model=MODEL, training=TrainingConfig(**settings))
    out = capsys.readouterr().out
    assert "2 epochs were trained: auc had stopped improving (--patience)" in out


def test_a_failed_start_is_no_other_run(shop: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = plain_rows(200, seed=0)
    rows["click"][6], rows["buy"][6] = 0, 1
    write(shop / "train-1.csv.gz", rows)
    run_dir = tmp_path / "run"
    with pytest.raises(ValueError, match="row 7, column 'buy'"):
        train(shop, run_dir)
    schema = (shop / "schema.toml").read_text()
    (shop / "schema.toml").write_text(schema.replace("buckets = 40", "buckets = 50"))
    train(shop, run_dir, on_bad_row="drop", batch_size=32)
    with pytest.raises(RunError, match=r"flags.txt: this directory holds another run"):
        train(shop, run_dir, on_bad_row="drop", batch_size=64)
    (shop / "schema.toml").write_text(schema)
    with pytest.raises(RunError, match=r"schema.toml: this directory holds another run"):
        train(shop, run_dir, on_bad_row="drop", batch_size=32)


def test_a_failed_start_leaves_the_users_own_schema(shop: pathlib.Path) -> None:
    rows = plain_rows(200, seed=0)
    rows["click"][6], rows["buy"][6] = 0, 1
    write(shop / "train-1.csv.gz", rows)
    schema = (shop / "schema.toml").read_bytes()
    for _ in range(2):  # the run's directory is the data's
        with pytest.raises(ValueError, match="row 7, column 'buy'"):
            train(shop, shop)
        assert (shop / "schema.toml").read_bytes() == schema


def test_two_processes_do_not_train_in_one_directory(
    shop: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run_dir = tmp_path / "run"
    rule = r"run: process \d+ .* writes in this directory; wait .*, or give another --run_dir"
    with RunDir(run_dir).locked(), pytest.raises(LockError, match=rule):
        train(shop, run_dir)
    train(shop, run_dir)
    assert not (run_dir / ".lock").exists()


@pytest.mark.slow
def test_the_policy_of_training_holds_for_the_whole_way(
    shop: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name, row in (("train-1", 6), ("test", 3)):
        rows = plain_rows(200, seed=row)
        rows["click"][row], rows["buy"][row] = 0, 1
        write(shop / f"{name}.csv.gz", rows)
    run = train(shop, tmp_path / "run", on_bad_row="drop", valid_fraction=0.5)
    assert run.metrics is not None and run.metrics["rows"] == 199
    noted = run.directory.rows
    assert noted.bad_rows().policy == "drop"
    counts = json.loads((run.path / "data.json").read_text())["rows"]
    assert counts == {"read": 400, "dropped": 1}
    train(shop, tmp_path / "run", on_bad_row="drop", valid_fraction=0.5)  # reads them no more
    assert json.loads((run.path / "data.json").read_text())["rows"] == counts
    test = noted.test()
    assert test is not None
    parts: list[tuple[FunnelData, Part]] = [
        (noted.held_out(), "valid"),
        (noted.held_out(), "train"),
        (test, "all"),
    ]
    used = 0
    for data, part in parts:
        used += sum(len(batch.labels) for batch in data.evaluation_batches(part))
    assert used == 2 * 200 - 1 + 199
    assert run.evaluate([str(shop / "test.csv.gz")])["rows"] == 199
    logits, _, _ = held_out_rows.predictions(run.directory, run.model, run.features)
    assert 150 < len(logits) < 250  # what calibration is fitted on
    run.export(tmp_path / "export")
    warm = train(shop, tmp_path / "warm", warm_start=str(tmp_path / "run"))
    assert warm.directory.rows.bad_rows().policy == "drop"


def test_states_of_another_run_are_not_gone_on_from(
    shop: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    train(shop, own)
    train(shop, other, seed=1, epochs=2)
    for path in (other / "checkpoints").iterdir():
        shutil.copy(path, own / "checkpoints")
    with pytest.raises(RunError, match=r"ckpt-\d+: is a state of another run; bring back"):
        train(shop, own, epochs=3)


def test_a_trained_run_without_its_settings_is_not_taken_over(
    shop: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    train(shop, tmp_path / "run")
    (tmp_path / "run" / "flags.txt").unlink()
    with pytest.raises(RunError, match=r"flags\.txt: is gone, and .* holds trained weights"):
        train(shop, tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", r"must be a JSON object. Received: \[\]"),
        ("null", "must be a JSON object. Received: None"),
        ('{"test_files": 5}', "test_files must be a list of paths. Received: 5"),
        ('{"on_bad_row": "x"}', 'on_bad_row must be "raise" or "drop". Received: \'x\''),
        ('{"max_bad_rows": 7}', "max_bad_rows must be a text. Received: 7"),
        ('{"inputs": {"train": [["a"]]}}', "inputs must be a list of fingerprints"),
        ('{"inputs": []}', "inputs must be a list of fingerprints"),
    ],
)
def test_notes_of_another_form_are_refused(tmp_path: pathlib.Path, text: str, told: str) -> None:
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(RunError, match=rf"data\.json: {told}"):
        NotedRows(tmp_path).bad_rows()
