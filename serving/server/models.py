"""The models being served: which versions are loaded, and which of them answers a request.

The words and the rules are TensorFlow Serving's: a model has versions, numbered directories below its base path; its
version policy says which are aspired to; a new one is loaded before an old one goes.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
from collections.abc import Iterator, Mapping

import grpc
from absl import logging
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.server.versions import Loading, State, Version, aspired, open_session
from tafe_tf.serving.wire.errors import ServingError, failed_precondition, invalid, not_found

PLATFORM = "tensorflow"


class Models:
    """Loads, unloads and finds versions; may be used from many threads.

    Args:
        loading: how versions are loaded.
    """

    def __init__(self, loading: Loading | None = None) -> None:
        self._loading = loading or Loading()
        self._config = model_server_config_pb2.ModelServerConfig()
        self._labels: dict[str, dict[str, int]] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._changing = (
            threading.Lock()
        )  # held by whoever loads or unloads, for as long as that takes
        self._changed = threading.Condition()  # guards all attributes, never for long

    # ---- what requests ask

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """The version that a request names, kept loaded until the block ends.

        Raises:
            ServingError: INVALID_ARGUMENT for no name or an unknown label, NOT_FOUND for an unknown model or version.
        """
        with self._changed:
            version = self._find(spec)
            version.users += 1
        try:
            yield version
        finally:
            with self._changed:
                version.users -= 1
                self._changed.notify_all()

    def _find(self, spec: model_pb2.ModelSpec) -> Version:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        wanted = self._wanted_number(spec)
        ready = {
            n: v for n, v in self._versions.get(spec.name, {}).items() if v.state == State.AVAILABLE
        }
        number = max(ready, default=None) if wanted is None else wanted
        if number not in ready:
            request = (
                f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
            )
            raise not_found(f"Servable not found for request: {request}")
        return ready[number]

    def _wanted_number(self, spec: model_pb2.ModelSpec) -> int | None:
        choice = spec.WhichOneof("version_choice")
        if choice == "version":
            return int(spec.version.value)
        if choice == "version_label":
            number = self._labels.get(spec.name, {}).get(spec.version_label)
            if number is None:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            return number
        return None

    def status(self, spec: model_pb2.ModelSpec) -> list[get_model_status_pb2.ModelVersionStatus]:
        """State and health of the version named, or of all, the newest first.

        Raises:
            ServingError: NOT_FOUND if there is none.
        """
        with self._changed:
            known = self._versions.get(spec.name, {})
            if spec.HasField("version"):
                number = spec.version.value
                if number not in known:
                    raise not_found(f"Could not find version {number} of model {spec.name}")
                return [known[number].status()]
            if not known:
                raise not_found(f"Could not find any versions of model {spec.name}")
            return [known[number].status() for number in sorted(known, reverse=True)]

    # ---- what changes

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Serves the models of `config` from now on, those it does not list no more; returns once they are loaded.

        Raises:
            ServingError: if the configuration breaks a rule, and nothing is changed; or if a new model did not
                become available, and the others are served as configured.
        """
        with self._changing:
            if config.WhichOneof("config") != "model_config_list":
                raise invalid(
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is "
                    "currently supported"
                )
            self._check(config)
            labels = {c.name: self._check_labels(c) for c in config.model_config_list.config}
            with self._changed:
                before = set(self._versions)
                self._config, self._labels = config, labels
            self._look()
            self._check_available(
                [c.name for c in config.model_config_list.config if c.name not in before]
            )

    def _check(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        names: set[str] = set()
        for model in config.model_config_list.config:
            if model.name in names:
                raise invalid(f"Illegal to list model {model.name} multiple times in config list")
            names.add(model.name)
        for model in config.model_config_list.config:
            if not pathlib.PurePath(model.base_path).is_absolute():
                raise invalid(
                    f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
                )
            if not model.model_platform:
                raise invalid(
                    "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                    f"ModelServerConfig::model_platform, model name is {model.name}"
                )
            if model.model_platform != PLATFORM:
                raise invalid(
                    f"Model {model.name} requests unsupported platform {model.model_platform}"
                )
            if not pathlib.Path(model.base_path).is_dir():
                raise invalid(
                    f"Could not find base path {model.base_path} for servable {model.name}"
                )

    def _check_labels(self, config: model_server_config_pb2.ModelConfig) -> dict[str, int]:
        with self._changed:
            known = self._versions.get(config.name, {})
            current = self._labels.get(config.name, {})
        for label, number in config.version_labels.items():
            is_new = current.get(label, number) == number
            if self._loading.allow_version_labels_for_unavailable_models and is_new:
                continue
            if number not in known or known[number].state != State.AVAILABLE:
                raise failed_precondition(
                    f"Request to assign label to version {number} of model {config.name}, which is not currently "
                    "available for inference"
                )
        return dict(config.version_labels)

    def _check_available(self, names: list[str]) -> None:
        with self._changed:
            failed = [
                v
                for name in names
                for v in self._versions.get(name, {}).values()
                if v.error is not None
            ]
        if failed:
            reasons = ", ".join(
                f"{{{version} due to error: {version.error}}}" for version in failed
            )
            message = f"{len(failed)} model(s) did not become available: {{{reasons}}}"
            raise ServingError(grpc.StatusCode.UNKNOWN, message)

    def poll(self) -> None:
        """Looks at the disk once: loads versions that have appeared, then unloads what they replace."""
        with self._changing:
            self._look()

    def _look(self) -> None:
        configs = {config.name: config for config in self._config.model_config_list.config}
        for name, config in configs.items():
            base = pathlib.Path(config.base_path)
            if not base.is_dir():  # gone for a moment, perhaps: what is loaded stays
                logging.error("Could not find base path %s for servable %s", base, name)
                continue
            self._move(name, aspired(config))
        for name in set(self._versions) - set(configs):
            self._move(name, {})
            with self._changed:
                del self._versions[name]

    def _move(self, name: str, wanted: Mapping[int, pathlib.Path]) -> None:
        """Loads what is aspired to, the newest first; unloads the rest, unless nothing else could answer."""
        with self._changed:
            known = self._versions.setdefault(name, {})
            for number in wanted:
                known.setdefault(number, Version(name, number, wanted[number]))
        for number in sorted(wanted, reverse=True):
            version = known[number]
            is_due = (
                version.failures <= self._loading.max_num_load_retries
                and time.monotonic() >= version.retry_at
            )
            if version.state in (State.START, State.END) and is_due:
                self._load(version)
        if not wanted or any(known[number].state == State.AVAILABLE for number in wanted):
            for number, version in known.items():
                if number not in wanted:
                    self._unload(version)

    def _load(self, version: Version) -> None:
        self._set(version, State.LOADING)
        try:
            version.session = open_session(version.path, self._loading)
        except Exception as error:  # whatever a broken version does, the others go on answering
            version.failures += 1
            version.retry_at = time.monotonic() + self._loading.load_retry_interval_micros / 1e6
            text = f"{version} cannot be loaded from {version.path}: {error}"
            logging.error("%s", text)
            self._set(version, State.END, ServingError(grpc.StatusCode.UNKNOWN, text))
            return
        version.failures = 0
        self._set(version, State.AVAILABLE)
        logging.info("%s is available", version)

    def _unload(self, version: Version) -> None:
        """Takes no new request, waits for those that run, and frees the session."""
        version.failures, version.retry_at = 0, 0.0
        if version.session is None:
            return
        with self._changed:
            version.state = State.UNLOADING
            self._changed.wait_for(lambda: version.users == 0)
            session, version.session = version.session, None
            version.state = State.END
        session.close()
        logging.info("%s is unloaded", version)

    def _set(self, version: Version, state: int, error: ServingError | None = None) -> None:
        with self._changed:
            version.state, version.error = state, error

    def close(self) -> None:
        """Unloads everything, once what runs has ended."""
        with self._changing:
            for name in list(self._versions):
                self._move(name, {})


def one_model(name: str, base_path: str) -> model_server_config_pb2.ModelServerConfig:
    """The configuration of a single model, its latest version."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config
