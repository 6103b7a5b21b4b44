"""Runs a module as `python -m` does, on a machine without TensorFlow.

python without_tensorflow.py MODULE ARGUMENTS
"""

from __future__ import annotations

import importlib.abc
import runpy
import sys
from typing import Any

MISSING = ("tensorflow", "pyarrow", "grpc", "tomli_w")


class Missing(importlib.abc.MetaPathFinder):
    """Finds none of some packages."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self._packages = packages

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def hide(*packages: str) -> None:
    """From now on, these packages cannot be imported in this process."""
    sys.meta_path.insert(0, Missing(packages))


if __name__ == "__main__":
    hide(*MISSING)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
