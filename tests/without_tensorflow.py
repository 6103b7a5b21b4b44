"""Runs a module as `python -m` does, on a machine without TensorFlow.

python without_tensorflow.py MODULE ARGUMENTS
"""

from __future__ import annotations

import importlib.abc
import os
import pathlib
import runpy
import subprocess
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


def run_module(*arguments: str) -> str:
    """What a module prints, run on JAX in a process that has two CPU devices and no TensorFlow."""
    here = pathlib.Path(__file__)
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    jax["PYTHONPATH"] = os.pathsep.join([str(here.parents[1]), str(here.parent)])
    jax["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    out = subprocess.run(
        [sys.executable, str(here), *arguments],
        env={**os.environ, **jax},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert out.returncode == 0, out.stderr
    return out.stdout


if __name__ == "__main__":
    hide(*MISSING)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
