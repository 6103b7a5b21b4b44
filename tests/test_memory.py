"""Page faults of a process that frees and takes the same memory again and again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, numpy as np
from tafe_tf import memory
{first}
for _ in range(20):
    rows = [np.ones(1 << 17) for _ in range(32)]  # 32 MiB
    del rows
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize())
"""


def faulted(first: str, **environment: str) -> int:
    """Bytes of the pages that a new process has met for the first time."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return int(subprocess.check_output([sys.executable, "-c", STEPS.format(first=first)], env=env, text=True))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_steps_take_the_same_pages_again() -> None:
    before = faulted("")
    assert before > 400 << 20  # 20 x 32 MiB
    assert faulted("memory.keep_freed_memory()") < before / 3
    assert faulted("memory.keep_freed_memory()", MALLOC_TRIM_THRESHOLD_="131072") > 400 << 20  # the environment's
