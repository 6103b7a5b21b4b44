"""Versions of a model on disk and in memory."""

from __future__ import annotations

import dataclasses
import pathlib

from absl import logging
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.export import warmup
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.versions import versions
from tafe_tf.serving.wire.errors import ServingError

State = get_model_status_pb2.ModelVersionStatus


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loading:
    """How versions are loaded; names and defaults are TensorFlow Serving's, but for the threads of an operation.

    Attributes:
        enable_model_warmup: replay the warm-up requests before the first answer.
        max_num_load_retries: attempts after the first that failed.
        load_retry_interval_micros: between two attempts.
        allow_version_labels_for_unavailable_models: accept a label for a version that is not loaded yet.
        intra_op_parallelism: threads of one operation; 0 for all cores.
        inter_op_parallelism: operations at a time; 0 for all cores.
    """

    enable_model_warmup: bool = True
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    allow_version_labels_for_unavailable_models: bool = False
    intra_op_parallelism: int = 1
    inter_op_parallelism: int = 0


class Version:
    """One version of a model, loaded or not.

    Attributes:
        model: the model's name.
        number: the version.
        path: its directory.
        state: one of `State`'s.
        error: why it could not be loaded.
        session: the loaded model, while the state is AVAILABLE or UNLOADING.
    """

    def __init__(self, model: str, number: int, path: pathlib.Path) -> None:
        self.model, self.number, self.path = model, number, path
        self.state = State.START
        self.error: ServingError | None = None
        self.session: SessionModel | None = None
        self.users, self.failures, self.retry_at = 0, 0, 0.0

    def __str__(self) -> str:
        return f"{{name: {self.model} version: {self.number}}}"

    def status(self) -> get_model_status_pb2.ModelVersionStatus:
        """State and health, as GetModelStatus tells them."""
        status = State(version=self.number, state=self.state)
        status.status.SetInParent()  # OK is said too
        if self.error is not None:
            status.status.error_code = self.error.code.value[0]
            status.status.error_message = self.error.message
        return status


def open_session(path: pathlib.Path, loading: Loading) -> SessionModel:
    """Loads a SavedModel and warms it up.

    Raises:
        OSError, tf.errors.OpError, ValueError: if it is broken.
    """
    session = SessionModel(
        path,
        intra_op_parallelism=loading.intra_op_parallelism,
        inter_op_parallelism=loading.inter_op_parallelism,
    )
    if loading.enable_model_warmup:
        try:
            warmup.run(session)
        except Exception:
            session.close()
            raise
    return session


def aspired(config: model_server_config_pb2.ModelConfig) -> dict[int, pathlib.Path]:
    """Version numbers and directories that the model's policy asks for; by default the latest one."""
    found = {int(path.name): path for path in versions(config.base_path)}
    policy = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        wanted = set(policy.specific.versions)
    elif choice == "all":
        wanted = set(found)
    else:
        wanted = set(sorted(found)[-max(policy.latest.num_versions, 1) :])
    if not wanted & set(found):
        logging.warning(
            "No versions of servable %s found under base path %s", config.name, config.base_path
        )
    return {number: found[number] for number in wanted & set(found)}
