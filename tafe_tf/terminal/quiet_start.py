"""Keeps TensorFlow's notes on the machine out of what a command prints, and its start short.

On import, TensorFlow writes some lines about the processor and missing GPUs to the standard error,
before any of its own settings are in force. They are no news to a user of a command.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_GPU = "/dev/nvidiactl"
_OPTIONAL = ("jax", "matplotlib", "sklearn")
_NOTE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|I0000 |To enable the following instr"
)


class _QuietImport(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as usual, and silences its notes while it is imported."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The spec of TensorFlow, once; None for any other module."""
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with without_notes():
                execute(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


def quieten() -> None:
    """Silences the notes of TensorFlow in this process and in those that it starts.

    It has no effect where the user set TF_CPP_MIN_LOG_LEVEL to 0. It must be called before
    TensorFlow is imported. Warnings and errors stay; only without a GPU the one that says so goes.
    """
    os.environ.setdefault(LEVEL, "2" if os.path.exists(_GPU) else "3")
    is_quiet = any(isinstance(finder, _QuietImport) for finder in sys.meta_path)
    if os.environ[LEVEL] != "0" and not is_quiet:
        sys.meta_path.insert(0, _QuietImport())


def leave_out_optional_packages() -> None:
    """Lets imports of packages fail that TensorFlow and Keras load where they are installed.

    No command needs them, and their import takes two fifths of a command's start. What is imported
    already stays, and JAX where it is Keras's backend.
    """
    for name in _OPTIONAL:
        is_backend = name == os.environ.get("KERAS_BACKEND")
        if name not in sys.modules and not is_backend:
            sys.modules[name] = None  # type: ignore[assignment]


def put_off_garbage_collection() -> None:
    """Turns Python's garbage collector off until `command.run` turns it on again.

    Imports make a million objects and hardly any garbage. To look through them over and over takes
    a sixth of a command's start.
    """
    gc.disable()


@contextlib.contextmanager
def without_notes() -> Iterator[None]:
    """Holds back what is written to the standard error, and then writes all but the notes."""
    sys.stderr.flush()
    try:
        terminal = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            for line in held:
                if not _NOTE.match(line):
                    os.write(2, line)
