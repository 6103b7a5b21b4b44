"""Which driver the flags ask for, and what a worker says of a part that fails."""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tafe_tf.engines.driver import EngineError
from tafe_tf.engines.runners import driver_of
from tafe_tf.engines.worker import attempt, errand_of


@dataclasses.dataclass(frozen=True)
class Rows:
    """A part of some rows."""

    path: str
    rows: int


def work(kind: str, part: Rows) -> Iterator[int]:
    """Does two blocks of a part, or fails in the second."""
    yield part.rows
    if kind == "missing":
        raise FileNotFoundError(2, "No such file", part.path)
    if kind == "broken":
        raise KeyError("two\nlines")
    if kind == "bad":
        raise ValueError("a value")
    yield int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "[Errno 2] No such file: '/in/a.csv'"),
        ("broken", "/in/a.csv: KeyError: 'two\\nlines'"),
        ("bad", "/in/a.csv: a value"),
    ],
)
def test_a_part_that_fails_is_one_line_with_its_file(kind: str, said: str) -> None:
    errand = errand_of(functools.partial(work, kind))
    with pytest.raises(EngineError) as raised:
        attempt(pickle.dumps(Rows("/in/a.csv", 3)), errand)
    assert str(raised.value) == said
    assert str(pickle.loads(pickle.dumps(raised.value))) == said  # it travels


def test_a_worker_computes_in_the_launchers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "40")
    errand = errand_of(functools.partial(work, "good"))
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")  # as the worker was started
    assert attempt(pickle.dumps(Rows("/in/a.csv", 3)), errand) == 43


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"runner": "dask"}, "--runner=dask needs --dask_address, such as tcp://HOST:8786"),
        (
            {"runner": "spark", "dask_address": "tcp://h:1"},
            "--dask_address is for --runner=dask. Received: --runner=spark",
        ),
        (
            {"runner": "local", "beam_args": "--parallelism=2"},
            "--beam_args is for --runner=beam. Received: --runner=local",
        ),
        (
            {"runner": "FlinkRunner"},
            "--runner=FlinkRunner needs Apache Beam: pip install 'tafe_tf[beam]'",
        ),
        ({"runner": "spark"}, "--runner=spark needs Spark: pip install 'tafe_tf[spark]'"),
        (
            {"runner": "dask", "dask_address": "tcp://h:1"},
            "--runner=dask needs Dask: pip install 'tafe_tf[dask]'",
        ),
    ],
)
def test_flags_that_ask_for_no_driver_say_what_to_write(
    flags: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("apache_beam", "distributed", "pyspark"):  # as where no extra is installed
        monkeypatch.setitem(sys.modules, package, None)
    for module in ("beam", "dask", "spark"):
        monkeypatch.delitem(sys.modules, f"tafe_tf.engines.{module}", raising=False)
    with pytest.raises(EngineError) as raised:
        driver_of(**flags)
    assert str(raised.value) == said


def test_the_name_of_a_beam_runner_means_beam() -> None:
    pytest.importorskip("apache_beam")
    named = driver_of("FlinkRunner", "--parallelism=2")
    assert vars(named) == {"_options": ["--runner=FlinkRunner", "--parallelism=2"]}
    assert vars(driver_of("beam", "--runner=FlinkRunner --parallelism=2")) == vars(named)


def test_a_worker_prepares_without_tensorflow() -> None:
    """It takes seconds to import, and memory, in every worker."""
    code = (
        "import sys; sys.modules['tensorflow'] = None; "
        "import tafe_tf.data.shards.write, tafe_tf.engines.counting"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
