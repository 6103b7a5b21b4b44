"""This machine's cores and memory: how cores share a batch, and what happens to freed memory."""

from __future__ import annotations

import ctypes
import os
import sys

from absl import logging

_PIECE_ROWS = 512  # of a piece; a batch of 1,024 is two
# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD = -1
_TOP_PAD = -2
_MMAP_THRESHOLD = -3
_OPTIONS = {
    _MMAP_THRESHOLD: 32 << 20,  # bytes, the most that glibc takes
    _TRIM_THRESHOLD: 2**31 - 1,
    _TOP_PAD: 64 << 20,
}


def pieces(batch_size: int) -> int:
    """Number of pieces that a batch is cut into, for `FunnelModel.pieces`.

    It depends on the batch alone, so that a seed means the same on any number of cores. An
    accelerator takes the batch whole.

    Args:
        batch_size: B, the number of rows of the batch.
    """
    if has_accelerator():
        return 1
    return max(batch_size // _PIECE_ROWS, 1)


def backend() -> str:
    """Keras's backend; TensorFlow where nobody has imported Keras, as in the local server."""
    keras = sys.modules.get("keras")
    return "tensorflow" if keras is None else keras.backend.backend()


def has_accelerator() -> bool:
    """Whether Keras's backend sees a GPU or a TPU."""
    if backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))


def cores() -> int:
    """Number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Number of threads for work that is shared out among all cores.

    It is `TF_NUM_INTRAOP_THREADS` if the environment has it, as for TensorFlow's own operations.
    """
    asked = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else cores()


def set_threads(batch_size: int) -> None:
    """Leaves each operation the threads that its piece's share of the cores is.

    An operation on two cores waits for the slower one a hundred times a step, and its tensors leave
    both caches. Call it first: where TensorFlow has begun to work the threads stay as they are, and
    `TF_NUM_INTRAOP_THREADS` in the environment wins.
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ:
        return
    import tensorflow as tf

    of_one = max(cores() // pieces(batch_size), 1)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(of_one)
    except RuntimeError as error:
        logging.info("threads stay as they are: %s", error)


def keep_freed_memory() -> None:
    """Has glibc keep freed memory for the next step, which takes as much again.

    By default it returns the top of the heap at once, and the system clears and maps the same pages
    anew each step: on a virtual machine up to half of the time. What is larger than 32 MiB is still
    returned. Nothing changes under another C library, or where the environment has settings of its
    own (`MALLOC_...`, `GLIBC_TUNABLES`).
    """
    if os.name != "posix":
        return
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for option, value in _OPTIONS.items():
            mallopt(option, value)
