"""Ranking and calibration of a funnel's probabilities; exact, and mergeable across batches and workers.

A metric's name carries its rows: f_i (`ctr`, `ctcvr`, `p_<task>`) is measured on all impressions, a conditional
f_i / f_{i-1} (`cvr`, `p_<task>_given_<previous>`), at most 1, on the rows whose previous label is 1. What is
undefined (no positive, no negative, no row) is None, never 0.5 or 0.

    auc/NAME            area under the ROC curve, ties counting half
    gauc/NAME           mean of the groups' AUC (`grouped_auc`); only if groups are given
    log_loss/NAME       mean of -y log p - (1 - y) log(1 - p); a conditional's 1 - p is at least SMALLEST
    pcoc/NAME           sum of predictions / sum of labels
    ece/NAME            expected calibration error (`calibration_error`)
    violation_rate      share of rows with f_i > f_{i-1} for any i
    rows                number of rows

If the true probabilities are known, also, over all rows, and as NAME_unreached for a conditional over the rows
whose previous label is 0, which no label can judge:

    truth_auc/NAME      AUC against labels drawn from the truth, in expectation
    truth_auc_best/NAME the same for the truth as the score: no score's is larger
    truth_ratio/NAME    sum of predictions / sum of true probabilities
    truth_mae/NAME      mean of |prediction - truth|

All sums and means are weighted by `sample_weight`, 1 by default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

BINS = 20  # of the calibration error
SMALLEST = 1e-7  # keeps the log loss finite where a conditional is cut to 1; float32 resolves 1 - p no finer
FLOAT32_MAX = float(np.finfo(np.float32).max)

Metrics = dict[str, float | int | None]


def auc(
    scores: np.ndarray, positive_weight: np.ndarray, negative_weight: np.ndarray
) -> float | None:
    """The area under the ROC curve: P(a positive scores higher than a negative), ties counting half. Exact, float64.

    Args:
        scores: [n].
        positive_weight: weight of each row as a positive, 0 or more, [n]: its label times its weight. With soft labels
            p and 1 - p instead of 1 and 0 a row is compared as both, as two rows of the same score would be.
        negative_weight: weight of each row as a negative, 0 or more, [n].

    Returns:
        The area, or None if there is no positive or no negative weight. ValueError if the lengths differ.
    """
    for name, weight in (
        ("positive_weight", positive_weight),
        ("negative_weight", negative_weight),
    ):
        _check_shape(name, weight, (len(scores),))
    areas, _ = _areas(np.zeros(len(scores), np.int8), scores, positive_weight, negative_weight)
    return float(areas[0]) if len(areas) else None


def grouped_auc(
    scores: np.ndarray, labels: np.ndarray, weight: np.ndarray, group: np.ndarray
) -> float | None:
    """The mean of the groups' AUC, weighted by the groups' total weight, over the groups with both classes.

    All arguments are [n]. None if no group has both classes.
    """
    areas, masses = _areas(group, scores, weight * labels, weight * (1 - labels))
    return float((areas * masses).sum() / masses.sum()) if len(areas) else None


def _areas(
    group: np.ndarray, scores: np.ndarray, *weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUC and total weight of each group that has positive and negative weight, given [n] each, by group's value."""
    if not len(scores):
        return np.zeros(0), np.zeros(0)
    order = np.lexsort((scores, group))
    group, scores = group[order], scores[order]
    new_group = np.concatenate([[True], group[1:] != group[:-1]])
    ties = np.flatnonzero(
        new_group | np.concatenate([[True], scores[1:] != scores[:-1]])
    )  # starts of equal scores
    p, n = (np.add.reduceat(weight[order].astype(np.float64), ties) for weight in weights)
    starts = np.flatnonzero(new_group[ties])
    ranked = np.cumsum(n) - n
    below = ranked - np.repeat(ranked[starts], np.diff(starts, append=len(ties)))
    wins, p, n = (np.add.reduceat(values, starts) for values in (p * (below + 0.5 * n), p, n))
    both = (p > 0) & (n > 0)
    return wins[both] / p[both] / n[both], (p + n)[both]


