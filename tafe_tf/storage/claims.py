"""Objects that are made only if there is none, or replaced only while they are as they were read.

Such a request is what a claim is made of: of many that ask at once, a store lets one pass. The
clients of pyarrow and fsspec have no such request, so that of obstore is taken.
"""

from __future__ import annotations

import configparser
import contextlib
import errno
import functools
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tafe_tf.storage.addresses import inner_path, scheme_of
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.retries import again
from tafe_tf.storage.stores import s3_endpoint, s3_region

T = TypeVar("T")

SCHEMES = ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "file")
_REQUEST_SECONDS = 30


class Claim(NamedTuple):
    """An object that claims something.

    Attributes:
        content: What it holds.
        tag: The store's mark of this content, by which it can be replaced.
    """

    content: bytes
    tag: str


def check_can_claim(uri: str) -> None:
    """Refuses a store without conditional requests, or one whose client is not installed.

    Raises:
        StoreError: In one line, with what to do.
    """
    scheme = scheme_of(uri)
    if scheme not in SCHEMES:
        raise StoreError(
            f"{uri}: nothing can be written to {scheme}://, which has no conditional request to "
            f"claim a place by; those that have one are {', '.join(SCHEMES)}"
        )
    if scheme != "file":
        _obstore()


def create(uri: str, content: bytes) -> str | None:
    """Makes an object if there is none.

    Args:
        uri: The object.
        content: What it shall hold. Whoever finds the same content there takes it for their own, so
            that an answer that was lost does no harm: contents of two claims must differ.

    Returns:
        The store's mark of the content; None if another object is there already.

    Raises:
        StoreError: If the store does not take it.
    """
    if scheme_of(uri) == "file":
        return _create_file(uri, content)
    return _put_if(uri, content, "create")


def replace(uri: str, content: bytes, tag: str) -> str | None:
    """Replaces an object if it is still the one that has a mark.

    Args:
        uri: The object, which is not a file of this machine.
        content: What it shall hold, which differs from what it held; see `create`.
        tag: The mark of what it held.

    Returns:
        The mark of the new content; None if something else is there.

    Raises:
        StoreError: If the store does not take it.
    """
    return _put_if(uri, content, {"e_tag": tag})


def read(uri: str) -> Claim | None:
    """What an object of this kind holds now; None if there is none.

    Raises:
        StoreError: If the store does not say.
    """
    client = _client(uri, os.getpid())

    def get() -> Claim | None:
        try:
            found = _plainly(lambda: _obstore().get(client, _key(uri)))
        except FileNotFoundError:
            return None
        assert found is not None, "a read has no condition"
        return Claim(bytes(found.bytes()), str(found.meta["e_tag"]))

    return again(get, uri, "read it")


def delete(uri: str) -> None:
    """Removes an object; nothing happens if there is none.

    pyarrow would leave an empty object in the place of the last one of a folder.

    Raises:
        StoreError: If the store refuses.
    """
    if scheme_of(uri) == "file":
        _path_of(uri).unlink(missing_ok=True)
        return
    client = _client(uri, os.getpid())

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            _plainly(lambda: _obstore().delete(client, _key(uri)))

    again(remove, uri, "remove it")


def copy(source: str, target: str) -> None:
    """Copies an object within its bucket; one that is there is replaced.

    Raises:
        StoreError: If the store does not do it.
    """
    if scheme_of(source) == "file":
        _path_of(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_path_of(source), _path_of(target))
        return
    client = _client(source, os.getpid())
    request = functools.partial(_obstore().copy, client, _key(source), _key(target))
    again(lambda: _plainly(request), target, "copy it")


def _put_if(uri: str, content: bytes, mode: Any) -> str | None:
    client = _client(uri, os.getpid())

    def put() -> str | None:
        # One request whatever the size: an upload in parts has no condition.
        answer = _plainly(lambda: _obstore().put(client, _key(uri), content, mode=mode))
        return None if answer is None else str(answer["e_tag"])

    tag = again(put, uri, "send it")
    if tag is None:
        there = read(uri)
        if there is not None and there.content == content:  # an earlier try, whose answer was lost
            return there.tag
    return tag


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
        raise PermissionError(f"ACCESS_DENIED: {_first_line(error)}") from None
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _first_line(error)) from None
    except errors.BaseError as error:
        raise OSError(_first_line(error)) from None


def _first_line(error: Exception) -> str:
    """The first line of an error; what follows are fields of the client's own structures."""
    return str(error).partition("\n")[0]


def _create_file(uri: str, content: bytes) -> str | None:
    """Makes a file of this machine if there is none."""
    path = _path_of(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    beside.write_bytes(content)
    try:
        os.link(beside, path)
    except FileExistsError:
        return None
    finally:
        beside.unlink()
    return str(path.stat().st_mtime_ns)


def _path_of(uri: str) -> pathlib.Path:
    """Where a file:// URI lies."""
    return pathlib.Path("/" + inner_path(uri).lstrip("/"))


def _obstore() -> Any:
    try:
        import obstore
        import obstore.store
    except ModuleNotFoundError:
        raise StoreError(
            "writing to a store needs the package obstore: pip install 'tafe_tf[stores]'"
        ) from None
    return obstore


def _key(uri: str) -> str:
    """The path of an object within its bucket."""
    return inner_path(uri).partition("/")[2]


def _bucket(uri: str) -> str:
    return inner_path(uri).partition("/")[0]


def _client(uri: str, process: int) -> Any:
    return _make(scheme_of(uri), _bucket(uri), process)


@functools.lru_cache(maxsize=64)
def _make(
    scheme: str,
    bucket: str,
    process: int,  # connections do not outlive a fork
) -> Any:
    """obstore's client of a bucket, with the settings of pyarrow's; it tries once."""
    stores = _obstore().store
    options = {"timeout": f"{_REQUEST_SECONDS}s", "allow_http": True}
    once = {"max_retries": 0}
    if scheme in ("gs", "gcs"):
        return stores.GCSStore(bucket, client_options=options, retry_config=once)
    if scheme in ("abfs", "abfss"):
        url = f"{scheme}://{bucket}/"
        return stores.from_url(url, client_options=options, retry_config=once)
    settings: dict[str, Any] = _of_profile()
    endpoint = s3_endpoint()
    if endpoint:
        settings["endpoint"] = endpoint if "://" in endpoint else f"https://{endpoint}"
    settings["region"] = s3_region(bucket)
    return stores.S3Store(bucket, client_options=options, retry_config=once, **settings)


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
