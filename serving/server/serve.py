"""Opens the doors of the server, polls the disk, and ends without losing a request."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable

from absl import logging
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.request_log import RequestLog
from tafe_tf.serving.request_log.log import DEFAULT_SAMPLE
from tafe_tf.serving.server import configuration, grpc_door
from tafe_tf.serving.server.loader import Loader
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.rest_door import RestServer
from tafe_tf.serving.server.running import RunningCalls
from tafe_tf.serving.server.versions import Loading
from tafe_tf.serving.wire.errors import ServingError, invalid, unavailable
from tafe_tf.storage.addresses import absolute
from tafe_tf.storage.errors import StoreError

_GRACE = 9.0  # seconds that running requests get at the end
_REFUSING = 1.0  # seconds after that in which new requests are still answered, with UNAVAILABLE
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
        model_base_path: The directory of a model's numbered versions, or its URI in a store.
        model_config_file: A `ModelServerConfig` in text form, which replaces the two above.
        model_config_file_poll_wait_seconds: Seconds between two readings of that file; 0 for one
            reading only.
        file_system_poll_wait_seconds: Seconds between two looks for new versions; 0 for one only.
        request_log_dir: A folder to which some answered requests are written; "" for none.
        request_log_sample: The share of them, above 0 and at most 1.
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
    request_log_dir: str = ""
    request_log_sample: float = DEFAULT_SAMPLE
    loading: Loading = dataclasses.field(default_factory=Loading)

    def __post_init__(self) -> None:
        if not self.port and not self.grpc_socket_path:
            raise invalid("give --port or --grpc_socket_path")
        if not self.model_config_file and not self.model_base_path:
            raise invalid("give --model_base_path or --model_config_file")

    def log(self) -> RequestLog | None:
        """The log of requests, if there is one.

        Raises:
            ServingError: If the folder is in a store, or the share out of its range.
        """
        if not self.request_log_dir:
            return None
        try:
            return RequestLog(self.request_log_dir, self.request_log_sample)
        except ValueError as error:
            raise invalid(f"--request_log_dir and --request_log_sample: {error}") from None

    def models(self) -> model_server_config_pb2.ModelServerConfig:
        """The models to serve, as the configuration file says now.

        Raises:
            ServingError: If the file cannot be read, or holds no configuration; or if the base path
                is a URI that holds a secret.
        """
        if self.model_config_file:
            return configuration.from_file(self.model_config_file)
        try:
            base_path = absolute(self.model_base_path)
        except StoreError as error:  # a URI that holds a secret
            raise invalid(str(error)) from None
        return configuration.one_model(self.model_name, base_path)


class Server:
    """Serves models over gRPC, and over REST if it has a port for it.

    Args:
        config: What to serve, where, and how. The models are loaded.

    Raises:
        ServingError: If a model cannot be loaded.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._models = ServedModels(config.log())
        self._running = RunningCalls()
        self._ends = threading.Event()
        self._rest: RestServer | None = None
        self._loader = Loader(self._models, config.loading)
        self._loader.reload(config.models())

    def open(self) -> None:
        """Answers from now on, and looks for new versions and configurations.

        Raises:
            ServingError: If an address cannot be taken, and then none is.
        """
        config = self._config
        if config.rest_api_port:
            self._rest = self._make_rest()
        try:
            self._open_grpc()
        except ServingError:
            self._close_rest(0.0)
            raise
        if self._rest is not None:
            self._rest.start()
            address = f"{config.host}:{config.rest_api_port}"
            logging.info("Exporting HTTP/REST API at: %s ...", address)
        self._every(config.file_system_poll_wait_seconds, self._loader.poll)
        if config.model_config_file:
            self._every(config.model_config_file_poll_wait_seconds, self._reload)

    def end(self) -> None:
        """Refuses new requests, and waits until those that run are answered.

        A request that comes now gets UNAVAILABLE, or 503 over REST, and so do those that come
        within the second after the last answer. The gRPC door is left as it is, and the process
        must end next: that closes the connections, after which clients ask again. gRPC's own end
        of a server gives CANCELLED to calls that arrive meanwhile, after which they do not.
        """
        self._ends.set()
        self._models.end()
        logging.info("Ending: new requests are refused ...")
        deadline = time.monotonic() + _GRACE + _REFUSING
        unfinished = self._running.wait_for_all(_GRACE)
        if unfinished:
            logging.error("%d requests still ran after %g seconds", unfinished, _GRACE)
        if self._models.log is not None:
            self._models.log.close()
        time.sleep(_REFUSING)
        self._close_rest(max(0.0, deadline - time.monotonic()))

    def _make_rest(self) -> RestServer:
        config = self._config
        try:
            return RestServer(
                self._models,
                self._running,
                config.host,
                config.rest_api_port,
                config.rest_api_num_threads,
            )
        except OSError as error:
            raise unavailable(f"{config.host}:{config.rest_api_port}: {error}") from None

    def _close_rest(self, seconds: float) -> None:
        if self._rest is not None:
            self._rest.stop(seconds)

    def _open_grpc(self) -> None:
        """Answers gRPC from now on."""
        config = self._config
        server = grpc_door.build(
            self._models, self._loader, self._running, threads=config.grpc_max_threads
        )
        addresses = []
        if config.port:
            addresses.append(f"{config.host}:{config.port}")
        if config.grpc_socket_path:
            addresses.append(f"unix:{os.path.abspath(config.grpc_socket_path)}")
        for address in addresses:
            try:
                server.add_insecure_port(address)
            except RuntimeError as error:
                server.stop(None)
                raise unavailable(f"{address}: {error}") from None
        server.start()
        self._grpc = server  # gRPC ends a server that nobody holds
        logging.info("Running gRPC ModelServer at %s ...", " and ".join(addresses))

    def _reload(self) -> None:
        self._loader.reload(self._config.models())

    def _every(self, seconds: int, action: Callable[[], None]) -> None:
        """Repeats an action from a thread of its own; a failure is logged, and it goes on."""

        def repeat() -> None:
            while not self._ends.wait(seconds):
                try:
                    action()
                except Exception as error:
                    logging.error("%s", error)

        if seconds:
            threading.Thread(target=repeat, daemon=True).start()
