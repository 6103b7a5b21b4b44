"""Pieces of a batch, threads of an operation and freed memory, each in a process of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tafe_tf import machine

SHOW = """
import os
os.sched_getaffinity = lambda pid: set(range(8))
import tensorflow as tf
from tafe_tf import machine
for batch_size in (256, 1024, 8192, 1024):
    machine.set_threads(batch_size)
    print(tf.config.threading.get_intra_op_parallelism_threads())
tf.constant(0)
machine.set_threads(256)
print(tf.config.threading.get_intra_op_parallelism_threads())
"""


def threads(**environment: str) -> list[int]:
    """The threads of a process with 8 cores, by batch size; the last ones are set too late."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    out = subprocess.check_output(
        [sys.executable, "-c", SHOW], env=env, stderr=subprocess.DEVNULL, text=True
    )
    return [int(line) for line in out.split()]


def test_pieces_depend_on_the_batch_alone() -> None:
    assert [machine.pieces(size) for size in (1, 512, 1024, 1500, 8192)] == [1, 1, 2, 2, 16]


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the process's cores are counted by it"
)
def test_an_operation_has_its_pieces_share_of_the_cores() -> None:
    assert threads() == [8, 4, 1, 4, 4]
    assert set(threads(TF_NUM_INTRAOP_THREADS="3")) <= {0, 3}  # left to TensorFlow


STEPS = """
import pathlib, resource, numpy as np
from tafe_tf import machine

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
    assert held("machine.keep_freed_memory()") > 56 << 20
    assert (
        held("machine.keep_freed_memory()", MALLOC_TRIM_THRESHOLD_="131072") < 8 << 20
    )  # the environment's
