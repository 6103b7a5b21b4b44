"""Google Cloud Storage, by Google's own client.

obstore speaks the store's XML interface, whose conditions go by generations, as this client's do;
but no server that tests can start understands it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from tafe_tf.storage.conditional.client import SECONDS, Claim, first_line
from tafe_tf.storage.errors import StoreError

_ONCE: dict[str, Any] = {"retry": None, "timeout": SECONDS}  # `retries` tries again, and says so


class GoogleClient:
    """A bucket of Google Cloud Storage; see `Client`. The mark of an object is its generation.

    Credentials are those that pyarrow finds: the application's default ones, or none for the server
    that CLOUD_STORAGE_EMULATOR_ENDPOINT names.
    """

    def __init__(self, scheme: str, bucket: str) -> None:
        with _as_os_errors():
            self._bucket = _connect().bucket(bucket)

    @staticmethod
    def check_installed() -> None:
        """See `Client.check_installed`."""
        _storage()

    def put(
        self,
        key: str,
        content: bytes,
        tag: str | None,
    ) -> str | None:
        """See `Client.put`."""
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(key)
        generation = int(tag) if tag else 0  # 0: there is none
        with _as_os_errors():
            try:
                blob.upload_from_string(content, if_generation_match=generation, **_ONCE)
            except PreconditionFailed:
                return None
        return str(blob.generation)

    def get(self, key: str) -> Claim | None:
        """See `Client.get`."""
        blob = self._bucket.blob(key)
        try:
            with _as_os_errors():
                content = blob.download_as_bytes(**_ONCE)
        except FileNotFoundError:
            return None
        return Claim(content, str(blob.generation))

    def delete(self, key: str) -> None:
        """See `Client.delete`."""
        with contextlib.suppress(FileNotFoundError), _as_os_errors():
            self._bucket.blob(key).delete(**_ONCE)

    def copy(self, source: str, target: str) -> None:
        """See `Client.copy`."""
        with _as_os_errors():
            self._bucket.copy_blob(self._bucket.blob(source), self._bucket, target, **_ONCE)


def _storage() -> Any:
    try:
        import google.cloud.storage as storage
    except ModuleNotFoundError:
        raise StoreError(
            "writing to gs:// needs the package google-cloud-storage: pip install 'tafe_tf[stores]'"
        ) from None
    return storage


def _connect() -> Any:
    storage = _storage()
    endpoint = os.environ.get("CLOUD_STORAGE_EMULATOR_ENDPOINT")
    if not endpoint:
        return storage.Client(project=None)  # no request here is a project's
    from google.auth.credentials import AnonymousCredentials

    return storage.Client(
        project=None,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
    )


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raises the client's errors as pyarrow names its own; those of a connection are OSErrors."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except exceptions.NotFound as error:
        raise FileNotFoundError(first_line(error)) from None
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise PermissionError(f"PERMISSION_DENIED: {first_line(error)}") from None
    except GoogleAuthError as error:
        raise PermissionError(f"UNAUTHENTICATED: {first_line(error)}") from None
    except exceptions.GoogleAPICallError as error:
        raise OSError(f"HTTP status {error.code}: {first_line(error)}") from None