def calibration_error(
    predicted: np.ndarray, observed: np.ndarray, weight: np.ndarray
) -> float | None:
    """ECE: the mean over bins, weighted by their weight, of |mean predicted - mean observed|. All arguments are [n].

    The BINS bins hold equal weight, so that rare events do not all fall into one: among the rows in order of their
    predictions, those of one prediction whose weight spans the share a to b of the total lie together in bin
    floor(BINS (a + b) / 2). None if there is no weight.
    """
    total = weight.sum()
    if not total > 0:
        return None
    _, place = np.unique(predicted, return_inverse=True)
    mass = np.bincount(place, weight)
    middle = (np.cumsum(mass) - mass / 2) / total
    bins = np.minimum((middle * BINS).astype(np.int64), BINS - 1)[place]
    return float(np.abs(np.bincount(bins, weight * (predicted - observed))).sum() / total)


class FunnelMetrics:
    """Collects predictions and labels, batch by batch, and computes the metrics from the whole.

    Nothing is binned or sampled, so a positive rate of 1e-4 is measured as exactly as any. Kept are, a row, 4 N bytes
    of float32 logits and 1 of labels, and where they are given 4 of float32 weight, 8 of the group's hash and 8 N of
    truth; `result` needs about 130 bytes a row more. Before anything is summed the rows are sorted by all
    their values, so the result is the same to the bit however rows were batched, and workers merged.

    Args:
        step_names: names of f_1, ..., f_N.
        conditional_names: names of f_i / f_{i-1}, i = 2..N.
    """

    def __init__(self, step_names: Sequence[str], conditional_names: Sequence[str]) -> None:
        if len(conditional_names) != len(step_names) - 1:
            raise ValueError(
                f"must be N names and N - 1. Received: {step_names} and {conditional_names}"
            )
        self.names = (tuple(step_names), tuple(conditional_names))
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
            labels: 0 or 1, a later one 1 only where the earlier is, [B, N].
            sample_weight: 0 or more, [B].
            group: strings, bytes or integers, [B]; kept as a 64-bit hash of its text.
            truth: the true P(T_i = 1 | X), a later one at most the earlier, [B, N].

        Raises:
            ValueError: if a shape or value breaks its rule, or the optional arguments differ from batch to batch.
        """
        shape, n = labels.shape, len(self.names[0])
        if logits.shape != shape or shape[1:] != (n,):
            raise ValueError(
                f"logits and labels must be [B, {n}]. Received: {logits.shape} and {shape}"
            )
        part = {
            "logits": _checked("logits", logits, shape, -FLOAT32_MAX, FLOAT32_MAX).astype(
                np.float32
            )
        }
        _nested("labels", _checked("labels", labels, shape, 0, 1))
        if (wrong := labels[~np.isin(labels, (0, 1))]).size:
            raise ValueError(f"labels must be 0 or 1. Received: {wrong[:3]}")
        part["depth"] = labels.sum(axis=1).astype(np.uint8)
        if sample_weight is not None:
            part["weight"] = _checked(
                "sample_weight", sample_weight, shape[:1], 0, FLOAT32_MAX
            ).astype(np.float32)
        if group is not None:
            part["group"] = hashes(group, shape[:1])
        if truth is not None:
            _nested("truth", _checked("truth", truth, shape, 0, 1))
            part["truth"] = truth.astype(np.float64)
        self._add([part])

    def merge(self, other: FunnelMetrics) -> None:
        """Adds all that another one has collected; ValueError if its names or optional arguments differ."""
        if other.names != self.names:
            raise ValueError(f"names must be {self.names}. Received: {other.names}")
        self._add(list(other._parts))

    def of_all(
        self, gather: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
    ) -> FunnelMetrics:
        """The metrics of all workers' rows.

        Args:
            gather: makes of one worker's arrays [n, ...] those of all, in every worker. A worker without rows takes
                part with the arrays that the others have.
        """
        merged = FunnelMetrics(*self.names)
        merged._add([gather(self._sorted())])
        return merged

    def _add(self, parts: list[dict[str, np.ndarray]]) -> None:
        if self._parts and parts and parts[0].keys() != self._parts[0].keys():
            raise ValueError(
                f"every batch must give {sorted(self._parts[0])}. Received: {sorted(parts[0])}"
            )
        self._parts += parts

    def result(self) -> Metrics:
        """All metrics by name; the module's docstring says what each is."""
        rows = self._sorted()
        logits, depth, group = rows["logits"], rows["depth"], rows.get("group")
        weight = rows["weight"].astype(np.float64) if "weight" in rows else np.ones(len(depth))
        crossed = (logits[:, 1:] > logits[:, :-1]).any(axis=1)
        result: Metrics = {
            "rows": len(depth),
            "violation_rate": _ratio(weight[crossed].sum(), weight.sum()),
        }
        for i, name in enumerate(self.names[0]):
            log_p = log_sigmoid(logits[:, i])
            result |= _measure(name, log_p, log_sigmoid(-logits[:, i]), depth > i, weight, group)
            if "truth" in rows:
                result |= _compare(name, log_p, rows["truth"][:, i], weight)
        for i, name in enumerate(self.names[1], start=1):
            log_p = np.minimum(log_sigmoid(logits[:, i]) - log_sigmoid(logits[:, i - 1]), 0.0)
            reached = depth >= i
            log_not_p = np.log(np.maximum(-np.expm1(log_p[reached]), SMALLEST))
            users = None if group is None else group[reached]
            result |= _measure(
                name, log_p[reached], log_not_p, depth[reached] > i, weight[reached], users
            )
            if "truth" in rows:
                before = rows["truth"][:, i - 1]
                truth = np.divide(
                    rows["truth"][:, i], before, out=np.zeros_like(before), where=before > 0
                )
                result |= _compare(name, log_p, truth, weight)
                result |= _compare(
                    f"{name}_unreached", log_p[~reached], truth[~reached], weight[~reached]
                )
        return result

    def _sorted(self) -> dict[str, np.ndarray]:
        """All rows, in an order that depends on nothing but their values."""
        if not self._parts:
            return {
                "logits": np.zeros((0, len(self.names[0])), np.float32),
                "depth": np.zeros(0, np.uint8),
            }
        rows = {
            key: np.concatenate([part[key] for part in self._parts])
            for key in sorted(self._parts[0])
        }
        order = np.lexsort(
            [column for values in rows.values() for column in np.atleast_2d(values.T)]
        )
        self._parts = [{key: values[order] for key, values in rows.items()}]
        return self._parts[0]


