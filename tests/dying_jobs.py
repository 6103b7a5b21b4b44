"""Jobs that end in place of one of their requests to a store, as a kill ends them."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tafe_tf
from tafe_tf.storage import claims, sending


class Killed(BaseException):
    """Ends a job where a kill would: nothing is written after it."""


@contextlib.contextmanager
def killed_at(at: int) -> Iterator[None]:
    """Has the job die in place of the `at`-th request that writes, from 1."""
    count = 0

    def dying(request: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count >= at:
            raise Killed
        return request(*arguments)

    requests: dict[str, Callable[..., Any]] = {
        "tafe_tf.storage.staging.put_bytes": sending.put_bytes,
        "tafe_tf.storage.claims.create": claims.create,
        "tafe_tf.storage.claims.copy": claims.copy,
        "tafe_tf.storage.claims.delete": claims.delete,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, request in requests.items():
            patch.setattr(name, functools.partial(dying, request))
        with pytest.raises(Killed):
            yield


def command(arguments: list[str]) -> str:
    """Runs a module of the package as a command, and gives what it says."""
    variables = {**os.environ, "PYTHONPATH": str(pathlib.Path(tafe_tf.__file__).parents[1])}
    parts = [sys.executable, "-m", f"tafe_tf.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(parts, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
