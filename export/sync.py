"""Keeps a local directory like the newest versions of a model in a store.

    python -m export.sync s3://shop/models/shop /models/shop [--once]

For servers that read no object store, such as TensorFlow Serving: as a sidecar beside it, and with
--once before it starts. It needs no TensorFlow. A version appears once it is whole, and goes once
the store no longer has it; `export.copies` has the rules.
"""

from __future__ import annotations

import sys
import time

from absl import app, flags

from tafe_tf.data.errors import DataError
from tafe_tf.data.lock import LockError
from tafe_tf.export import copies
from tafe_tf.terminal import command

_NEWEST = flags.DEFINE_integer(
    "newest", 2, "How many versions to keep, the newest ones of the store.", 1
)
_POLL = flags.DEFINE_integer("poll_seconds", 30, "Seconds between two looks at the store.", 1)
_ONCE = flags.DEFINE_bool(
    "once", False, "Look once, and end with exit code 1 unless a version is there then."
)


def main(argv: list[str]) -> None:
    """Looks at the store, once or until it is ended."""
    if len(argv) != 3:
        raise app.UsageError("give the address of the versions and a local directory")
    _, uri, directory = argv
    if _ONCE.value:
        with command.one_line_errors():
            here = copies.update(uri, directory, _NEWEST.value, _say)
        if not here:
            sys.exit(f"error: {uri}: holds no whole version")
        return
    said = ""
    while True:
        problem = ""
        try:
            copies.update(uri, directory, _NEWEST.value, _say)
        except (DataError, LockError, OSError) as error:  # perhaps for a moment only
            problem = str(error)
        if problem and problem != said:  # not every poll anew
            _say(problem)
        said = problem
        time.sleep(_POLL.value)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    command.run(main)
