"""One version of a model, on disk or in a store, and in memory."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator

import tensorflow as tf
from absl import logging
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.export import kernel_check, manifest, warmup
from tafe_tf.export.errors import ExportError
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.versions import newest_first, versions
from tafe_tf.native.library import Mode
from tafe_tf.serving.wire.errors import ServingError
from tafe_tf.storage.addresses import is_remote, name_of
from tafe_tf.storage.staging import stage

State = get_model_status_pb2.ModelVersionStatus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loading:
    """How versions are loaded.

    Names and defaults are TensorFlow Serving's, except for the threads of an operation.

    Attributes:
        enable_model_warmup: Replay a version's warm-up requests before its first answer.
        max_num_load_retries: Attempts to load a version after the first one failed.
        load_retry_interval_micros: Microseconds between two attempts.
        allow_version_labels_for_unavailable_models: Accept a new label for a version that is not
            loaded yet.
        intra_op_parallelism: Threads that one TensorFlow operation may use; 0 for all cores.
        inter_op_parallelism: TensorFlow operations that run at a time; 0 for all cores.
        native: Whether the native kernel computes in place of the layers, see `SessionModel`.
    """

    enable_model_warmup: bool = True
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    allow_version_labels_for_unavailable_models: bool = False
    intra_op_parallelism: int = 1
    inter_op_parallelism: int = 0
    native: Mode = "auto"


class Version:
    """One version of a model, loaded or not.

    Attributes:
        model: The model's name.
        number: The version's number.
        path: Its directory, or its URI.
        state: One of `State`'s values, START at first.
        error: Why it could not be loaded, or None.
        session: The loaded model while the state is AVAILABLE or UNLOADING, else None.
        users: The number of requests that use it now.
        failures: How often loading it has failed since it was last loaded or unloaded.
        retry_at: When it may be loaded again, on the monotonic clock.
    """

    def __init__(self, model: str, number: int, path: pathlib.Path | str) -> None:
        self.model = model
        self.number = number
        self.path = path
        self.state = State.START
        self.error: ServingError | None = None
        self.session: SessionModel | None = None
        self.users = 0
        self.failures = 0
        self.retry_at = 0.0

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """State and health, as GetModelStatus answers them."""
        status = State(version=self.number, state=self.state)
        status.status.SetInParent()  # so that OK is sent too
        if self.error is not None:
            status.status.error_code = self.error.code.value[0]
            status.status.error_message = self.error.message
        return status


def open_session(address: pathlib.Path | str, loading: Loading) -> SessionModel:
    """Loads a SavedModel, if its files are those that were published, and warms it up.

    Args:
        address: The version's directory, or its URI, from where it is brought to this machine.
        loading: How.

    Raises:
        StoreError: If it cannot be brought.
        ManifestError: If a file is another one than was published.
        OSError: If there is no SavedModel.
        tf.errors.OpError: if it cannot be loaded, or a warm-up request fails.
        ValueError: If the file of warm-up requests is damaged, or the kernel is asked for and
            cannot be used.
        ExportError: If it is asked for and computes something else than the SavedModel.
    """
    path = stage(address)
    logging.info("%s: %s", path, manifest.check(path))
    session = SessionModel(
        path,
        intra_op_parallelism=loading.intra_op_parallelism,
        inter_op_parallelism=loading.inter_op_parallelism,
        native=loading.native,
    )
    try:
        if session.native_signatures:
            _check_kernel(session, loading)
        logging.info("%s: %s", path, session.way)
        if loading.enable_model_warmup:
            warmup.run(session)
    except Exception:
        session.close()
        raise
    return session


def _check_kernel(session: SessionModel, loading: Loading) -> None:
    """Leaves the kernel, unless it must be used, where it computes something else."""
    try:
        kernel_check.check_warmup(session)
    except (ExportError, tf.errors.OpError) as error:
        if loading.native == "on":
            raise
        session.leave_kernel(str(error))


def aspired(config: model_server_config_pb2.ModelConfig) -> dict[int, pathlib.Path | str]:
    """The versions on disk, or whole in a store, that a model's policy asks for.

    Returns:
        Their directories or URIs by number. By default it is the latest one.

    Raises:
        StoreError: If the store cannot be read.
    """
    addresses = _newest_first(config.base_path)
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        numbers = set(policy.specific.versions)
        wanted = [address for address in addresses if int(name_of(address)) in numbers]
    elif choice == "all":
        wanted = list(addresses)
    else:
        count = max(policy.latest.num_versions, 1)
        wanted = list(itertools.islice(addresses, count))
    if not wanted:
        logging.warning(
            "No versions of servable %s found under base path %s", config.name, config.base_path
        )
    return {int(name_of(address)): address for address in wanted}


def _newest_first(base_path: str) -> Iterator[pathlib.Path | str]:
    if is_remote(base_path):
        return newest_first(base_path)
    return reversed(versions(base_path))
