"""Objects that are made only if there is none, or replaced only while they are as they were read.

Such a request is what a claim is made of: of many that ask at once, a store lets one pass. The
clients of pyarrow and fsspec have no such request, so that others make it: Google's own for its
Cloud Storage, obstore for S3 and Azure.
"""

from __future__ import annotations

import functools
import os
import threading

from tafe_tf.storage.addresses import inner_path, scheme_of
from tafe_tf.storage.conditional.client import Claim, Client
from tafe_tf.storage.conditional.files import FileClient
from tafe_tf.storage.conditional.google import GoogleClient
from tafe_tf.storage.conditional.s3_azure import AzureClient, S3Client
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.retries import again

_CLIENTS: dict[str, type[Client]] = {
    "s3": S3Client,
    "s3a": S3Client,
    "s3n": S3Client,
    "gs": GoogleClient,
    "gcs": GoogleClient,
    "abfs": AzureClient,
    "abfss": AzureClient,
    "file": FileClient,
}


def check_can_claim(uri: str) -> None:
    """Refuses a store without conditional requests, or one whose client is not installed.

    Raises:
        StoreError: In one line, with what to do.
    """
    scheme = scheme_of(uri)
    if scheme not in _CLIENTS:
        raise StoreError(
            f"{uri}: nothing can be written to {scheme}://, which has no conditional request to "
            f"claim a place by; those that have one are {', '.join(_CLIENTS)}"
        )
    _CLIENTS[scheme].check_installed()


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
    return _put(uri, content, None)


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
    return _put(uri, content, tag)


def read(uri: str) -> Claim | None:
    """What an object of this kind holds now; None if there is none.

    Raises:
        StoreError: If the store does not say.
    """
    client = _client(uri)
    return again(lambda: client.get(_key(uri)), uri, "read it")


def delete(uri: str) -> None:
    """Removes an object; nothing happens if there is none.

    pyarrow would leave an empty object in the place of the last one of a folder.

    Raises:
        StoreError: If the store refuses.
    """
    client = _client(uri)
    again(lambda: client.delete(_key(uri)), uri, "remove it")


def copy(source: str, target: str) -> None:
    """Copies an object within its bucket; one that is there is replaced.

    Raises:
        StoreError: If the store does not do it.
    """
    client = _client(source)
    again(lambda: client.copy(_key(source), _key(target)), target, "copy it")


def _put(
    uri: str,
    content: bytes,
    tag: str | None,
) -> str | None:
    client = _client(uri)
    new = again(lambda: client.put(_key(uri), content, tag), uri, "send it")
    if new is None:
        there = read(uri)
        if there is not None and there.content == content:  # an earlier try, whose answer was lost
            return there.tag
    return new


def _key(uri: str) -> str:
    """The path of an object within its bucket."""
    return inner_path(uri).partition("/")[2]


def _client(uri: str) -> Client:
    bucket = inner_path(uri).partition("/")[0]
    return _make(scheme_of(uri), bucket, os.getpid(), threading.get_ident())


@functools.lru_cache(maxsize=64)
def _make(
    scheme: str,
    bucket: str,
    process: int,  # connections do not outlive a fork
    thread: int,  # nor are those of Google shared by threads
) -> Client:
    made: Client = _CLIENTS[scheme](scheme, bucket)
    return made
