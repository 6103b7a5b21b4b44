"""What a process holds after it has freed what a step took."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import pathlib, resource, numpy as np
from tafe_tf import memory

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

{first}
before = resident()
for _ in range(3):
    rows = [np.ones(1 << 17) for _ in range(64)]  # 64 MiB
    del rows
print(resident() - before)
"""


def held(first: str, **environment: str) -> int:
    """Bytes that a new process holds when all is freed."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return int(
        subprocess.check_output(
            [sys.executable, "-c", STEPS.format(first=first)], env=env, text=True
        )
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    assert held("") < 8 << 20
    assert held("memory.keep_freed_memory()") > 56 << 20
    assert (
        held("memory.keep_freed_memory()", MALLOC_TRIM_THRESHOLD_="131072") < 8 << 20
    )  # the environment's
