"""The models being served, as requests see them: which version answers, and how the versions are.

The words and the rules are TensorFlow Serving's: a model has numbered versions, each in one of
`State`'s states, and labels that stand for numbers. `Loader` changes what is served.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Iterable, Iterator, Mapping

from tensorflow_serving.apis import get_model_status_pb2, model_pb2

from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.request_log import RequestLog
from tafe_tf.serving.server.versions import State, Version
from tafe_tf.serving.wire.errors import ServingError, invalid, not_found, unavailable


class ServedModels:
    """Finds the version that answers a request; may be used from many threads.

    A version that a request uses stays loaded until the request is answered. The methods from
    `versions` on are the loader's: they change what is served.

    Args:
        log: Where some of the requests go that are answered. Default: None, nowhere.

    Attributes:
        log: The same.
        is_ending: Whether `end` was called.
    """

    def __init__(self, log: RequestLog | None = None) -> None:
        self.log = log
        self.is_ending = False
        self._labels: dict[str, dict[str, int]] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._changed = threading.Condition()  # guards the attributes and the versions' states

    def end(self) -> None:
        """Refuses new requests from now on; no version says that it is AVAILABLE."""
        self.is_ending = True

    def check_open(self) -> None:
        """Refuses a request once the server ends.

        Raises:
            ServingError: UNAVAILABLE, after which clients ask again, here or elsewhere.
        """
        if self.is_ending:
            raise unavailable("the server is ending; ask again")

    @contextlib.contextmanager
    def use(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """The version that a request names, kept loaded until the block ends.

        Raises:
            ServingError: INVALID_ARGUMENT for no name or an unknown label; NOT_FOUND for an unknown
                model, or a version that is not loaded; UNAVAILABLE once the server ends.
        """
        self.check_open()
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
        known = self._versions.get(spec.name, {})
        ready = {n: version for n, version in known.items() if version.state == State.AVAILABLE}
        number = max(ready, default=None) if wanted is None else wanted
        if number in ready:
            return ready[number]
        request = f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
        raise not_found(f"Servable not found for request: {request}")

    def _wanted_number(self, spec: model_pb2.ModelSpec) -> int | None:
        """The number that a request asks for by itself or by its label; None for the latest."""
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
        """State and health of the version that a request names, or of all, the newest first.

        Raises:
            ServingError: NOT_FOUND if there is no such model or version.
        """
        with self._changed:
            known = self._versions.get(spec.name, {})
            if spec.HasField("version"):
                number = spec.version.value
                if number not in known:
                    raise not_found(f"Could not find version {number} of model {spec.name}")
                return [self._status(known[number])]
            if not known:
                raise not_found(f"Could not find any versions of model {spec.name}")
            return [self._status(known[number]) for number in sorted(known, reverse=True)]

    def _status(self, version: Version) -> get_model_status_pb2.ModelVersionStatus:
        status = version.status()
        if self.is_ending and status.state == State.AVAILABLE:
            status.state = State.UNLOADING
        return status

    def names(self) -> set[str]:
        """The names of all models that are or were to be loaded."""
        with self._changed:
            return set(self._versions)

    def versions(self, name: str) -> dict[int, Version]:
        """A model's versions by number, none for an unknown model."""
        with self._changed:
            return dict(self._versions.get(name, {}))

    def labels(self, name: str) -> dict[str, int]:
        """A model's labels and the versions they stand for."""
        with self._changed:
            return dict(self._labels.get(name, {}))

    def set_labels(self, labels: Mapping[str, Mapping[str, int]]) -> None:
        """Replaces the labels of all models, by the model's name."""
        with self._changed:
            self._labels = {name: dict(numbers) for name, numbers in labels.items()}

    def add(self, name: str, paths: Mapping[int, pathlib.Path | str]) -> dict[int, Version]:
        """Adds those versions of a model that are not known yet, not loaded.

        Args:
            name: The model's name.
            paths: The directories of its versions by number, or their URIs.

        Returns:
            All versions of the model by number.
        """
        with self._changed:
            known = self._versions.setdefault(name, {})
            for number, path in paths.items():
                known.setdefault(number, Version(name, number, path))
            return dict(known)

    def forget(self, name: str) -> None:
        """Removes a model, whose versions must be unloaded."""
        with self._changed:
            del self._versions[name]

    def set_state(self, version: Version, state: int, error: ServingError | None = None) -> None:
        """Says how a version is, and why it could not be loaded, if so."""
        with self._changed:
            version.state = state
            version.error = error

    def failed(self, names: Iterable[str]) -> list[Version]:
        """The versions of these models that could not be loaded."""
        failed: list[Version] = []
        with self._changed:
            for name in names:
                versions = self._versions.get(name, {}).values()
                failed += [version for version in versions if version.error is not None]
        return failed

    def withdraw(self, version: Version) -> SessionModel | None:
        """Gives a version no new request and waits until those that use it are answered.

        Returns:
            The version's session, to be closed; None if the version was not loaded.
        """
        if version.session is None:
            return None
        with self._changed:
            version.state = State.UNLOADING
            self._changed.wait_for(lambda: version.users == 0)
            session = version.session
            version.session = None
            version.state = State.END
        return session
