"""A network of its own: nothing outside reaches in, and nothing inside reaches out."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from typing import Any

import pytest
from absl.testing import flagsaver

from tafe_tf import launch
from tafe_tf.distributed import own_network

# Tries to enter, then says which interfaces there are and whom it reaches.
INSIDE = """
import ctypes, encodings.idna, json, os, pathlib, socket, sys
from tafe_tf.distributed import own_network
user, outside = map(int, sys.argv[1:])
if user:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: as a process that this user started
entered = own_network.enter()
lines = pathlib.Path("/proc/self/net/dev").read_text().splitlines()[2:]
with socket.create_server(("localhost", 0)) as server:
    reaches_itself = socket.create_connection(server.getsockname()).close() is None
try:
    reaches_out = socket.create_connection(("127.0.0.1", outside), timeout=5).close() is None
except OSError:
    reaches_out = False
print(json.dumps({
    "entered": entered,
    "interfaces": [line.partition(":")[0].strip() for line in lines],
    "reaches_itself": reaches_itself,
    "reaches_out": reaches_out,
    "user": os.geteuid(),
}))
"""


def inside(user: int) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", INSIDE, str(user), str(port)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare says what the kernel allows")
@pytest.mark.parametrize("user", [0, 65534])
def test_a_network_of_its_own_holds_nothing_but_itself(user: int) -> None:
    if user == 0:
        command = ["unshare", "--net", "true"]
    else:
        command = ["setpriv", f"--reuid={user}", "unshare", "--user", "--net", "true"]
    allowed = subprocess.run(command, capture_output=True).returncode == 0
    found = inside(user)
    assert found["entered"] == allowed
    assert found["reaches_itself"] and found["user"] == user
    assert found["reaches_out"] == (not allowed)
    assert (found["interfaces"] == ["lo"]) == allowed


@pytest.mark.parametrize("asked", [True, False])
def test_open_ports_are_said_loudly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: bool
) -> None:
    monkeypatch.setattr(own_network, "enter", lambda: False)
    with flagsaver.as_parsed(own_network=str(asked)):
        launch._close_the_network()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "listen on every network interface" in said
    assert ("--noown_network was given" in said) == (not asked)
