"""S3 and Azure, by obstore: of all clients the lightest with conditions."""

from __future__ import annotations

import configparser
import contextlib
import errno
import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

from tafe_tf.storage.conditional.client import SECONDS, Claim, first_line
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.stores import s3_endpoint, s3_region

T = TypeVar("T")

_SETTINGS: dict[str, Any] = {
    "client_options": {"timeout": f"{SECONDS}s", "allow_http": True},
    "retry_config": {"max_retries": 0},  # `retries` tries again, and says so
}


class _ObstoreClient:
    """A bucket that obstore knows; see `Client`. The mark of an object is its ETag."""

    def __init__(self, scheme: str, bucket: str) -> None:
        self._store = self.connect(scheme, bucket)

    def connect(self, scheme: str, bucket: str) -> Any:
        """Makes obstore's own client."""
        raise NotImplementedError

    @staticmethod
    def check_installed() -> None:
        """See `Client.check_installed`."""
        _obstore()

    def put(
        self,
        key: str,
        content: bytes,
        tag: str | None,
    ) -> str | None:
        """See `Client.put`."""
        mode: Any = "create" if tag is None else {"e_tag": tag}
        # One request whatever the size: an upload in parts has no condition.
        answer = _plainly(lambda: _obstore().put(self._store, key, content, mode=mode))
        return None if answer is None else str(answer["e_tag"])

    def get(self, key: str) -> Claim | None:
        """See `Client.get`."""
        try:
            found = _plainly(lambda: _obstore().get(self._store, key))
        except FileNotFoundError:
            return None
        assert found is not None, "a read has no condition"
        return Claim(bytes(found.bytes()), str(found.meta["e_tag"]))

    def delete(self, key: str) -> None:
        """See `Client.delete`."""
        with contextlib.suppress(FileNotFoundError):
            _plainly(lambda: _obstore().delete(self._store, key))

    def copy(self, source: str, target: str) -> None:
        """See `Client.copy`."""
        _plainly(lambda: _obstore().copy(self._store, source, target))


class S3Client(_ObstoreClient):
    """A bucket of S3, with the settings of pyarrow's client."""

    def connect(self, scheme: str, bucket: str) -> Any:
        """See `_ObstoreClient.connect`."""
        settings: dict[str, Any] = _of_profile()
        endpoint = s3_endpoint()
        if endpoint:
            settings["endpoint"] = endpoint if "://" in endpoint else f"https://{endpoint}"
        settings["region"] = s3_region(bucket)
        return _obstore().store.S3Store(bucket, **_SETTINGS, **settings)


class AzureClient(_ObstoreClient):
    """A container of Azure's."""

    def connect(self, scheme: str, bucket: str) -> Any:
        """See `_ObstoreClient.connect`."""
        return _obstore().store.from_url(f"{scheme}://{bucket}/", **_SETTINGS)


def _obstore() -> Any:
    try:
        import obstore
        import obstore.store
    except ModuleNotFoundError:
        raise StoreError(
            "writing to a store needs the package obstore: pip install 'tafe_tf[stores]'"
        ) from None
    return obstore


def _plainly(request: Callable[[], T]) -> T | None:
    """Makes a request; None if its condition does not hold.

    Raises:
        OSError: As pyarrow raises them; the message is one line.
    """
    errors = _obstore().exceptions
    try:
        return request()
    except (errors.AlreadyExistsError, errors.PreconditionError):
        return None
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        raise PermissionError(f"ACCESS_DENIED: {first_line(error)}") from None
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, first_line(error)) from None
    except errors.BaseError as error:
        raise OSError(first_line(error)) from None


def _of_profile() -> dict[str, str]:
    """The keys of the user's profile, which pyarrow reads and obstore does not."""
    if "AWS_ACCESS_KEY_ID" in os.environ:
        return {}
    default = pathlib.Path.home() / ".aws" / "credentials"
    file = pathlib.Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or default)
    profiles = configparser.RawConfigParser()
    profiles.read(file)  # nothing if it is not there
    name = os.environ.get("AWS_PROFILE") or "default"
    section = profiles[name] if profiles.has_section(name) else {}
    found = {}
    for key in ("access_key_id", "secret_access_key", "session_token"):
        if f"aws_{key}" in section:
            found[key] = section[f"aws_{key}"]
    return found
