"""New versions, labels and configurations while the server runs."""

from __future__ import annotations

import json
import pathlib
import shutil
import threading
import urllib.request
import weakref

import numpy as np
import pytest
from servers import LocalServer, answers, model_config, publish, wait_until
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.withdraw import withdraw
from tafe_tf.serving.client import Client
from tafe_tf.serving.conformance.target import Target, close
from tafe_tf.serving.server.configuration import one_model
from tafe_tf.serving.server.loader import Loader
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.versions import Loading
from tafe_tf.serving.wire.errors import ServingError

ALL = "model_version_policy { all {} }"


@pytest.mark.slow
def test_a_new_version_while_clients_fire(
    exports: dict[str, pathlib.Path],
    other_numbers: pathlib.Path,
    published: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """No request fails or is answered by two versions, whatever is published or withdrawn."""
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


def test_what_is_unloaded_leaves_nothing(published: pathlib.Path) -> None:
    """Its graph is a cycle of a few hundred objects, on which MiB of memory hang."""
    models = ServedModels()
    loader = Loader(models, Loading(enable_model_warmup=False))
    loader.reload(one_model("numbers", str(published)))
    session = models.versions("numbers")[1].session
    assert session is not None
    graph = weakref.ref(session.graph)
    del session
    assert graph() is not None
    loader.close()
    assert graph() is None


@pytest.mark.slow
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
            target.client.call("HandleReloadConfigRequest", request)

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


def test_a_version_that_is_not_what_was_published_is_not_loaded(
    published: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a copy that took another version's variables along."""
    variables = published / "1" / "variables" / "variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[::-1])
    monkeypatch.setattr(SessionModel, "__init__", lambda *_, **__: pytest.fail("it was loaded"))
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name="numbers", base_path=str(published), model_platform="tensorflow"
    )
    said = r"version: 1} cannot be loaded from .*: variables/variables.data\S+ holds other bytes"
    with pytest.raises(ServingError, match=said):
        Loader(ServedModels()).reload(config)


@pytest.mark.slow
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
