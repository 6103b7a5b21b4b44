"""A log of one folder a day, in part files without an ending: trained, gone on with, evaluated."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import small_models
from absl import flags as absl_flags
from absl.testing import flagsaver

import tafe_tf
from tafe_tf import evaluate, prepare, train
from tafe_tf.data.atomic import read_json
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.splits import Sources
from tafe_tf.data.formats.write import write
from tafe_tf.features.vocabulary import STATISTICS
from tafe_tf.first_look.look import look
from tafe_tf.first_look.start import start_problems
from tafe_tf.training.errors import RunError
from tafe_tf.training.run_dir import RunDir

FLAGS = absl_flags.FLAGS
COUNTRY = '[[features]]\nname = "country"\nkind = "vocabulary"\nmin_count = 1\n'
SETTINGS: dict[str, Any] = {"model": "shared_bottom", "epochs": 1, "batch_size": 50}
ROWS = 150  # of a file


def write_day(log: pathlib.Path, day: int) -> None:
    for seed, country in enumerate(("AT", "DE")):
        folder = log / f"dt=2026-11-{day:02d}" / f"country={country}"
        folder.mkdir(parents=True)
        write(log / "part.parquet", small_models.rows("shop", ROWS, seed=2 * day + seed))
        shutil.move(log / "part.parquet", folder / "part-00000")
        (folder / "_SUCCESS").touch()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Four days of two countries, 08 to 11, and the schema."""
    log = tmp_path_factory.mktemp("data") / "log"
    log.mkdir()
    for day in (8, 9, 10, 11):
        write_day(log, day)
    (log.parent / "schema.toml").write_text(small_models.SHOP + COUNTRY)
    return log


def given(log: pathlib.Path, **values: Any) -> dict[str, Any]:
    """The flags that name the log's files and its schema."""
    texts = {name: [f"{log}/dt=2026-11-{days}"] for name, days in values.items()}
    return {**texts, "input_format": "parquet", "schema": str(log.parent / "schema.toml")}


def without_seconds(metrics: Any) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "seconds"}


def run_with(main: Any, **values: Any) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(**values):
        main()


def test_shards_hold_the_keys_of_folders(
    log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shards"
    run_with(
        lambda: prepare.main(["prepare"]),
        **given(log, train="{08..10}", test="11"),
        output_dir=str(out),
        format="parquet",
    )
    assert "900 train, 300 test rows in shards, 0 dropped" in capsys.readouterr().out
    assert (out / "vocabulary" / "country.txt").read_text().split() == ["AT", "DE"]
    assert read_json(out / STATISTICS)["rows"] == 900
    sources = read_json(out / "prepared.json")["sources"]
    assert next(iter(sources)) == "dt=2026-11-08/country=AT/part-00000" and len(sources) == 8
    with pytest.raises(SystemExit, match=r"was prepared with splits .*take another directory"):
        run_with(
            lambda: prepare.main(["prepare"]),
            **given(log, train="{08..11}"),
            output_dir=str(out),
        )


def test_a_look_at_patterns_says_what_is_wrong(log: pathlib.Path) -> None:
    schema = str(log.parent / "schema.toml")
    days = Sources(train=(f"{log}/dt=2026-11-{{08..10}}",), test=(f"{log}/dt=2026-11-11",))
    with_format = dataclasses.replace(days, input_format="parquet")
    assert look(with_format, schema).rows == {"train": 6 * ROWS, "test": 2 * ROWS}
    assert start_problems(with_format, schema) == []
    (problem,) = look(days, schema).problems
    assert problem.endswith(
        "files without an ending need --input_format, one of csv, parquet, orc, tfrecord"
    )
    missing = dataclasses.replace(with_format, valid=(f"{log}/dt=2026-11-{{10..12}}",))
    (problem,) = start_problems(missing, schema)
    assert problem.endswith("dt=2026-11-12: there is no such file or directory")
    assert start_problems(with_format)[0].startswith("--schema must be given where --train names")


def test_a_folder_or_patterns_not_both() -> None:
    with pytest.raises(DataError, match="--data_dir and --test must not both be given"):
        Sources(data_dir="data", test=("test.csv",))


@pytest.mark.slow
def test_the_next_day_goes_on_from_the_last(
    log: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = given(log, train="{08..09}", valid="10", test="11")
    first = tmp_path / "first"
    run_with(train.train, **days, **SETTINGS, run_dir=str(first))
    noted = read_json(first / "data.json")
    names = [name for name, _, _ in noted["inputs"]["train"]]
    assert names == [
        f"dt=2026-11-{day}/country={country}/part-00000"
        for day in ("08", "09")
        for country in ("AT", "DE")
    ]
    run_with(train.train, **days, **SETTINGS, run_dir=str(first))  # is opened, not trained
    with pytest.raises(RunError, match=r"holds another run.*dt=2026-11-10"):
        run_with(
            train.train,
            **given(log, train="{08..10}", test="11"),
            **SETTINGS,
            run_dir=str(first),
        )
    second = tmp_path / "second"
    run_with(
        train.train,
        **given(log, train="10", valid="10", test="11"),
        **SETTINGS,
        run_dir=str(second),
        warm_start=str(first),
    )
    assert (second / "vocabulary" / "country.txt").read_text().split() == ["AT", "DE"]
    assert read_json(second / "data.json")["train_files"] == [
        f"{log}/dt=2026-11-10/country={country}/part-00000" for country in ("AT", "DE")
    ]
    same = tafe_tf.fit(
        log.parent / "schema.toml",
        train=[f"{log}/dt=2026-11-08/**", f"{log}/dt=2026-11-09"],
        valid=f"{log}/dt=2026-11-10",
        test=f"{log}/dt=2026-11-11",
        input_format="parquet",
        run_dir=tmp_path / "same",
        verbose=False,
        **SETTINGS,
    )
    by_command = RunDir(first).load_best()
    for ours, theirs in zip(same.model.get_weights(), by_command.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    metrics = without_seconds(same.metrics)
    assert metrics == without_seconds(read_json(first / "metrics.json"))
    capsys.readouterr()
    run_with(evaluate.evaluate, run_dir=str(first))  # its own files, which have no ending either
    assert without_seconds(read_json(first / "metrics.json")) == metrics
    run_with(
        evaluate.evaluate,
        run_dir=str(first),
        test=[f"{log}/dt=2026-11-10"],
        input_format="parquet",
    )
    assert "these are not the test rows of training" in capsys.readouterr().out
    evaluated = same.evaluate(f"{log}/dt=2026-11-10/*", input_format="parquet")
    assert evaluated["rows"] == 2 * ROWS
    write_day(log, 12)
    (log / "dt=2026-11-09" / "country=CH").mkdir()
    shutil.copy(log / "dt=2026-11-12/country=AT/part-00000", log / "dt=2026-11-09/country=CH")
    with pytest.raises(RunError, match=r"country=CH/part-00000"):
        run_with(train.train, **days, **SETTINGS, run_dir=str(first))
