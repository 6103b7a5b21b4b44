"""What changes the models being served: configurations, versions that appear on disk, the end.

A model's version policy says which of the numbered directories below its base path are aspired to.
A new version is loaded before an old one goes, as in TensorFlow Serving.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pathlib
import threading
import time
from collections.abc import Mapping, Sequence

import grpc
from absl import logging
from tensorflow_serving.config import model_server_config_pb2

from tafe_tf.serving.server import configuration
from tafe_tf.serving.server.models import ServedModels
from tafe_tf.serving.server.versions import Loading, State, Version, aspired, open_session
from tafe_tf.serving.wire.errors import ServingError, failed_precondition
from tafe_tf.storage.addresses import is_remote
from tafe_tf.storage.errors import StoreError


class Loader:
    """Loads and unloads versions of models; may be used from many threads, which take turns.

    Args:
        models: The models that requests see.
        loading: How versions are loaded; by default as `Loading` says.
    """

    def __init__(self, models: ServedModels, loading: Loading | None = None) -> None:
        self._models = models
        self._loading = loading or Loading()
        self._config = model_server_config_pb2.ModelServerConfig()
        self._turn = threading.Lock()  # held while versions are loaded or unloaded

    def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Serves the models of a configuration from now on, and no others.

        It returns once all of them are loaded.

        Raises:
            ServingError: If the configuration breaks a rule, and then nothing is changed; or if a
                new model did not become available, and then the others are served as configured.
        """
        with self._turn:
            configuration.check(config, self._config)
            models = config.model_config_list.config
            labels = {model.name: self._check_labels(model) for model in models}
            before = self._models.names()
            self._config = config
            self._models.set_labels(labels)
            self._look()
            self._check_available([model.name for model in models if model.name not in before])

    def poll(self) -> None:
        """Looks once: loads versions that have appeared, then unloads the replaced."""
        with self._turn:
            self._look()

    def close(self) -> None:
        """Unloads everything, once the requests that run are answered."""
        with self._turn:
            for name in self._models.names():
                self._move(name, {})

    def _check_labels(self, model: model_server_config_pb2.ModelConfig) -> dict[str, int]:
        """A model's labels, each of which must stand for a version that is loaded."""
        known = self._models.versions(model.name)
        current = self._models.labels(model.name)
        for label, number in model.version_labels.items():
            keeps_its_number = current.get(label, number) == number
            if self._loading.allow_version_labels_for_unavailable_models and keeps_its_number:
                continue
            if number not in known or known[number].state != State.AVAILABLE:
                raise failed_precondition(
                    f"Request to assign label to version {number} of model {model.name}, "
                    "which is not currently available for inference"
                )
        return dict(model.version_labels)

    def _check_available(self, names: Sequence[str]) -> None:
        failed = self._models.failed(names)
        if not failed:
            return
        reasons = [f"{{{version} due to error: {version.error}}}" for version in failed]
        raise ServingError(
            grpc.StatusCode.UNKNOWN,
            f"{len(failed)} model(s) did not become available: {{{', '.join(reasons)}}}",
        )

    def _look(self) -> None:
        """Brings the versions in memory in line with the configuration and the disk."""
        configs = {config.name: config for config in self._config.model_config_list.config}
        for name, config in configs.items():
            base = config.base_path
            if not is_remote(base) and not os.path.isdir(base):
                # Perhaps for a moment only, so what is loaded stays.
                logging.error("Could not find base path %s for servable %s", base, name)
                continue
            try:
                found = aspired(config)
            except StoreError as error:
                logging.error("%s", error)  # for a moment, too
                continue
            self._move(name, found)
        for name in self._models.names() - set(configs):
            self._move(name, {})
            self._models.forget(name)

    def _move(self, name: str, wanted: Mapping[int, pathlib.Path | str]) -> None:
        """Loads the versions aspired to, the newest first, and then unloads the others.

        The others stay while no version that is aspired to could answer in their place.
        """
        known = self._models.add(name, wanted)
        for number in sorted(wanted, reverse=True):
            if self._is_due(known[number]):
                self._load(known[number])
        can_answer = any(known[number].state == State.AVAILABLE for number in wanted)
        if wanted and not can_answer:
            return
        for number, version in known.items():
            if number not in wanted:
                self._unload(version)

    def _is_due(self, version: Version) -> bool:
        """Whether a version is to be loaded now: for the first time, or again after a failure."""
        if version.state not in (State.START, State.END):
            return False
        tries_left = version.failures <= self._loading.max_num_load_retries
        return tries_left and time.monotonic() >= version.retry_at

    def _load(self, version: Version) -> None:
        self._models.set_state(version, State.LOADING)
        try:
            version.session = open_session(version.path, self._loading)
        except Exception as error:  # whatever a broken version does, the others go on answering
            version.failures += 1
            pause = self._loading.load_retry_interval_micros / 1e6
            version.retry_at = time.monotonic() + pause
            text = f"{version} cannot be loaded from {version.path}: {error}"
            logging.error("%s", text)
            failure = ServingError(grpc.StatusCode.UNKNOWN, text)
            self._models.set_state(version, State.END, failure)
            return
        version.failures = 0
        self._models.set_state(version, State.AVAILABLE)
        logging.info("%s is available", version)

    def _unload(self, version: Version) -> None:
        version.failures = 0
        version.retry_at = 0.0
        session = self._models.withdraw(version)
        if session is None:
            return
        session.close()
        del session  # the last one who holds it
        _give_memory_back()
        logging.info("%s is unloaded", version)


def _give_memory_back() -> None:
    """Lets the system have the memory of what was unloaded: MiB for each version.

    A graph's parts name each other, so Python must look for them, and glibc keeps what is freed.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other libraries have no such function
    if trim is not None:
        trim(0)
