"""How the server starts, refuses to start, and ends."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from servers import LocalServer, free_port, wait_until

from tafe_tf.export import manifest, warmup
from tafe_tf.serving.client import Client
from tafe_tf.serving.conformance.target import Target
from tafe_tf.serving.server.serve import Server, ServerConfig
from tafe_tf.serving.wire.errors import ServingError

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.slow
def test_a_warm_up_that_fails_is_a_broken_version(
    published: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (published / "1" / warmup.FILE).write_bytes(b"x" * 99)
    manifest.write(published / "1")
    flags = (f"--model_base_path={published}", "--model_name=numbers")
    with pytest.raises(
        RuntimeError, match=r"error: 1 model\(s\) did not become available: .*version: 1"
    ):
        LocalServer(tmp_path / "log", *flags)
    with LocalServer(tmp_path / "log", *flags, "--noenable_model_warmup") as server:
        target = Target(server.grpc, server.rest, "numbers", 60.0, None)
        target.lives()


def test_what_cannot_be_served(
    server: LocalServer, published: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config = tmp_path / "models.config"
    config.write_text("model_config_list { config { nam: 'x' } }")
    taken = int(server.grpc.split(":")[1])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"port": 0}, "give --port or --grpc_socket_path"),
        ({}, "give --model_base_path or --model_config_file"),
        ({"model_base_path": "/nowhere"}, "Could not find base path /nowhere for servable default"),
        (
            {"model_config_file": str(config)},
            'models.config: 1:30 : Message type "tensorflow.serving.ModelConfig" has',
        ),
        ({"model_base_path": str(published), "port": taken}, f"localhost:{taken}: "),
        (
            {"model_base_path": str(published), "port": free_port(), "rest_api_port": taken},
            f"localhost:{taken}: ",
        ),
    ]
    for settings, text in cases:
        with pytest.raises(ServingError, match=re.escape(text)):
            Server(ServerConfig(**settings)).open()


def test_its_last_line_says_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tafe_tf.serving.server"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: give --model_base_path or --model_config_file"


@pytest.mark.slow
def test_hostile_requests(server: LocalServer) -> None:
    """1,000 for each door: no INTERNAL or 500, no traceback, and the same prediction after."""
    command = [
        *(sys.executable, "-m", "benchmarks.serving_fuzz", "--requests=1000", "--seed=70000"),
        *(f"--target={server.grpc}", f"--rest={server.rest}"),
        *("--model_name=shop", f"--log={server.log}"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert sum(found["codes"]["grpc"].values()) == 1000
    assert sum(found["codes"]["rest"].values()) >= 1000
    assert found["codes"]["rest"]["400"] > 500 and found["codes"]["rest"]["200"] > 0


SIGNALS = """
import signal, threading, time
from tafe_tf.serving.server.signals import catch
wait = catch(signal.SIGTERM)
def send():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)
threading.Thread(target=send, daemon=True).start()
wait()
"""


def test_a_signal_that_another_thread_gets_wakes_the_main_one() -> None:
    """A handler in Python would run in the main thread alone, which waits."""
    done = subprocess.run([sys.executable, "-c", SIGNALS], timeout=30.0)
    assert done.returncode == 0


def test_running_requests_end_before_the_server(
    published: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    rows = {"user": np.zeros(60_000, np.int64), "item": np.arange(60_000)}
    answered: list[int] = []
    with LocalServer(tmp_path / "log", f"--model_base_path={published}") as server:
        client = Client(server.grpc, rows_per_request=100_000, timeout=60.0)
        client.predict({name: values[:1] for name, values in rows.items()})
        thread = threading.Thread(target=lambda: answered.append(len(client.predict(rows)["ctr"])))
        thread.start()
        wait_until(lambda: not answered, "the request")
        threading.Event().wait(0.05)  # it is under way
        assert server.stop() == 0
        thread.join()
    assert answered == [60_000]
