"""What a store answered, in one line."""

from __future__ import annotations

import re

from tafe_tf.data.errors import DataError

_REQUEST = re.compile(r" \(Request ID: [^)]*\)")
_MEANINGS = {
    "NO_SUCH_BUCKET": "there is no such bucket",
    "SIGNATURE_DOES_NOT_MATCH": "the store refuses the credentials; the secret key is wrong",
    "INVALID_ACCESS_KEY_ID": "the store does not know the access key",
    "INVALID_CLIENT_TOKEN_ID": "the store does not know the access key",
    "EXPIRED_TOKEN": "the credentials have expired",
    "ACCESS_DENIED": "the store denies access; the credentials are wrong or lack the right",
    "HTTP status 401": "the store wants credentials, and was given none that it knows",
    "HTTP status 403": "the store denies access; the credentials are wrong or lack the right",
    "PERMISSION_DENIED": "the store denies access; the credentials are wrong or lack the right",
    "UNAUTHENTICATED": "the store wants credentials, and was given none that it knows",
}
_LASTING = re.compile(r"HTTP status 4(?!08|29)\d\d|NOT_FOUND|INVALID_ARGUMENT|NO_SUCH_KEY")


class StoreError(DataError):
    """A store did not give or take an object; the message starts with its URI."""


def is_lasting(error: Exception) -> bool:
    """Whether the same request would fail again, as for a missing object or a denied right.

    Example:
        >>> is_lasting(OSError("AWS Error ACCESS_DENIED during HeadObject operation"))
        True
        >>> is_lasting(OSError("AWS Error SLOW_DOWN during GetObject operation"))
        False
    """
    if isinstance(error, FileNotFoundError | PermissionError | NotADirectoryError):
        return True
    text = str(error)
    return _LASTING.search(text) is not None or any(code in text for code in _MEANINGS)


def reason_of(error: Exception) -> str:
    """Why a store refused, in one line and as plainly as it can be told.

    Example:
        >>> reason_of(OSError("AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: ..."))
        'there is no such bucket'
    """
    text = _REQUEST.sub("", " ".join(str(error).split()))
    for code, meaning in _MEANINGS.items():
        if code in text:
            return meaning
    _, found, detail = text.partition("AWS Error ")
    return detail if found else text
