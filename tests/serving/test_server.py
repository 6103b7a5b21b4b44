"""The local server, asked over its two doors from another process; three tiny funnels."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
import small_models
from absl import flags as absl_flags
from absl.testing import flagsaver
from servers import LocalServer, free_port, wait_until
from tensorflow_serving.apis import model_management_pb2

from tafe_tf import schema_toml
from tafe_tf.export import warmup
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.publish import ExportConfig
from tafe_tf.export.publish import publish as publish_run
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.withdraw import withdraw
from tafe_tf.serving.client import Client
from tafe_tf.serving.conformance import grpc_checks
from tafe_tf.serving.conformance.rest_checks import REST_CHECKS
from tafe_tf.serving.conformance.target import Target, close
from tafe_tf.serving.server import __main__ as local_server
from tafe_tf.serving.wire.errors import ServingError

FLAGS = absl_flags.FLAGS
FUNNELS = sorted(small_models.SCHEMAS)
LATEST, ALL = "", "model_version_policy { all {} }"


@pytest.fixture(scope="module")
def other_numbers(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An export of "numbers" with other weights."""
    root = tmp_path_factory.mktemp("other")
    return publish_run(
        small_models.make_run(root, "numbers", seed=7), root / "export", ExportConfig(version=1)
    )


@pytest.fixture(scope="module")
def server(
    exports: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    """One server of all three, without Keras in its process."""
    directory = tmp_path_factory.mktemp("server")
    config = directory / "models.config"
    models = "\n".join(model_config(name, exports[name].parent) for name in FUNNELS)
    config.write_text(f"model_config_list {{ {models} }}")
    before = "import sys; sys.modules['keras'] = None"
    with LocalServer(directory / "log", f"--model_config_file={config}", before=before) as running:
        yield running


def model_config(name: str, base_path: pathlib.Path, policy: str = LATEST) -> str:
    return f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" {policy} }}'


@pytest.fixture(params=FUNNELS)
def target(
    request: pytest.FixtureRequest, server: LocalServer, exports: dict[str, pathlib.Path]
) -> Iterator[Target]:
    """One model of the server after the other."""
    path = exports[request.param]
    rows = probe_rows(schema_toml.load(path / "assets.extra" / "schema.toml"), path / "assets", 100)
    expected = answers(path, rows)
    found = Target(server.grpc, server.rest, request.param, 60.0, (rows, expected))
    yield found
    found.client.close()


def answers(path: pathlib.Path, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    model = SessionModel(path)
    outputs = model(rows)
    model.close()
    return outputs


@pytest.mark.parametrize(
    "check", [*grpc_checks.CHECKS, *REST_CHECKS], ids=lambda check: check.__name__
)
def test_conforms(target: Target, check: grpc_checks.Check) -> None:
    check(target)


def test_ten_thousand_damaged_requests(server: LocalServer) -> None:
    target = Target(server.grpc, server.rest, "shop", 60.0, None)
    grpc_checks.fuzz(target, 10_000, seed=1)
    assert server.process.poll() is None


def test_100_megabytes_of_rows(server: LocalServer) -> None:
    target = Target(server.grpc, server.rest, "numbers", 60.0, None)
    many = np.zeros(6_500_000, np.int64)
    request = target.request({"user": many, "item": many})
    target.refuses("INVALID_ARGUMENT", "has 6500000 rows; send at most 65536 a request", request)
    target.lives()


def test_the_conformance_command(
    server: LocalServer, exports: dict[str, pathlib.Path], other_numbers: pathlib.Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "tafe_tf.serving.conformance",
        f"--target={server.grpc}",
        f"--rest={server.rest}",
    ]
    options = ["--model_name=numbers", f"--export={exports['numbers']}", "--fuzz=50"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert f"{len(grpc_checks.CHECKS) + len(REST_CHECKS) + 1} passed, 0 failed" in done.stdout
    wrong = [*command, "--model_name=numbers", f"--export={other_numbers}", "--fuzz=0"]
    done = subprocess.run(wrong, capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAILED answers what the export does: output " in done.stdout


OVMSCLIENT = """
import json, sys
import numpy as np
import ovmsclient
grpc, rest = sys.argv[1:]
inputs = {"user": np.array([3, 4, -1]), "item": np.array([7, 8, 9])}
found = {}
for name, client in (("grpc", ovmsclient.make_grpc_client(grpc)), ("rest", ovmsclient.make_http_client(rest))):
    outputs = client.predict(inputs, "numbers", model_version=1)
    found[name] = {
        "outputs": {key: [float(x) for x in values] for key, values in outputs.items()},
        "status": client.get_model_status("numbers", model_version=1),
    }
    try:
        client.predict({"user": inputs["user"]}, "numbers", model_version=1)
    except Exception as error:
        found[name]["error"] = [type(error).__name__, str(error)]
    if name == "grpc":  # over REST it reads the names of another server
        metadata = client.get_model_metadata("numbers", model_version=1)
print(json.dumps([found, metadata]))
"""


def test_an_independent_client_agrees(
    server: LocalServer, exports: dict[str, pathlib.Path]
) -> None:
    """Intel's ovmsclient, which brings its own protocol code."""
    command = [sys.executable, "-c", OVMSCLIENT, server.grpc, server.rest]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, metadata = json.loads(done.stdout)
    assert metadata["inputs"] == {
        name: {"shape": [-1], "dtype": "DT_INT64"} for name in ("user", "item")
    }
    assert set(metadata["outputs"]) == {"ctr", "ctcvr", "cvr"}
    expected = answers(
        exports["numbers"], {"user": np.array([3, 4, -1]), "item": np.array([7, 8, 9])}
    )
    for said in found.values():
        close(said["outputs"], expected, 1e-6)
        assert said["status"] == {"1": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
        kind, text = said["error"]
        assert kind == "InvalidInputError" and re.search(
            "Missing (but required|named input): {?item", text
        )


def test_curl(server: LocalServer) -> None:
    body = '{"instances": [{"user": 1, "item": 2}]}'
    url = f"http://{server.rest}/v1/models/numbers:predict"
    done = subprocess.run(
        ["curl", "--silent", "--fail", url, "--data", body], capture_output=True, text=True
    )
    assert set(json.loads(done.stdout)["predictions"][0]) == {"ctr", "ctcvr", "cvr"}


@pytest.fixture
def published(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> pathlib.Path:
    """A base path with one version."""
    shutil.copytree(exports["numbers"], tmp_path / "models" / "1")
    return tmp_path / "models"


def publish(source: pathlib.Path, base_path: pathlib.Path, version: int) -> None:
    beside = base_path / f".{version}.tmp"
    shutil.copytree(source, beside)
    os.rename(beside, base_path / str(version))


@pytest.mark.slow
def test_a_new_version_while_clients_fire(
    exports: dict[str, pathlib.Path],
    other_numbers: pathlib.Path,
    published: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """No failed request, no answer of two versions; then a broken version, and back to the first."""
    rows = {"user": np.arange(40) % 50, "item": np.arange(40)}
    expected = {1: answers(exports["numbers"], rows), 2: answers(other_numbers, rows)}
    seen: list[int] = []
    errors: list[BaseException] = []
    stop = threading.Event()

    def fire(client: Client) -> None:
        try:
            while not stop.is_set():
                outputs = client.predict(rows)
                close(outputs, expected[outputs.version])
                seen.append(outputs.version)
        except BaseException as error:
            errors.append(error)

    with LocalServer(
        tmp_path / "log", f"--model_base_path={published}", "--load_retry_interval_micros=0"
    ) as server:
        clients = [
            Client(server.grpc, rows_per_request=size, timeout=60.0) for size in (1000, 7)
        ] * 4
        threads = [threading.Thread(target=fire, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()

        def goes_on(version: int) -> bool:
            return bool(errors) or seen[-50:] == [version] * 50

        wait_until(lambda: goes_on(1), "version 1")
        publish(other_numbers, published, 2)
        wait_until(lambda: goes_on(2), "version 2")
        (published / "3").mkdir()
        (published / "3" / "saved_model.pb").write_bytes(b"broken")
        wait_until(lambda: clients[0].status().get(3) == "END", "version 3")
        assert clients[0].status() == {3: "END", 2: "AVAILABLE", 1: "END"}
        seen.clear()
        wait_until(lambda: goes_on(2), "version 2 beside a broken one")
        shutil.rmtree(published / "3")
        assert withdraw(published) == [published / "withdrawn-2"]
        wait_until(lambda: goes_on(1), "version 1 again")
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
        assert server.stop() == 0
        assert "version: 3} cannot be loaded from" in server.log.read_text()


def test_labels_versions_and_reload(
    exports: dict[str, pathlib.Path],
    other_numbers: pathlib.Path,
    published: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    publish(other_numbers, published, 2)
    rows = {"user": [1, 2], "item": [3, 4]}
    config = tmp_path / "models.config"
    config.write_text(f"model_config_list {{ {model_config('numbers', published, ALL)} }}")
    with LocalServer(tmp_path / "log", f"--model_config_file={config}") as server:
        target = Target(server.grpc, server.rest, "numbers", 60.0, None)

        def reload(*models: str, **labels: int) -> None:
            request = model_management_pb2.ReloadConfigRequest()
            request.config.model_config_list.SetInParent()
            for base_path in models:
                added = request.config.model_config_list.config.add(
                    name="numbers", base_path=base_path
                )
                added.model_platform = "tensorflow"
                added.model_version_policy.all.SetInParent()
                added.version_labels.update(labels)
            target.call("HandleReloadConfigRequest", request)

        assert target.client.predict(rows).version == 2
        with pytest.raises(
            ServingError, match="FAILED_PRECONDITION: Request to assign label to version 9 of model"
        ):
            reload(str(published), canary=9)
        reload(str(published), stable=1, canary=2)
        for label, version in (("stable", 1), ("canary", 2)):
            with Client(server.grpc, "numbers", label=label, timeout=60.0) as client:
                assert client.predict(rows).version == version
        url = f"http://{server.rest}/v1/models/numbers/labels/stable:predict"
        with urllib.request.urlopen(url, json.dumps({"inputs": rows}).encode()) as response:
            close(
                json.load(response)["outputs"],
                answers(exports["numbers"], {k: np.array(v) for k, v in rows.items()}),
            )
        with Client(server.grpc, "numbers", version=1, timeout=60.0) as client:
            assert client.predict(rows).version == 1
        with pytest.raises(
            ServingError, match="INVALID_ARGUMENT: Could not find base path /nowhere for servable"
        ):
            reload("/nowhere")
        reload()  # no model at all
        with pytest.raises(
            ServingError, match=r"NOT_FOUND: Servable not found for request: Latest\(numbers\)"
        ):
            target.client.predict(rows)
        reload(str(published))
        assert target.client.predict(rows).version == 2


def test_a_configuration_that_is_edited(published: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Read again every second; a label for a version that is not there yet; a UNIX socket."""
    rows, config = {"user": [1], "item": [2]}, tmp_path / "models.config"
    label = 'version_labels { key: "canary" value: 2 }'
    config.write_text(f"model_config_list {{ {model_config('numbers', published, ALL + label)} }}")
    flags = (
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models",
    )
    socket = f"--grpc_socket_path={tmp_path}/s"
    with (
        LocalServer(tmp_path / "log", f"--model_config_file={config}", socket, *flags) as server,
        Client(f"unix:{tmp_path}/s", "numbers", label="canary", timeout=60.0) as client,
    ):
        with pytest.raises(
            ServingError, match=r"NOT_FOUND: Servable not found for request: Specific\(numbers, 2\)"
        ):
            client.predict(rows)
        publish(published / "1", published, 2)
        wait_until(lambda: client.status().get(2) == "AVAILABLE", "version 2")
        assert client.predict(rows).version == 2
        config.write_text("model_config_list {")
        wait_until(
            lambda: "models.config: 1:19 : Expected" in server.log.read_text(),
            "a broken file is said",
        )
        assert client.predict(rows).version == 2
        config.write_text(f"model_config_list {{ {model_config('others', published, ALL)} }}")
        others = Client(server.grpc, "others", timeout=60.0)
        wait_until(
            lambda: "others version: 2} is available" in server.log.read_text(), "another name"
        )
        assert others.predict(rows).version == 2
        with pytest.raises(
            ServingError, match="INVALID_ARGUMENT: Unrecognized servable version label: canary"
        ):
            client.predict(rows)


def test_a_warm_up_that_fails_is_a_broken_version(
    published: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (published / "1" / warmup.FILE).write_bytes(b"x" * 99)
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
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    config = tmp_path / "models.config"
    config.write_text("model_config_list { config { nam: 'x' } }")
    taken = int(server.grpc.split(":")[1])
    cases: list[tuple[dict[str, object], str]] = [
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
    for flags, text in cases:
        with flagsaver.flagsaver(**flags), pytest.raises(ServingError, match=re.escape(text)):
            local_server.serve(threading.Event())


def test_its_last_line_says_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tafe_tf.serving.server"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: give --model_base_path or --model_config_file"


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
