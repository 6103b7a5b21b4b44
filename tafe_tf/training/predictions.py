"""What later statistics need of every row."""

from __future__ import annotations

import numpy as np

from tafe_tf.data.batches.batch import Batch
from tafe_tf.metrics import hashes


class Predictions:
    """Logits and labels of many rows, collected in the order of the batches.

    Args:
        num_tasks: N.
        group: The schema's group column; by default there is none.

    Attributes:
        rows: Number of rows so far.
    """

    def __init__(self, num_tasks: int, group: str = "") -> None:
        self._group = group
        no_rows: dict[str, np.ndarray] = {
            "logits": np.zeros((0, num_tasks), np.float32),
            "depth": np.zeros(0, np.uint8),
            "weight": np.zeros(0, np.float32),
        }
        if group:
            no_rows["group"] = np.zeros(0, np.uint64)
        self._parts = [no_rows]
        self.rows = 0

    def add(self, logits: np.ndarray, batch: Batch) -> bool:
        """Adds a batch; always true, so that `Evaluator.predict` goes on."""
        steps_reached = batch.labels.sum(axis=1)
        depth = steps_reached.astype(np.uint8)
        part = {
            "logits": logits.astype(np.float32),
            "depth": depth,
            "weight": batch.weight,
        }
        if self._group:
            groups = batch.extra[self._group]
            part["group"] = hashes(groups, depth.shape)
        self._parts.append(part)
        self.rows += len(depth)
        return True

    def arrays(self) -> dict[str, np.ndarray]:
        """All rows.

        Returns:
            "logits" float32 [n, N]; "depth", how many steps were reached, uint8 [n]; "weight"
            float32 [n]; and, if there is a group, "group", its hash, uint64 [n].
        """
        joined = {}
        for name in self._parts[0]:
            joined[name] = np.concatenate([part[name] for part in self._parts])
        return joined
