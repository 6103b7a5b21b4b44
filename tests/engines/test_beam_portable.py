"""Beam's portable runner, whose job service and workers are processes of their own."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import portable_beam
import pytest
import small_models
from clusters import ENVIRONMENT, need
from preparation_data import content, make_data
from scoring_jobs import job, mkdir, whole

from tafe_tf import schema_toml
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards.job import ShardJob
from tafe_tf.engines.local import LocalEngine
from tafe_tf.engines.preparation import prepare_shards
from tafe_tf.serving.batch import scoring

pytestmark = [pytest.mark.engines, pytest.mark.slow]


def test_scores_and_shards_are_the_local_bytes(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    need("apache_beam")
    path = mkdir(tmp_path / "in") / "a.parquet"
    write(path, small_models.rows("shop", 1000))
    local = job(exports["shop"], path, output="local", rows_per_shard=250)
    scoring.run(local)
    dealt = job(exports["shop"], path, output="dealt", rows_per_shard=250)
    data = make_data(tmp_path / "data", "parquet")
    task = ShardJob(
        data_dir=str(data),
        schema=schema_toml.load(data / "schema.toml"),
        schema_text=(data / "schema.toml").read_text(encoding="utf-8"),
        output=str(tmp_path / "prepared"),
        on_bad_row="drop",
    )
    prepare_shards(task, LocalEngine())
    score = [
        *("score", f"--model={exports['shop']}", f"--input={path}", f"--output={dealt.output}"),
        *("--rows_per_shard=250", "--native=off"),
    ]
    prepare = [
        *("prepare", f"--data_dir={data}", f"--output_dir={tmp_path / 'dealt_shards'}"),
        "--on_bad_row=drop",
    ]
    commands = (" ".join(score), " ".join(prepare))
    done = subprocess.run(
        [sys.executable, portable_beam.__file__, str(mkdir(tmp_path / "logs")), *commands],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert whole(dealt) == whole(local) != {}
    assert content(tmp_path / "dealt_shards") == content(tmp_path / "prepared")
