"""How a machine's cores share the work on a batch."""

from __future__ import annotations

import os

import tensorflow as tf
from absl import logging

_ROWS = 512  # of a piece; a batch of 1,024 is two


def pieces(batch_size: int) -> int:
    """Pieces for `FunnelModel.pieces`: by the batch alone, so that a seed means the same on any number of cores.

    An accelerator takes the batch whole.
    """
    accelerators = tf.config.list_physical_devices("GPU") + tf.config.list_physical_devices("TPU")
    return 1 if accelerators else max(batch_size // _ROWS, 1)


def set_threads(batch_size: int) -> None:
    """Leaves each operation the threads that its piece's share of the cores is.

    An operation on two cores waits for the slower one a hundred times a step, and its tensors leave both caches. Call
    it first: where TensorFlow has begun to work the threads stay as they are, and `TF_NUM_INTRAOP_THREADS` in the
    environment wins.
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ:
        return
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        tf.config.threading.set_intra_op_parallelism_threads(max(cores // pieces(batch_size), 1))
    except RuntimeError as error:
        logging.info("threads stay as they are: %s", error)
