"""A server for development and tests that answers as TensorFlow Serving does, where that cannot be installed.

    python -m serving.server --model_name=shop --model_base_path=models/shop --rest_api_port=8501

Flags, their defaults, requests, answers and errors are TensorFlow Serving's. Request batching, metrics, TLS, GPUs and
the last millisecond are its job, not this server's. It listens on this machine only, unless --host says otherwise.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import grpc
from absl import app, flags, logging
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.server import grpc_door
from tafe_tf.serving.server.models import Models, one_model
from tafe_tf.serving.server.rest_door import RestServer
from tafe_tf.serving.server.versions import Loading
from tafe_tf.serving.wire.errors import ServingError, invalid

_DEFAULT = Loading()
_GRACE = 10.0  # seconds that running requests get at the end
_THREADS = 4 * (os.cpu_count() or 1)

_HOST = flags.DEFINE_string("host", "localhost", "The interface to listen on; 0.0.0.0 for all.")
_PORT = flags.DEFINE_integer("port", 8500, "TCP port of the gRPC API; 0 for none.", 0, 65535)
_SOCKET = flags.DEFINE_string("grpc_socket_path", "", "UNIX socket of the gRPC API, if any.")
_REST_PORT = flags.DEFINE_integer(
    "rest_api_port", 0, "TCP port of the REST API; 0 for none.", 0, 65535
)
_REST_THREADS = flags.DEFINE_integer(
    "rest_api_num_threads", _THREADS, "REST requests at a time.", lower_bound=1
)
_GRPC_THREADS = flags.DEFINE_integer(
    "grpc_max_threads", _THREADS, "gRPC requests at a time.", lower_bound=1
)
_NAME = flags.DEFINE_string("model_name", "default", "Name of the model; see --model_base_path.")
_BASE_PATH = flags.DEFINE_string("model_base_path", "", "Holds the model's numbered versions.")
_CONFIG_FILE = flags.DEFINE_string(
    "model_config_file", "", "A ModelServerConfig in text form; replaces the two above."
)
_CONFIG_POLL = flags.DEFINE_integer(
    "model_config_file_poll_wait_seconds",
    0,
    "Seconds between two readings of that file; 0 for one only.",
    0,
)
_POLL = flags.DEFINE_integer(
    "file_system_poll_wait_seconds",
    1,
    "Seconds between two looks for new versions; 0 for one only.",
    0,
)
_WARMUP = flags.DEFINE_bool(
    "enable_model_warmup", True, "Replay a version's warm-up requests before it answers."
)
_RETRIES = flags.DEFINE_integer(
    "max_num_load_retries",
    _DEFAULT.max_num_load_retries,
    "Further attempts to load a version that failed.",
    0,
)
_RETRY_MICROS = flags.DEFINE_integer(
    "load_retry_interval_micros",
    _DEFAULT.load_retry_interval_micros,
    "Microseconds between two attempts.",
    0,
)
_ANY_LABELS = flags.DEFINE_bool(
    "allow_version_labels_for_unavailable_models",
    False,
    "Accept labels of versions that are not loaded yet.",
)
_INTRA = flags.DEFINE_integer(
    "tensorflow_intra_op_parallelism", 1, "Threads of one operation; 0 for all cores.", 0
)
_INTER = flags.DEFINE_integer(
    "tensorflow_inter_op_parallelism", 0, "Operations at a time; 0 for all cores.", 0
)


def config() -> model_server_config_pb2.ModelServerConfig:
    """What the flags ask to serve.

    Raises:
        ServingError: if they name nothing, or a file that is no configuration.
    """
    if not _CONFIG_FILE.value:
        if not _BASE_PATH.value:
            raise invalid("give --model_base_path or --model_config_file")
        return one_model(_NAME.value, os.path.abspath(_BASE_PATH.value))
    try:
        with open(_CONFIG_FILE.value, encoding="utf-8") as file:
            return text_format.Parse(file.read(), model_server_config_pb2.ModelServerConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise invalid(f"{_CONFIG_FILE.value}: {error}") from None


def loading() -> Loading:
    """How the flags ask to load."""
    return Loading(
        enable_model_warmup=_WARMUP.value,
        max_num_load_retries=_RETRIES.value,
        load_retry_interval_micros=_RETRY_MICROS.value,
        allow_version_labels_for_unavailable_models=_ANY_LABELS.value,
        intra_op_parallelism=_INTRA.value,
        inter_op_parallelism=_INTER.value,
    )


def serve(stop: threading.Event) -> None:
    """Serves until `stop` is set, then lets running requests end.

    Raises:
        ServingError: if a model cannot be loaded, or an address cannot be taken.
    """
    if not _PORT.value and not _SOCKET.value:
        raise invalid("give --port or --grpc_socket_path")
    models = Models(loading())
    models.reload(config())
    doors: list[Callable[[], object]] = []
    try:
        doors.append(_open_grpc(models))
        if _REST_PORT.value:
            doors.append(_open_rest(models))
        _every(_POLL.value, stop, models.poll)
        if _CONFIG_FILE.value:
            _every(_CONFIG_POLL.value, stop, lambda: models.reload(config()))
        stop.wait()
    finally:
        for close in doors:
            close()
        models.close()


def _open_grpc(models: Models) -> Callable[[], object]:
    server = grpc_door.build(models, threads=_GRPC_THREADS.value)
    addresses = [f"{_HOST.value}:{_PORT.value}"] if _PORT.value else []
    addresses += [f"unix:{os.path.abspath(_SOCKET.value)}"] if _SOCKET.value else []
    for address in addresses:
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, f"{address}: {error}") from None
    server.start()
    logging.info("Running gRPC ModelServer at %s ...", " and ".join(addresses))
    return lambda: server.stop(_GRACE).wait()


def _open_rest(models: Models) -> Callable[[], object]:
    address = f"{_HOST.value}:{_REST_PORT.value}"
    try:
        server = RestServer(models, _HOST.value, _REST_PORT.value, _REST_THREADS.value)
    except OSError as error:
        raise ServingError(grpc.StatusCode.UNAVAILABLE, f"{address}: {error}") from None
    server.start()
    logging.info("Exporting HTTP/REST API at: %s ...", address)
    return lambda: server.stop(_GRACE)


def _every(seconds: int, stop: threading.Event, action: Callable[[], None]) -> None:
    """Repeats an action from a thread of its own; what goes wrong once is said, and tried again."""

    def repeat() -> None:
        while not stop.wait(seconds):
            try:
                action()
            except Exception as error:
                logging.error("%s", error)

    if seconds:
        threading.Thread(target=repeat, daemon=True).start()


def main(argv: list[str]) -> None:
    """Serves until SIGTERM or SIGINT; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve(stop)
    except ServingError as error:
        sys.exit(f"error: {error.message}")


if __name__ == "__main__":
    app.run(main)
