"""Batch scoring on Apache Beam: the same files, the same errors."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import small_models
from scoring_jobs import bad_csv, job, mkdir, parts, whole

from tafe_tf.data.formats.write import write
from tafe_tf.engines.driver import Driver, EngineError
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.batch import block_scores, scoring
from tafe_tf.serving.batch.ledger import claim


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The models that Beam's workers load, which run in this process and download no Prism."""
    pytest.importorskip("apache_beam")
    from apache_beam.runners.portability import prism_runner

    def refuse(*_: Any) -> None:
        raise RuntimeError("not in tests")

    loaded: list[str] = []

    def load(model: str, **settings: Any) -> SessionModel:
        loaded.append(model)
        return SessionModel(model, **settings)

    monkeypatch.setattr(prism_runner.PrismRunner, "run_pipeline", refuse)
    monkeypatch.setattr(block_scores, "SessionModel", load)
    yield loaded


def driver(*options: str) -> Driver:
    """Beam by some options, which is an extra."""
    from tafe_tf.engines.beam import BeamDriver

    return BeamDriver(options)


@pytest.mark.parametrize("extension", ["parquet", "csv"])
def test_beam_writes_the_same_files(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, counted: list[str], extension: str
) -> None:
    inputs = mkdir(tmp_path / "in")
    for seed, stem in enumerate("ab"):
        write(inputs / f"{stem}.{extension}", small_models.rows("shop", 150, seed))
    settings: dict[str, Any] = {"keys": ("user", "click"), "rows_per_shard": 64}
    local = job(exports["shop"], inputs / "*", output="local", **settings)
    expected = scoring.run(local)
    counted.clear()
    task = job(exports["shop"], inputs / "*", output="beam", **settings)
    assert len(claim(task)) == 2
    assert len(claim(task, each_part=True)) == (6 if extension == "parquet" else 2)
    assert scoring.run(task, driver("--runner=DirectRunner")) == expected
    assert counted == [str(exports["shop"])]  # once, for all shards
    assert len(whole(task)) == 6 and whole(task) == whole(local)
    parts(task)[4].unlink()
    assert scoring.run(task, driver("--runner=DirectRunner")) == expected
    assert whole(task) == whole(local)
    scoring.run(task, driver("--runner=DirectRunner"))
    assert len(counted) == 2  # with nothing left, no pipeline


def test_beam_says_what_a_worker_said(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, counted: list[str]
) -> None:
    path = bad_csv(mkdir(tmp_path / "in") / "a.csv")
    task = job(exports["loans"], path, rows_per_shard=64)
    said = r"^\S*a.csv: row 140, column 'item': must be an integer. Received: 'seven'$"
    for options in (["--runner=DirectRunner"], ["--runner=PortableRunner", "--job_endpoint=embed"]):
        with pytest.raises(EngineError, match=said):
            scoring.run(task, driver(*options, "--environment_type=LOOPBACK"))
    assert [part.name for part in parts(task)] == ["a-00000.parquet", "a-00001.parquet"]
    assert not (pathlib.Path(task.output) / "_SUCCESS.json").exists()
    dropping = dataclasses.replace(task, on_bad_row="drop")
    assert scoring.run(dropping, driver("--runner=DirectRunner"))["dropped"] == 2