def _measure(
    name: str,
    log_p: np.ndarray,
    log_not_p: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    group: np.ndarray | None,
) -> Metrics:
    """What labels y say of predictions p, all [n]."""
    p, total = np.exp(log_p), weight.sum()
    result: Metrics = {f"auc/{name}": auc(log_p, weight * y, weight * ~y)}
    if group is not None:
        result[f"gauc/{name}"] = grouped_auc(log_p, y.astype(np.int8), weight, group)
    result[f"log_loss/{name}"] = _ratio(-(weight * np.where(y, log_p, log_not_p)).sum(), total)
    result[f"pcoc/{name}"] = _ratio((weight * p).sum(), weight[y].sum())
    result[f"ece/{name}"] = calibration_error(p, y, weight)
    return result


def _compare(name: str, log_p: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> Metrics:
    """What true probabilities say of predictions p, all [n]."""
    positive, negative, p = weight * truth, weight * (1 - truth), np.exp(log_p)
    return {
        f"truth_auc/{name}": auc(log_p, positive, negative),
        f"truth_auc_best/{name}": auc(truth, positive, negative),
        f"truth_ratio/{name}": _ratio((weight * p).sum(), positive.sum()),
        f"truth_mae/{name}": _ratio((weight * np.abs(p - truth)).sum(), weight.sum()),
    }


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """log P of logits, float64."""
    return -np.logaddexp(0.0, -x.astype(np.float64))


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator / denominator) if denominator > 0 else None


def _checked(
    name: str, values: np.ndarray, shape: tuple[int, ...], least: float, most: float
) -> np.ndarray:
    _check_shape(name, values, shape)
    if wrong := int((~((values >= least) & (values <= most))).sum()):  # NaN is neither
        rule = "must be finite" if least == -most else f"must be in [{least:g}, {most:g}]"
        raise ValueError(f"{name} {rule}. Received: {wrong} of {values.size} that are not")
    return values


def _check_shape(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(
            f"{name} must have shape {list(shape)}. Received: shape {list(values.shape)}"
        )


def _nested(name: str, values: np.ndarray) -> None:
    if (wrong := (values[:, 1:] > values[:, :-1]).any(axis=1)).any():
        raise ValueError(
            f"{name} must not rise along the funnel. Received: {values[wrong][0]} in {wrong.sum()} rows"
        )


def hashes(group: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """64 bits a value, the same in every process; str and bytes of the same text are one."""
    _check_shape("group", group, shape)
    texts = [value if isinstance(value, bytes) else str(value).encode() for value in group.tolist()]
    known = {text: hashlib.blake2b(text, digest_size=8).digest() for text in set(texts)}
    return np.frombuffer(b"".join(known[text] for text in texts), "<u8")
