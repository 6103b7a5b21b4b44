"""Ranking and calibration of a funnel's probabilities; exact, and mergeable across batches and workers.

Every metric's name carries its rows: f_i (`ctr`, `ctcvr`, `p_<task>`) is measured on all impressions, a conditional
f_i / f_{i-1} (`cvr`, `p_<task>_given_<previous>`) on the rows whose previous label is 1. What is undefined (no
positive, no negative, no row) is None, never 0.5 or 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 20  # of the calibration error
SMALLEST = 1e-7  # probabilities are clipped to [SMALLEST, 1 - SMALLEST] in the log loss, which 0 or 1 would make infinite

Metrics = dict[str, float | int | None]


def auc(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float | None:
    """The area under the ROC curve: P(score of a positive > score of a negative), ties counting half. Exact.

    Args:
        scores: [n].
        positive: weight of each row as a positive, [n]; a label, times the row's weight. May be fractional: with
            p and 1 - p the result is what labels drawn with P = p would give in expectation, pair by pair.
        negative: weight of each row as a negative, [n].

    Returns:
        The area, or None if there is no positive or no negative weight.
    """
    total = float(positive.sum(dtype=np.float64)) * float(negative.sum(dtype=np.float64))
    if not total > 0:
        return None
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    p = np.add.reduceat(positive[order].astype(np.float64), starts)
    n = np.add.reduceat(negative[order].astype(np.float64), starts)
    below = np.cumsum(n) - n
    return float(np.sum(p * (below + 0.5 * n)) / (p.sum() * n.sum()))


def calibration_error(predicted: np.ndarray, observed: np.ndarray, weight: np.ndarray, bins: int = BINS) -> float | None:
    """ECE: the weighted mean over bins of |mean predicted - mean observed|.

    Rows are sorted by prediction and cut into bins of equal weight, so that rare events do not all fall into one;
    rows of the same prediction stay in one bin, the one in which the middle of their weight lies.
    """
    total = weight.sum()
    if not total > 0:
        return None
    _, group = np.unique(predicted, return_inverse=True)
    mass = np.bincount(group, weight)
    middle = (np.cumsum(mass) - mass / 2) / total
    place = np.minimum((middle * bins).astype(np.int64), bins - 1)[group]
    gap = np.bincount(place, weight * (predicted - observed), minlength=bins)
    return float(np.abs(gap).sum() / total)


def grouped_auc(scores: np.ndarray, labels: np.ndarray, weight: np.ndarray, group: np.ndarray) -> float | None:
    """The mean of the groups' AUC, weighted by the groups' total weight, over groups with both classes."""
    order = np.lexsort((scores, group))
    starts = np.flatnonzero(np.concatenate([[True], group[order][1:] != group[order][:-1]])) if len(order) else []
    areas, masses = [], []
    for rows in np.split(order, starts[1:]) if len(order) else []:
        y, w = labels[rows], weight[rows]
        if y.min() == y.max():
            continue
        area = auc(scores[rows], w * y, w * (1 - y))
        if area is not None:
            areas.append(area)
            masses.append(w.sum(dtype=np.float64))
    return float(np.average(areas, weights=masses)) if areas else None


class FunnelMetrics:
    """Collects predictions and labels, batch by batch, and computes all metrics from the whole.

    Logits are kept as they come (4 bytes a task and row, 1 for the labels, and 4, 8 and 8 N more for weights, groups
    and truths if they are given), so nothing is approximated at any positive rate, and merging workers gives the
    very numbers of one process: rows are put into a canonical order before anything is summed.

    Args:
        step_names: names of f_1, ..., f_N.
        conditional_names: names of f_i / f_{i-1}, i = 2..N.
    """

    def __init__(self, step_names: Sequence[str], conditional_names: Sequence[str]) -> None:
        self.step_names, self.conditional_names = tuple(step_names), tuple(conditional_names)
        self._parts: list[dict[str, np.ndarray]] = []

    def update(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        sample_weight: np.ndarray | None = None,
        group: np.ndarray | None = None,
        truth: np.ndarray | None = None,
    ) -> None:
        """Adds a batch.

        Args:
            logits: of f, [B, N].
            labels: 0 or 1, nested, [B, N].
            sample_weight: [B].
            group: any values, [B]; kept as a 64-bit hash.
            truth: the true P(T_i = 1 | X), [B, N].

        Raises:
            ValueError: if a shape does not fit, a logit is not finite, or what is given differs from batch to batch.
        """
        n = len(self.step_names)
        if logits.ndim != 2 or logits.shape[1] != n or labels.shape != logits.shape:
            raise ValueError(f"logits and labels must be [B, {n}]. Received: {logits.shape} and {labels.shape}")
        wrong = int((~np.isfinite(logits)).sum())
        if wrong:
            raise ValueError(f"logits must be finite. Received: {wrong} of {logits.size} that are not")
        part = {"logits": logits.astype(np.float32), "depth": labels.sum(axis=1).astype(np.uint8)}
        if sample_weight is not None:
            part["weight"] = sample_weight.astype(np.float32)
        if group is not None:
            part["group"] = _hashes(group)
        if truth is not None:
            part["truth"] = truth.astype(np.float64)
        if self._parts and set(part) != set(self._parts[0]):
            raise ValueError(f"every batch must give the same. Received: {sorted(part)} after {sorted(self._parts[0])}")
        self._parts.append(part)

    def merge(self, other: FunnelMetrics) -> None:
        """Adds all that another one, of the same names, has collected."""
        self._parts += other._parts

    def result(self) -> Metrics:
        """All metrics by name, "rows" and "violation_rate" among them."""
        rows = self._canonical()
        logits = rows["logits"].astype(np.float64)
        count, n = logits.shape
        weight = rows["weight"].astype(np.float64) if "weight" in rows else np.ones(count)
        labels = (rows["depth"][:, None] > np.arange(n)).astype(np.float64)
        result: Metrics = {"rows": count, "violation_rate": _share((np.diff(logits, axis=1) > 0).any(axis=1), weight)}
        logs = _log_sigmoid(logits)
        for i, name in enumerate(self.step_names):
            self._add(result, name, logits[:, i], np.exp(logs[:, i]), labels[:, i], weight, rows.get("group"))
        for i, name in enumerate(self.conditional_names, start=1):
            reached = labels[:, i - 1] == 1
            ratio = np.minimum(logs[:, i] - logs[:, i - 1], 0.0)[reached]
            group = rows["group"][reached] if "group" in rows else None
            self._add(result, name, ratio, np.exp(ratio), labels[reached, i], weight[reached], group)
        if "truth" in rows:
            self._add_truth(result, logs, labels, weight, rows["truth"])
        return result

    def _canonical(self) -> dict[str, np.ndarray]:
        """All rows, in an order that depends on their values only."""
        if not self._parts:
            return {"logits": np.zeros((0, len(self.step_names)), np.float32), "depth": np.zeros(0, np.uint8)}
        rows = {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}
        keys = [column for key in sorted(rows) for column in np.atleast_2d(rows[key].T)]
        order = np.lexsort(keys)
        return {key: values[order] for key, values in rows.items()}

    @staticmethod
    def _add(
        result: Metrics,
        name: str,
        scores: np.ndarray,
        predicted: np.ndarray,
        labels: np.ndarray,
        weight: np.ndarray,
        group: np.ndarray | None,
    ) -> None:
        p = np.clip(predicted, SMALLEST, 1 - SMALLEST)
        log_loss = -np.log(np.where(labels == 1, p, 1 - p))
        result[f"auc/{name}"] = auc(scores, weight * labels, weight * (1 - labels))
        if group is not None:
            result[f"gauc/{name}"] = grouped_auc(scores, labels, weight, group)
        result[f"log_loss/{name}"] = _share(log_loss, weight)
        result[f"pcoc/{name}"] = _ratio((weight * predicted).sum(), (weight * labels).sum())
        result[f"ece/{name}"] = calibration_error(predicted, labels, weight)

    def _add_truth(
        self, result: Metrics, logs: np.ndarray, labels: np.ndarray, weight: np.ndarray, truth: np.ndarray
    ) -> None:
        everywhere = np.ones(len(weight), bool)
        for i, name in enumerate(self.step_names):
            _compare(result, name, logs[:, i], truth[:, i], weight, everywhere)
        for i, name in enumerate(self.conditional_names, start=1):
            scores = np.minimum(logs[:, i] - logs[:, i - 1], 0.0)
            true = np.divide(truth[:, i], truth[:, i - 1], out=np.zeros(len(truth)), where=truth[:, i - 1] > 0)
            _compare(result, name, scores, true, weight, everywhere)
            _compare(result, f"{name}_unreached", scores, true, weight, labels[:, i - 1] == 0)


def _compare(
    result: Metrics, name: str, log_p: np.ndarray, truth: np.ndarray, weight: np.ndarray, where: np.ndarray
) -> None:
    """Predictions beside true probabilities: expected AUC of both, ratio of sums, mean absolute error."""
    log_p, truth, weight = log_p[where], truth[where], weight[where]
    positive, negative, predicted = weight * truth, weight * (1 - truth), np.exp(log_p)
    result[f"truth_auc/{name}"] = auc(log_p, positive, negative)
    result[f"truth_auc_best/{name}"] = auc(truth, positive, negative)
    result[f"truth_ratio/{name}"] = _ratio((weight * predicted).sum(), positive.sum())
    result[f"truth_mae/{name}"] = _share(np.abs(predicted - truth), weight)


def _log_sigmoid(x: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0.0, -x)


def _ratio(numerator: Any, denominator: Any) -> float | None:
    return float(numerator / denominator) if denominator > 0 else None


def _share(values: np.ndarray, weight: np.ndarray) -> float | None:
    return _ratio((weight * values).sum(), weight.sum())


def _hashes(group: np.ndarray) -> np.ndarray:
    """64 bits a value, the same in every process; str and bytes of the same text are one."""
    values, place = np.unique(group.astype(str) if group.dtype != object else _texts(group), return_inverse=True)
    digests = (hashlib.blake2b(str(value).encode(), digest_size=8).digest() for value in values)
    return np.frombuffer(b"".join(digests), np.uint64)[place]


def _texts(group: np.ndarray) -> np.ndarray:
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in group], dtype=str)
