"""Requests that are tried again: stores throttle, reset connections and cut answers."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from tafe_tf.storage.errors import StoreError, is_lasting, reason_of
from tafe_tf.storage.stores import open_place

T = TypeVar("T")

ATTEMPTS = 6
FIRST_PAUSE = 0.2  # seconds; each pause is twice as long as the one before

_LOG = logging.getLogger("tafe_tf.storage")


def again(
    action: Callable[[], T],
    uri: str,
    what: str,
) -> T:
    """Does something with a store, up to six times, with longer and longer pauses between.

    Each further try is logged in one line. What the store refuses for good is tried once.

    Args:
        action: One request, or several that may be repeated together.
        uri: What it is about, for messages.
        what: What is done, such as "list".

    Raises:
        StoreError: In one line, with the URI and the cause.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (OSError, pa.ArrowException) as error:
            if is_lasting(error):
                raise StoreError(f"{uri}: cannot {what}: {_cause(uri, error)}") from None
            reason = reason_of(error)
        if attempt < ATTEMPTS:
            pause = FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            _LOG.warning(
                "%s: cannot %s: %s; trying again in %.1f s (%d of %d)",
                *(uri, what, reason, pause, attempt + 1, ATTEMPTS),
            )
            time.sleep(pause)
    raise StoreError(f"{uri}: cannot {what}, tried {ATTEMPTS} times: {reason}")


def _cause(uri: str, error: Exception) -> str:
    """Why a request failed for good; a missing bucket is told from a missing object."""
    if not isinstance(error, FileNotFoundError):
        return reason_of(error)
    place = open_place(uri)
    bucket = place.path.partition("/")[0]
    if bucket and not place.path.startswith("/"):
        try:
            info = place.filesystem.get_file_info(bucket)
        except (OSError, pa.ArrowException) as cause:
            return reason_of(cause)
        if info.type.name == "NotFound":
            return f"there is no bucket {bucket}"
    return "there is no such object"
