"""Copies of a store's versions: whole ones come, withdrawn ones go, and a crash leaves no half."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Any

import pytest

from tafe_tf.data import atomic
from tafe_tf.data.errors import DataError
from tafe_tf.export import copies, manifest
from tafe_tf.export.versions import GRAPH, newest_first
from tafe_tf.storage.staging import publish_tree


def made(folder: pathlib.Path, text: str = "graph") -> pathlib.Path:
    """A version of two files and its manifest."""
    (folder / "assets.extra").mkdir(parents=True)
    (folder / GRAPH).write_text(text)
    (folder / "assets.extra" / "schema.toml").write_text(text * 1000)
    manifest.write(folder)
    return folder


@pytest.fixture
def store(tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder that `uri` names."""
    return tmp_path / "store"


@pytest.fixture
def uri(store: pathlib.Path) -> str:
    return f"file://{store}"


def send(tmp_path: pathlib.Path, uri: str, number: str, text: str = "graph") -> None:
    folder = made(tmp_path / f"made-{number}-{text}", text)
    publish_tree(folder, f"{uri}/{number}", last=[GRAPH])


def names(directory: pathlib.Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_new_versions_come_and_old_and_withdrawn_ones_go(tmp_path: pathlib.Path, uri: str) -> None:
    store, here = tmp_path / "store", tmp_path / "here"
    said: list[str] = []
    for number in ("8", "9", "10"):
        send(tmp_path, uri, number, f"graph {number}")
    assert copies.update(uri, here, say=said.append) == [9, 10]
    assert names(here) == {"9", "10"}
    assert [line.partition(":")[0] for line in said] == [f"{here}/10", f"{here}/9"]
    for path in (here / "10").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (store / "10" / path.relative_to(here / "10")).read_bytes()

    send(tmp_path, uri, "11")
    assert copies.update(uri, here, say=said.append) == [10, 11]
    (store / "11" / GRAPH).unlink()  # as a withdrawal begins
    assert copies.update(uri, here, say=said.append) == [9, 10]
    assert names(here) == {"9", "10"}
    before = (here / "10").stat().st_ino
    del said[:]
    assert copies.update(uri, here, say=said.append) == [9, 10]
    assert (here / "10").stat().st_ino == before and said == []


def test_a_version_without_its_graph_or_with_other_files_does_not_come(
    tmp_path: pathlib.Path, store: pathlib.Path, uri: str
) -> None:
    here = tmp_path / "here"
    said: list[str] = []
    send(tmp_path, uri, "1")
    send(tmp_path, uri, "2")
    (store / "2" / "assets.extra" / "schema.toml").write_text("another")
    folder = made(tmp_path / "half")
    (folder / GRAPH).unlink()
    publish_tree(folder, f"{uri}/3")
    assert [address.rpartition("/")[2] for address in newest_first(uri)] == ["2", "1"]
    assert copies.update(uri, here, say=said.append) == [1]
    assert "schema.toml" in said[0] and said[0].startswith("cannot be brought: ")
    assert names(here) == {"1"}


def test_what_is_here_stays_while_the_store_has_nothing_better(
    tmp_path: pathlib.Path, store: pathlib.Path, uri: str
) -> None:
    here = tmp_path / "here"
    said: list[str] = []
    assert copies.update(uri, here, say=said.append) == []
    send(tmp_path, uri, "1")
    copies.update(uri, here, newest=1, say=said.append)
    send(tmp_path, uri, "2")
    (store / "2" / "assets.extra" / "schema.toml").write_text("damaged")
    assert copies.update(uri, here, newest=1, say=said.append) == [1]
    shutil.rmtree(store)
    assert copies.update(uri, here, newest=1, say=said.append) == [1]
    assert names(here) == {"1"}


def test_a_number_that_stands_for_other_files_is_brought_anew(
    tmp_path: pathlib.Path, store: pathlib.Path, uri: str
) -> None:
    here = tmp_path / "here"
    send(tmp_path, uri, "1", "one")
    copies.update(uri, here)
    shutil.rmtree(store / "1")
    send(tmp_path, uri, "1", "other")
    copies.update(uri, here)
    assert (here / "1" / GRAPH).read_text() == "other"


class Killed(BaseException):
    """Ends a job where a kill would."""


def test_killed_at_any_moment_it_shows_whole_versions_only(
    tmp_path: pathlib.Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    for number in ("1", "2", "3"):
        send(tmp_path, uri, number, f"graph {number}")
    copies.update(uri, here)
    publish = atomic.publish
    remove = shutil.rmtree
    steps = 0
    for stop in range(20):
        calls = 0

        def step(stop: int = stop) -> None:
            nonlocal calls
            calls += 1
            if calls > stop:
                raise Killed

        def published(source: Any, target: Any) -> None:
            step()
            publish(source, target)
            step()

        def removed(path: Any, **settings: Any) -> None:
            step()
            remove(path, **settings)

        send(tmp_path, uri, str(stop + 4), f"graph {stop + 4}")
        with monkeypatch.context() as patch:
            patch.setattr(atomic, "publish", published)
            patch.setattr(shutil, "rmtree", removed)
            try:
                copies.update(uri, here)
                steps = calls
            except Killed:
                pass
        numbered = [name for name in names(here) if not name.startswith(".")]
        assert len(numbered) >= 2
        for name in numbered:
            manifest.check(here / name)
            assert (here / name / GRAPH).read_text() == f"graph {name}"
        assert copies.update(uri, here) == [stop + 3, stop + 4]
        assert names(here) == {str(stop + 3), str(stop + 4)}
        if steps:
            break
    assert steps >= 6


def test_the_command_copies_once_or_goes_on(tmp_path: pathlib.Path, uri: str) -> None:
    here = tmp_path / "here"
    without = "import sys; sys.modules['tensorflow'] = None; import runpy; "
    run = "runpy.run_module('tafe_tf.export.sync', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", without + run, uri, str(here)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def once() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--once"], env=environment, capture_output=True, text=True, check=False
        )

    done = once()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {uri}: holds no whole version"
    send(tmp_path, uri, "1")
    done = once()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{here}/1: brought from {uri}/1, 2 files hold")
    sidecar = subprocess.Popen([*command, "--poll_seconds=1"], env=environment)
    try:
        send(tmp_path, uri, "2", "new")
        end = time.monotonic() + 60
        while not (here / "2").exists():
            assert sidecar.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        assert (here / "2" / GRAPH).read_text() == "new"
    finally:
        sidecar.terminate()
        assert sidecar.wait(30) != 0
    manifest.check(here / "2")


def test_a_directory_that_is_no_store_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="must not name a user or a password"):
        copies.update("s3://key:secret@shop/models", tmp_path)
