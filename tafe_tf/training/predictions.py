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
        weighs_steps: Whether weights are those of each row's steps, as where the schema has
            `step_weights`; false by default.

    Attributes:
        rows: Number of rows so far.
    """

    def __init__(self, num_tasks: int, group: str = "", *, weighs_steps: bool = False) -> None:
        self._group = group
        none = np.zeros((0, num_tasks), np.float32)
        no_rows: dict[str, np.ndarray] = {
            "logits": none,
            "depth": np.zeros(0, np.uint8),
            "unknown": np.zeros(0, np.uint8),
            "weight": none if weighs_steps else none[:, 0],
        }
        if group:
            no_rows["group"] = np.zeros(0, np.uint64)
        self._parts = [no_rows]
        self.rows = 0

    def add(self, logits: np.ndarray, batch: Batch) -> bool:
        """Adds a batch; always true, so that `Evaluator.predict` goes on."""
        steps_reached = (batch.labels > 0).sum(axis=1)
        depth = steps_reached.astype(np.uint8)
        unknown = (batch.labels < 0).sum(axis=1)
        part = {
            "logits": logits.astype(np.float32),
            "depth": depth,
            "unknown": unknown.astype(np.uint8),
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
            "logits" float32 [n, N]; "depth", how many steps are known to be reached, uint8 [n];
            "unknown", of how many after these nothing is known, uint8 [n]; "weight" float32 [n], or
            [n, N] for each step; and, if there is a group, "group", its
            hash, uint64 [n].
        """
        joined = {}
        for name in self._parts[0]:
            joined[name] = np.concatenate([part[name] for part in self._parts])
        return joined
