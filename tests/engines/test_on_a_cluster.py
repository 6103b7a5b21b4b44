"""The page "On a cluster": all of its blocks run, in their order, and end with the same scores."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import object_stores
import pyarrow.parquet as pq
import pytest
from clusters import ENVIRONMENT, DaskCluster, SparkCluster, need
from servers import free_port

from tafe_tf.data.formats.write import write
from tafe_tf.storage import stores
from tafe_tf.storage.staging import fetch_tree, publish_tree

pytestmark = [pytest.mark.engines, pytest.mark.slow]

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "on_a_cluster.md"
ROWS = 3000  # a day
SCHEMA = """name = "shop"

[[tasks]]
name = "click"

[[tasks]]
name = "buy"

[[features]]
name = "user"
kind = "vocabulary"

[[features]]
name = "item"
kind = "vocabulary"
dtype = "int64"
"""


def day(seed: int) -> dict[str, list[object]]:
    """Rows whose clicks depend on the user, and whose purchases depend on the item."""
    numbers = np.random.default_rng(seed)
    users = numbers.integers(0, 50, ROWS)
    items = numbers.integers(0, 20, ROWS)
    click = numbers.random(ROWS) < 0.1 + 0.8 * (users % 2)
    buy = click & (numbers.random(ROWS) < 0.1 + 0.8 * (items % 2))
    return {
        "user": [f"u{user}" for user in users],
        "item": items.tolist(),
        "click": click.astype(int).tolist(),
        "buy": buy.astype(int).tolist(),
    }


@pytest.fixture
def environment(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The variables of the page, beside servers that run and a log that is in the bucket."""
    need("pyspark")
    need("distributed")
    for name in ("store", "spark", "dask", "bin"):
        (tmp_path / name).mkdir()
    log = tmp_path / "log"
    for place, seed in (
        ("train/dt=2026-11-01", 1),
        ("train/dt=2026-11-02", 2),
        ("test/dt=2026-11-03", 3),
    ):
        (log / place).mkdir(parents=True)
        write(log / place / "part-0.parquet", day(seed))
    (log / "schema.toml").write_text(SCHEMA)
    tafe = tmp_path / "bin" / "tafe"
    tafe.write_text(f'#!/bin/sh\nexec {sys.executable} -m tafe_tf "$@"\n')
    tafe.chmod(0o755)
    with object_stores.s3_server(tmp_path / "store") as port:
        store = object_stores.s3_variables(port)
        for name, value in store.items():
            monkeypatch.setenv(name, value)
        stores._make.cache_clear()
        publish_tree(log, "s3://shop/events")
        with (
            SparkCluster(tmp_path / "spark", store) as spark,
            DaskCluster(tmp_path / "dask", store) as dask,
        ):
            yield {
                **ENVIRONMENT,
                **store,
                "MASTER": spark.address,
                "SCHEDULER": dask.address,
                "XDG_CACHE_HOME": str(tmp_path / "cache"),
                "PYSPARK_PYTHON": sys.executable,
                "PATH": os.pathsep.join(
                    [
                        str(tmp_path / "bin"),
                        str(pathlib.Path(sys.executable).parent),
                        ENVIRONMENT["PATH"],
                    ]
                ),
            }
        stores._make.cache_clear()


def script() -> str:
    """All blocks of the page that are to run, as one script; the server has a free port."""
    lines = ["set -eux", "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for language, block in blocks:
        if language == "bash":
            lines.append(block)
        if language == "python":
            lines.append(f"{sys.executable} - <<'END'\n{block}END")
    assert len(lines) > 8
    return "\n".join(lines).replace("8500", str(free_port()))


def test_every_block_of_the_page_runs(environment: dict[str, str], tmp_path: pathlib.Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    done = subprocess.run(
        ["bash", "-c", script()],
        cwd=there,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    work = tmp_path / "written"
    written = {}
    for way in ("by_spark", "by_dask", "by_one"):
        fetch_tree(f"s3://shop/{way}", work / way)
        written[way] = {path.name: path.read_bytes() for path in (work / way).glob("*.parquet")}
    assert written["by_spark"] == written["by_dask"] == written["by_one"] != {}
    (path,) = (work / "by_one").glob("*.parquet")
    scores = pq.read_table(path).to_pydict()
    answers = pq.read_table(there / "answers.parquet").to_pydict()
    assert len(scores["row"]) == ROWS
    for name in ("ctr", "ctcvr", "cvr"):
        np.testing.assert_allclose(answers[name], scores[name], atol=1e-6)
    clicked = np.array(day(3)["click"], bool)
    found = np.array(scores["ctr"])
    assert found[clicked].mean() > 2 * found[~clicked].mean()  # it has learned
