"""Serves exported models as TensorFlow Serving does, for development and tests.

    python -m serving.server --model_name=shop --model_base_path=models/shop --rest_api_port=8501

Flags, their defaults, requests, answers and errors are TensorFlow Serving's. Request batching,
metrics, TLS, GPUs and the last millisecond are its job, not this server's. This server listens on
this machine only, unless --host says otherwise.
"""

from __future__ import annotations

import signal
import sys

from absl import flags, logging

from tafe_tf.native.library import MODES
from tafe_tf.serving.server import signals
from tafe_tf.serving.server.serve import Server, ServerConfig
from tafe_tf.serving.server.versions import Loading
from tafe_tf.serving.wire.errors import ServingError
from tafe_tf.terminal import command, ending

# The class attributes of a dataclass are the defaults of its fields.
_HOST = flags.DEFINE_string(
    "host", ServerConfig.host, "The network interface to listen on; 0.0.0.0 listens on all."
)
_PORT = flags.DEFINE_integer(
    "port", ServerConfig.port, "The TCP port of the gRPC API; 0 opens none.", 0, 65535
)
_SOCKET = flags.DEFINE_string(
    "grpc_socket_path",
    ServerConfig.grpc_socket_path,
    "The path of a UNIX socket for the gRPC API; if not given, there is none.",
)
_REST_PORT = flags.DEFINE_integer(
    "rest_api_port",
    ServerConfig.rest_api_port,
    "The TCP port of the REST API; 0 opens none.",
    0,
    65535,
)
_REST_THREADS = flags.DEFINE_integer(
    "rest_api_num_threads",
    ServerConfig.rest_api_num_threads,
    "The number of REST requests answered at a time; by default four for each CPU core.",
    lower_bound=1,
)
_GRPC_THREADS = flags.DEFINE_integer(
    "grpc_max_threads",
    ServerConfig.grpc_max_threads,
    "The number of gRPC requests answered at a time; by default four for each CPU core.",
    lower_bound=1,
)
_NAME = flags.DEFINE_string(
    "model_name",
    ServerConfig.model_name,
    "The name by which requests ask for the model in --model_base_path.",
)
_BASE_PATH = flags.DEFINE_string(
    "model_base_path",
    ServerConfig.model_base_path,
    "The directory of the numbered versions of the one model to serve, or its URI in a store.",
)
_CONFIG_FILE = flags.DEFINE_string(
    "model_config_file",
    ServerConfig.model_config_file,
    "A ModelServerConfig in text form; it replaces --model_name and --model_base_path.",
)
_CONFIG_POLL = flags.DEFINE_integer(
    "model_config_file_poll_wait_seconds",
    ServerConfig.model_config_file_poll_wait_seconds,
    "Seconds between two readings of --model_config_file; 0 reads it only once.",
    0,
)
_POLL = flags.DEFINE_integer(
    "file_system_poll_wait_seconds",
    ServerConfig.file_system_poll_wait_seconds,
    "Seconds between two looks at the disk or the store for new versions; 0 looks only once.",
    0,
)
_LOG_DIR = flags.DEFINE_string(
    "request_log_dir",
    ServerConfig.request_log_dir,
    "A folder to which some requests are written with their answers, for `tafe drift` and as "
    "warm-up requests; if not given, none is.",
)
_LOG_SAMPLE = flags.DEFINE_float(
    "request_log_sample",
    ServerConfig.request_log_sample,
    "The share of requests that go to --request_log_dir, above 0 and at most 1.",
)
_WARMUP = flags.DEFINE_bool(
    "enable_model_warmup",
    Loading.enable_model_warmup,
    "Replay a version's warm-up requests before it answers its first request.",
)
_RETRIES = flags.DEFINE_integer(
    "max_num_load_retries",
    Loading.max_num_load_retries,
    "How many more times to try to load a version after it could not be loaded.",
    0,
)
_RETRY_MICROS = flags.DEFINE_integer(
    "load_retry_interval_micros",
    Loading.load_retry_interval_micros,
    "Microseconds between two attempts to load the same version.",
    0,
)
_ANY_LABELS = flags.DEFINE_bool(
    "allow_version_labels_for_unavailable_models",
    Loading.allow_version_labels_for_unavailable_models,
    "Accept a new label for a version that is not loaded yet.",
)
_INTRA = flags.DEFINE_integer(
    "tensorflow_intra_op_parallelism",
    Loading.intra_op_parallelism,
    "The number of threads that one TensorFlow operation may use; 0 for all CPU cores.",
    0,
)
_INTER = flags.DEFINE_integer(
    "tensorflow_inter_op_parallelism",
    Loading.inter_op_parallelism,
    "The number of TensorFlow operations that run at a time; 0 for all CPU cores.",
    0,
)
_NATIVE = flags.DEFINE_enum(
    "native",
    Loading.native,
    MODES,
    "Whether to compute by the native kernel for CPUs, which `tafe native` builds: auto where it "
    "was built, applies and gives warm-up requests the probabilities of the model's own "
    "operations, on refuses to serve without it, off by these operations. TensorFlow Serving has "
    "none.",
)


def main(argv: list[str]) -> None:
    """Serves until SIGTERM or SIGINT; what the user can mend ends it with one line."""
    command.only_flags(argv)
    logging.set_verbosity(logging.INFO)
    try:
        server = Server(_config())
        wait = signals.catch(signal.SIGTERM, signal.SIGINT)
        server.open()
    except ServingError as error:
        sys.exit(f"error: {error.message}")  # its code is for clients
    wait()
    server.end()
    logging.flush()
    ending.end_at_once()  # as `Server.end` asks


def _config() -> ServerConfig:
    """What the flags ask for."""
    loading = Loading(
        enable_model_warmup=_WARMUP.value,
        max_num_load_retries=_RETRIES.value,
        load_retry_interval_micros=_RETRY_MICROS.value,
        allow_version_labels_for_unavailable_models=_ANY_LABELS.value,
        intra_op_parallelism=_INTRA.value,
        inter_op_parallelism=_INTER.value,
        native=_NATIVE.value,
    )
    return ServerConfig(
        host=_HOST.value,
        port=_PORT.value,
        grpc_socket_path=_SOCKET.value,
        rest_api_port=_REST_PORT.value,
        rest_api_num_threads=_REST_THREADS.value,
        grpc_max_threads=_GRPC_THREADS.value,
        model_name=_NAME.value,
        model_base_path=_BASE_PATH.value,
        model_config_file=_CONFIG_FILE.value,
        model_config_file_poll_wait_seconds=_CONFIG_POLL.value,
        file_system_poll_wait_seconds=_POLL.value,
        request_log_dir=_LOG_DIR.value,
        request_log_sample=_LOG_SAMPLE.value,
        loading=loading,
    )


if __name__ == "__main__":
    command.run(main)
