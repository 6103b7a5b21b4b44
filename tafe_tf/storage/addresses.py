"""URIs such as s3://shop/events/train.csv: what they say, and what they must not hold."""

from __future__ import annotations

import os
import pathlib
import posixpath
import re
from typing import Any

from tafe_tf.storage.errors import StoreError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_USER = re.compile(r"^([^/@]*)@")
_SETTING = re.compile(r"[?&]([A-Za-z][\w-]*)=")
# Parts of names of settings that clients of stores take behind a "?", secrets among them.
_OF_SETTINGS = re.compile(
    r"key|secret|token|pass|cred|sig|account|sas|amz|goog|endpoint|region|scheme", re.IGNORECASE
)
_WITH_USER = ("abfs", "abfss", "hdfs", "viewfs")  # container@account and user@host are no secrets
_copies: dict[str, str] = {}  # the URIs of what this process works on in local copies
_MEND = "credentials and settings of a store belong in its environment variables or profile"


def is_remote(path: Any) -> bool:
    """Whether a path is a URI, and what it names is reached by this package alone.

    Raises:
        StoreError: If the URI holds a secret or a setting, or has no bucket.

    Example:
        >>> is_remote("s3://shop/events"), is_remote("events/train.csv")
        (True, False)
    """
    if not isinstance(path, str):
        return False
    if _SCHEME.match(path) is None:
        return False
    _check(path)
    return True


def scheme_of(uri: str) -> str:
    """The scheme of a URI in small letters, such as s3."""
    found = _SCHEME.match(uri)
    assert found is not None
    return found[1].lower()


def inner_path(uri: str) -> str:
    """What follows the scheme, without a slash at its end: bucket and key, taken literally."""
    return uri.partition("://")[2].rstrip("/")


def join(directory: str | os.PathLike[str], *names: str) -> str:
    """The address of what lies in a directory or below a prefix, be it local or not.

    Example:
        >>> join("s3://shop/events/", "train.csv"), join("events", "train.csv")
        ('s3://shop/events/train.csv', 'events/train.csv')
    """
    if is_remote(directory):
        return "/".join([str(directory).rstrip("/"), *names])
    return str(pathlib.Path(directory).joinpath(*names))


def parent_of(path: str | os.PathLike[str]) -> str:
    """Where a file lies.

    Example:
        >>> parent_of("s3://shop/events/schema.toml")
        's3://shop/events'
    """
    if is_remote(path):
        return str(path).rstrip("/").rpartition("/")[0]
    return str(pathlib.Path(path).parent)


def name_of(path: str | os.PathLike[str]) -> str:
    """The last part of a path or a URI."""
    if is_remote(path):
        return posixpath.basename(inner_path(str(path)))
    return pathlib.Path(path).name


def within(directory: str | os.PathLike[str], path: str | os.PathLike[str]) -> str:
    """The path of a file as seen from a directory.

    Example:
        >>> within("s3://shop/events/", "s3://shop/events/day/train.csv")
        'day/train.csv'
    """
    if is_remote(path):
        return str(path).removeprefix(str(directory).rstrip("/")).lstrip("/")
    return os.path.relpath(path, directory)


def is_hidden(path: str) -> bool:
    """Whether the name of a file, or of a folder on the way to it, begins with a dot.

    Such files are locks, and what is known while a job is under way.

    Example:
        >>> is_hidden("day/train.csv"), is_hidden(".prepare/settings.json")
        (False, True)
    """
    return any(part.startswith(".") for part in path.split("/"))


def absolute(path: str | os.PathLike[str]) -> str:
    """A path that means the same in every folder; a URI does already."""
    return str(path) if is_remote(path) else os.path.abspath(path)


def note_copy(directory: str, uri: str) -> None:
    """Notes that a local folder is this process's copy of one in a store, for `named`."""
    _copies[directory] = uri


def named(text: str) -> str:
    """A message in which the store's names stand in place of those of local copies."""
    for directory, uri in _copies.items():
        text = text.replace(directory, uri)
    return text


def must_be_local(path: Any, what: str) -> None:
    """Refuses a URI where only a directory of this machine will do.

    Args:
        path: A path or a URI.
        what: The name of the flag or argument, for the message.

    Raises:
        StoreError: If it is a URI.
    """
    if is_remote(path):
        raise StoreError(f"{what} must be a local directory, and no URI. Received: {path}")


def _check(uri: str) -> None:
    """Raises StoreError for a URI that cannot be used; the message never repeats a secret."""
    scheme = scheme_of(uri)
    rest = uri.partition("://")[2]
    user = _USER.match(rest)
    if user and not (scheme in _WITH_USER and ":" not in user[1]):
        place = rest[user.end() :].partition("?")[0]
        raise StoreError(f"{scheme}://...@{place}: must not name a user or a password; {_MEND}")
    for setting in _SETTING.finditer(rest):
        if _OF_SETTINGS.search(setting[1]):
            place = rest[: setting.start()]
            raise StoreError(f"{scheme}://{place}: must not hold {setting[1]}=...; {_MEND}")
    has_bucket = rest.partition("/")[0] != ""
    if not has_bucket and scheme not in ("file", "hdfs", "viewfs"):
        raise StoreError(f"{uri}: must name a bucket, as {scheme}://BUCKET/PATH")
