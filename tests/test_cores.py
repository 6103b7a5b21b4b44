"""Pieces of a batch and threads of an operation; these must be set before TensorFlow works, so in a new process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tafe_tf import cores

SHOW = "import tensorflow as tf; {first}from tafe_tf import cores; cores.set_threads({batch_size}); "
SHOW += "print(tf.config.threading.get_intra_op_parallelism_threads())"


def threads(batch_size: int, first: str = "", **environment: str) -> int:
    """What is set in a process that has 8 cores."""
    code = "import os; os.sched_getaffinity = lambda pid: set(range(8)); " + SHOW
    command = [sys.executable, "-c", code.format(first=first, batch_size=batch_size)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return int(subprocess.check_output(command, env=env, stderr=subprocess.DEVNULL, text=True))


def test_pieces_depend_on_the_batch_alone() -> None:
    assert [cores.pieces(size) for size in (1, 512, 1024, 1500, 8192)] == [1, 1, 2, 2, 16]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the process's cores are counted by it")
def test_an_operation_has_its_pieces_share_of_the_cores() -> None:
    assert [threads(size) for size in (256, 1024, 8192)] == [8, 4, 1]
    assert threads(1024, TF_NUM_INTRAOP_THREADS="3") in (0, 3)  # left to TensorFlow
    assert threads(1024, first="tf.constant(0); ") == 0  # too late
