"""Versions that lie in an object store, served from there and through copies on a disk."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import faulty_proxy
import numpy as np
import object_stores
import pytest
from faulty_proxy import Faults
from servers import LocalServer, answers, wait_until

from tafe_tf.data.errors import DataError
from tafe_tf.export import manifest
from tafe_tf.serving.client import Client
from tafe_tf.serving.conformance.target import close
from tafe_tf.storage import stores
from tafe_tf.storage.staging import publish_tree, put_file

pytestmark = pytest.mark.engines

GRAPH = "saved_model.pb"
POLLS = 3.0  # seconds in which a server looks several times


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with object_stores.s3_server(tmp_path_factory.mktemp("s3")) as started:
        yield started


@pytest.fixture(params=["served from the store", "copied by tafe sync"])
def base_path(
    request: pytest.FixtureRequest,
    port: int,
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[str, str]]:
    """Where versions are published, one of them already, and what a server takes for its models.

    Every tenth request of the server, or of the copying process, is answered by 503.
    """
    uri = f"s3://shop/{tmp_path.name}"
    faults = Faults(busy=10)
    with faulty_proxy.before(port, faults) as proxy, contextlib.ExitStack() as running:
        for name, value in object_stores.s3_variables(port).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        stores._make.cache_clear()
        publish_tree(exports["numbers"], f"{uri}/1", last=[GRAPH])
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy}")  # for processes
        if request.param == "served from the store":
            yield uri, uri
        else:
            yield uri, str(running.enter_context(copied(uri, tmp_path)))
        stores._make.cache_clear()
    assert faults.done["busy"] > 1


@contextlib.contextmanager
def copied(uri: str, tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A directory that an init container fills and a sidecar keeps; a half version fails the test.

    Args:
        uri: Where versions are published.
        tmp_path: Where the directory is made.
    """
    directory = tmp_path / "copies"
    command = [sys.executable, "-m", "tafe_tf.export.sync", uri, str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([*command, "--once"], env=environment, check=True)
    sidecar = subprocess.Popen([*command, "--poll_seconds=1"], env=environment)
    ends = threading.Event()
    seen: set[str] = set()
    halves: list[str] = []

    def watch() -> None:
        while not ends.wait(0.02):
            for path in directory.glob("[0-9]*"):
                seen.add(path.name)
                try:
                    manifest.check(path)
                except (DataError, OSError) as error:
                    if path.is_dir():  # and did not go meanwhile
                        halves.append(str(error))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield directory
        assert sidecar.poll() is None
    finally:
        ends.set()
        watcher.join()
        sidecar.kill()
        sidecar.wait()
    assert seen == {"1", "2"} and halves == []


def test_versions_come_once_they_are_whole_and_go_once_withdrawn(
    base_path: tuple[str, str],
    exports: dict[str, pathlib.Path],
    other_numbers: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    uri, served = base_path
    rows = {"user": np.arange(40) % 50, "item": np.arange(40)}
    flags = (f"--model_base_path={served}", "--file_system_poll_wait_seconds=1")
    with LocalServer(tmp_path / "log", *flags) as server, Client(server.grpc) as client:
        close(client.predict(rows), answers(exports["numbers"], rows))

        without_graph = tmp_path / "half"
        shutil.copytree(other_numbers, without_graph, ignore=shutil.ignore_patterns(GRAPH))
        publish_tree(without_graph, f"{uri}/2")
        time.sleep(POLLS)
        assert set(client.status()) == {1}

        put_file(other_numbers / GRAPH, f"{uri}/2/{GRAPH}")
        wait_until(lambda: client.status().get(2) == "AVAILABLE", "version 2")
        close(client.predict(rows), answers(other_numbers, rows))

        place = stores.open_place(f"{uri}/2/{GRAPH}")
        place.filesystem.delete_file(place.path)
        wait_until(lambda: client.predict(rows).version == 1, "version 1 again")
        close(client.predict(rows), answers(exports["numbers"], rows))


def test_what_is_wrong_with_a_store_is_one_line(
    port: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_stores.s3_variables(port).items():
        monkeypatch.setenv(name, value)
    for address, said in (
        ("s3://shop/nothing", "Could not find base path s3://shop/nothing for servable default"),
        ("s3://key:secret@shop/models", "must not name a user or a password"),
    ):
        with pytest.raises(RuntimeError, match="did not start") as raised:
            LocalServer(tmp_path / "log", f"--model_base_path={address}")
        last = str(raised.value).strip().splitlines()[-1]
        assert last.startswith("error: ") and said in last
