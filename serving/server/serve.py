"""Opens the doors of the server, polls the disk, and closes everything in the right order."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable

import grpc
from absl import logging
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.server import configuration, grpc_door
from tafe_tf.serving.server.loader import Loader
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.rest_door import RestServer
from tafe_tf.serving.server.versions import Loading
from tafe_tf.serving.wire.errors import ServingError, invalid

_GRACE = 10.0  # seconds that running requests get at the end
_THREADS = 4 * (os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What to serve, where, and how. Names and defaults are those of TensorFlow Serving's flags.

    Attributes:
        host: The interface to listen on; "0.0.0.0" for all. TensorFlow Serving listens on all.
        port: TCP port of gRPC; 0 for none.
        grpc_socket_path: UNIX socket of gRPC; "" for none.
        rest_api_port: TCP port of REST; 0 for none.
        rest_api_num_threads: REST requests answered at a time.
        grpc_max_threads: gRPC requests answered at a time.
        model_name: The name of the model at `model_base_path`.
        model_base_path: The directory of a model's numbered versions.
        model_config_file: A `ModelServerConfig` in text form, which replaces the two above.
        model_config_file_poll_wait_seconds: Seconds between two readings of that file; 0 for one
            reading only.
        file_system_poll_wait_seconds: Seconds between two looks for new versions; 0 for one only.
        loading: How versions are loaded.

    Raises:
        ServingError: If there is no address for gRPC, or nothing to serve.
    """

    host: str = "localhost"
    port: int = 8500
    grpc_socket_path: str = ""
    rest_api_port: int = 0
    rest_api_num_threads: int = _THREADS
    grpc_max_threads: int = _THREADS
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: int = 1
    loading: Loading = dataclasses.field(default_factory=Loading)

    def __post_init__(self) -> None:
        if not self.port and not self.grpc_socket_path:
            raise invalid("give --port or --grpc_socket_path")
        if not self.model_config_file and not self.model_base_path:
            raise invalid("give --model_base_path or --model_config_file")

    def models(self) -> model_server_config_pb2.ModelServerConfig:
        """The models to serve, as the configuration file says now.

        Raises:
            ServingError: If the file cannot be read, or holds no configuration.
        """
        if self.model_config_file:
            return configuration.from_file(self.model_config_file)
        return configuration.one_model(self.model_name, os.path.abspath(self.model_base_path))


def serve(config: ServerConfig, stop: threading.Event) -> None:
    """Serves until `stop` is set, and then lets the requests that run end.

    Raises:
        ServingError: If a model cannot be loaded, or an address cannot be taken.
    """
    models = ServedModels()
    loader = Loader(models, config.loading)
    loader.reload(config.models())
    doors: list[Callable[[], object]] = []
    try:
        doors.append(_open_grpc(config, models, loader))
        if config.rest_api_port:
            doors.append(_open_rest(config, models))
        _every(config.file_system_poll_wait_seconds, stop, loader.poll)
        if config.model_config_file:
            seconds = config.model_config_file_poll_wait_seconds
            _every(seconds, stop, lambda: loader.reload(config.models()))
        stop.wait()
    finally:
        for close in doors:
            close()
        loader.close()


def _open_grpc(config: ServerConfig, models: ServedModels, loader: Loader) -> Callable[[], object]:
    """Answers gRPC from now on; returns what ends it."""
    server = grpc_door.build(models, loader, threads=config.grpc_max_threads)
    addresses = []
    if config.port:
        addresses.append(f"{config.host}:{config.port}")
    if config.grpc_socket_path:
        addresses.append(f"unix:{os.path.abspath(config.grpc_socket_path)}")
    for address in addresses:
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, f"{address}: {error}") from None
    server.start()
    logging.info("Running gRPC ModelServer at %s ...", " and ".join(addresses))
    return lambda: server.stop(_GRACE).wait()


def _open_rest(config: ServerConfig, models: ServedModels) -> Callable[[], object]:
    """Answers REST from now on; returns what ends it."""
    address = f"{config.host}:{config.rest_api_port}"
    try:
        server = RestServer(models, config.host, config.rest_api_port, config.rest_api_num_threads)
    except OSError as error:
        raise ServingError(grpc.StatusCode.UNAVAILABLE, f"{address}: {error}") from None
    server.start()
    logging.info("Exporting HTTP/REST API at: %s ...", address)
    return lambda: server.stop(_GRACE)


def _every(seconds: int, stop: threading.Event, action: Callable[[], None]) -> None:
    """Repeats an action from a thread of its own; a failure is logged, and the next turn comes."""

    def repeat() -> None:
        while not stop.wait(seconds):
            try:
                action()
            except Exception as error:
                logging.error("%s", error)

    if seconds:
        threading.Thread(target=repeat, daemon=True).start()
