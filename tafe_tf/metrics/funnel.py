"""All metrics of a funnel, from the logits and labels of all rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import log_expit

from tafe_tf.metrics.amounts import amount_metrics
from tafe_tf.metrics.calibration import calibration_error
from tafe_tf.metrics.ranking import auc, grouped_auc
from tafe_tf.metrics.rows import (
    FLOAT32_MAX,
    NO_GROUP,
    check_labels,
    check_nested,
    checked,
    hashes,
    weights_of_steps,
)

# Smallest 1 - r of a conditional r cut to 1: float32 resolves 1 - r no finer.
SMALLEST = 1e-7

Metrics = dict[str, float | int | None]
Arrays = dict[str, np.ndarray]


class FunnelMetrics:
    """Collects predictions and labels, batch by batch, and computes the metrics from the whole.

    Nothing is binned or sampled, so a positive rate of 1e-4 is measured as exactly as any. For each
    row it keeps 4 N bytes of float32 logits and 1 of labels, and where they are given 4 of float32
    weight, 8 of the group's hash and 8 N of truth; `result` needs about 130 bytes a row more.
    Before anything is summed the rows are sorted by all their values, so the result is the same to
    the bit however rows were batched and workers merged.

    Args:
        step_names: Names of f_1, ..., f_N.
        conditional_names: Names of f_i / f_{i-1}, i = 2..N.
        may_be_unknown: Whether labels may be unknown; false by default. The metrics of a step are
            then those of the rows that know it, weighed by `weights_of_steps`, and "rows/<step>"
            says of how many.
        amount_names: Names of the amount given the last step and of the expected amount; none by
            default, if there are no amounts.

    Raises:
        ValueError: If there is not one conditional fewer than there are steps.

    Example:
        >>> metrics = FunnelMetrics(["ctr", "ctcvr"], ["cvr"])
        >>> logits = np.array([[1.0, -1.0], [0.0, -2.0], [-1.0, -3.0]])
        >>> metrics.update(logits, labels=np.array([[1, 1], [0, 0], [1, 0]]))
        >>> result = metrics.result()
        >>> result["rows"], result["auc/ctr"], result["auc/cvr"]
        (3, 0.5, 1.0)
    """

    def __init__(
        self,
        step_names: Sequence[str],
        conditional_names: Sequence[str],
        *,
        may_be_unknown: bool = False,
        amount_names: tuple[str, ...] = (),
    ) -> None:
        if len(conditional_names) != len(step_names) - 1:
            raise ValueError(
                f"must be N names and N - 1. Received: {step_names} and {conditional_names}"
            )
        self.names = (
            tuple(step_names),
            tuple(conditional_names),
        )
        self.may_be_unknown = may_be_unknown
        self.amount_names = amount_names
        self._parts: list[Arrays] = []

    def update(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        sample_weight: np.ndarray | None = None,
        group: np.ndarray | None = None,
        truth: np.ndarray | None = None,
        amount: np.ndarray | None = None,
        amount_given: np.ndarray | None = None,
    ) -> None:
        """Adds a batch.

        Args:
            logits: Logits of f, [B, N].
            labels: 0 or 1, a later one 1 only where the earlier is, [B, N]; -1 where it is unknown,
                between ones and zeros, if it may be.
            sample_weight: Weights of the rows, 0 or more, [B], or of each row's steps, [B, N]; all
                1 by default.
            group: Strings, bytes or integers, [B]; kept as a 64-bit hash of their text. Rows whose
                group is missing ("", -1, None or NaN) are left out of the groups' AUC, and counted.
            truth: The true P(T_i = 1 | X), a later one at most the earlier, [B, N].
            amount: What the last step brought, 0 where it did not happen and NaN where that is not
                known, [B].
            amount_given: The amount that is predicted given the last step, [B].

        Raises:
            ValueError: If a shape or value breaks its rule, or batches differ in which of the
                optional arguments they have.
        """
        shape = labels.shape
        rows = shape[:1]
        n = len(self.names[0])
        if logits.shape != shape or shape[1:] != (n,):
            raise ValueError(
                f"logits and labels must be [B, {n}]. Received: {logits.shape} and {shape}"
            )
        checked("logits", logits, shape, -FLOAT32_MAX, FLOAT32_MAX)
        check_labels(labels, may_be_unknown=self.may_be_unknown)
        depth = (labels > 0).sum(axis=1)  # how many steps the row reached
        part = {
            "logits": logits.astype(np.float32),
            "depth": depth.astype(np.uint8),
        }
        if self.may_be_unknown:
            unknown = (labels < 0).sum(axis=1)
            part["unknown"] = unknown.astype(np.uint8)
        if sample_weight is not None:
            shape_of_weights = shape if sample_weight.ndim == 2 else rows
            checked("sample_weight", sample_weight, shape_of_weights, 0, FLOAT32_MAX)
            part["weight"] = sample_weight.astype(np.float32)
        if group is not None:
            part["group"] = hashes(group, rows)
        if truth is not None:
            checked("truth", truth, shape, 0, 1)
            check_nested("truth", truth)
            part["truth"] = truth.astype(np.float64)
        if amount is not None and amount_given is not None:
            known = np.nan_to_num(amount)
            checked("amount", known, rows, 0, FLOAT32_MAX)
            checked("amount_given", amount_given, rows, 0, FLOAT32_MAX)
            part["amount"] = amount.astype(np.float64)
            part["amount_given"] = amount_given.astype(np.float64)
        self._add([part])

    def merge(self, other: FunnelMetrics) -> None:
        """Adds all that another one has collected.

        Raises:
            ValueError: If its names or its optional arguments differ.
        """
        if other.names != self.names:
            raise ValueError(f"names must be {self.names}. Received: {other.names}")
        self._add(list(other._parts))

    def of_all(self, gather: Callable[[Arrays], Arrays]) -> FunnelMetrics:
        """Returns the metrics of all workers' rows.

        Args:
            gather: Makes of one worker's arrays [n, ...] those of all, in every worker. A worker
                without rows takes part with the arrays that the others have.
        """
        merged = FunnelMetrics(
            *self.names,
            may_be_unknown=self.may_be_unknown,
            amount_names=self.amount_names,
        )
        of_all = gather(self._sorted())
        merged._add([of_all])
        return merged

    def _add(self, parts: list[Arrays]) -> None:
        if self._parts and parts:
            expected = self._parts[0].keys()
            received = parts[0].keys()
            if received != expected:
                raise ValueError(
                    f"every batch must give {sorted(expected)}. Received: {sorted(received)}"
                )
        self._parts += parts

    def result(self) -> Metrics:
        """Returns all metrics by name; the docstring of `tafe_tf.metrics` says what each is."""
        rows = self._sorted()
        logits = rows["logits"]
        weight = rows.get("weight")
        if weight is None:
            weight = np.ones(len(logits))
        weight = weight.astype(np.float64)
        n = len(self.names[0])
        known = (rows["depth"], rows.get("unknown"), weight, n)
        rows["weight"] = weights_of_steps(*known)
        rows["conditional_weight"] = weights_of_steps(*known, of_conditionals=True)
        if weight.ndim == 2:
            weight = weight.mean(axis=1)  # of the row
        is_above = logits[:, 1:] > logits[:, :-1]  # a later step above an earlier, [n, N - 1]
        is_crossed = is_above.any(axis=1)
        crossed = weight[is_crossed].sum()
        result: Metrics = {
            "rows": len(logits),
            "violation_rate": _ratio(crossed, weight.sum()),
        }
        if "group" in rows:
            without_group = rows["group"] == NO_GROUP
            result["rows_without_group"] = int(without_group.sum())
        step_names, conditional_names = self.names
        for i, name in enumerate(step_names):
            result |= _of_step(name, i, rows)
        for i, name in enumerate(conditional_names, start=1):
            result |= _of_conditional(name, i, {**rows, "weight": rows["conditional_weight"]})
        if "amount" in rows:
            result |= self._of_amounts(rows)
        return result

    def _of_amounts(self, rows: Arrays) -> Metrics:
        """Computes the metrics of the amounts, with the last step's probability as it is served."""
        of_given, of_expected = self.amount_names
        lowest = rows["logits"].min(axis=1)
        return amount_metrics(
            (of_given, of_expected),
            log_p=log_sigmoid(lowest),
            given=rows["amount_given"],
            observed=rows["amount"],
            happened=rows["depth"] == len(self.names[0]),
            weight=rows["weight"][:, -1],
        )

    def _sorted(self) -> Arrays:
        """Returns all rows, in an order that depends on nothing but their values."""
        if not self._parts:
            n = len(self.names[0])
            none: Arrays = {
                "logits": np.zeros((0, n), np.float32),
                "depth": np.zeros(0, np.uint8),
            }
            if self.may_be_unknown:
                none["unknown"] = np.zeros(0, np.uint8)
            return none
        rows: Arrays = {}
        columns: list[np.ndarray] = []
        for key in sorted(self._parts[0]):
            of_parts = [part[key] for part in self._parts]
            values = np.concatenate(of_parts)
            rows[key] = values
            columns += list(np.atleast_2d(values.T))
        order = np.lexsort(columns)
        for key, values in rows.items():
            rows[key] = values[order]
        self._parts = [rows]
        return dict(rows)


def _of_step(
    name: str,
    i: int,
    rows: Arrays,
) -> Metrics:
    """Computes the metrics of f_{i+1}, on all rows that know the step."""
    may_be_unknown = "unknown" in rows
    rows = _that_know(rows, i)
    counted: Metrics = {}
    if may_be_unknown:
        counted[f"rows/{name}"] = len(rows["weight"])
    logit = rows["logits"][:, i]
    weight = rows["weight"]
    log_p = log_sigmoid(logit)
    log_not_p = log_sigmoid(-logit)
    y = rows["depth"] > i
    group = rows.get("group")
    result = counted | _measure(name, log_p, log_not_p, y, weight, group)
    if "truth" in rows:
        truth = rows["truth"][:, i]
        result |= _compare(name, log_p, truth, weight)
    return result


def _that_know(rows: Arrays, i: int) -> Arrays:
    """Returns the rows that know step i + 1, with their weights in it."""
    own = {**rows, "weight": rows["weight"][:, i]}
    if "unknown" not in rows:
        return own
    first = rows["depth"].astype(np.int64)
    knows = (i < first) | (i >= first + rows["unknown"])
    return {key: values[knows] for key, values in own.items()}


def _of_conditional(
    name: str,
    i: int,
    rows: Arrays,
) -> Metrics:
    """Computes the metrics of f_{i+1} / f_i, on the rows that reached step i."""
    may_be_unknown = "unknown" in rows
    rows = _that_know(rows, i)
    counted: Metrics = {}
    if may_be_unknown:
        counted[f"rows/{name}"] = int((rows["depth"] >= i).sum())
    logits = rows["logits"]
    depth = rows["depth"]
    weight = rows["weight"]
    log_p = log_conditional(logits[:, i - 1], logits[:, i])
    reached = depth >= i
    group = rows.get("group")
    if group is not None:
        group = group[reached]
    result = counted | _measure(
        name,
        log_p[reached],
        log_not_conditional(log_p[reached]),
        depth[reached] > i,
        weight[reached],
        group,
    )
    if "truth" in rows:
        current = rows["truth"][:, i]
        previous = rows["truth"][:, i - 1]
        truth = np.zeros_like(previous)  # 0 where the previous step is impossible
        np.divide(current, previous, out=truth, where=previous > 0)
        result |= _compare(name, log_p, truth, weight)
        unreached = ~reached
        result |= _compare(
            f"{name}_unreached",
            log_p[unreached],
            truth[unreached],
            weight[unreached],
        )
    return result


def _measure(
    name: str,
    log_p: np.ndarray,
    log_not_p: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    group: np.ndarray | None,
) -> Metrics:
    """Computes what labels y say of predictions p, all [n]."""
    result: Metrics = {}
    result[f"auc/{name}"] = auc(log_p, weight * y, weight * ~y)
    if group is not None:
        labels = y.astype(np.int8)
        has_group = group != NO_GROUP
        result[f"gauc/{name}"] = grouped_auc(
            log_p[has_group],
            labels[has_group],
            weight[has_group],
            group[has_group],
        )
    log_likelihood = weight * np.where(y, log_p, log_not_p)
    result[f"log_loss/{name}"] = _ratio(-log_likelihood.sum(), weight.sum())
    p = np.exp(log_p)
    predicted = weight * p
    observed = weight[y]
    result[f"pcoc/{name}"] = _ratio(predicted.sum(), observed.sum())
    result[f"ece/{name}"] = calibration_error(p, y, weight)
    return result


def _compare(
    name: str,
    log_p: np.ndarray,
    truth: np.ndarray,
    weight: np.ndarray,
) -> Metrics:
    """Computes what true probabilities say of predictions p, all [n]."""
    positive = weight * truth
    negative = weight * (1 - truth)
    result: Metrics = {}
    result[f"truth_auc/{name}"] = auc(log_p, positive, negative)
    result[f"truth_auc_best/{name}"] = auc(truth, positive, negative)
    p = np.exp(log_p)
    predicted = weight * p
    error = weight * np.abs(p - truth)
    result[f"truth_ratio/{name}"] = _ratio(predicted.sum(), positive.sum())
    result[f"truth_mae/{name}"] = _ratio(error.sum(), weight.sum())
    return result


def log_conditional(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Returns log min(f_i / f_{i-1}, 1) of the logits of f_{i-1} and f_i, [n].

    Example:
        >>> log_conditional(np.array([0.0]), np.array([3.0])).tolist()
        [0.0]
    """
    log_quotient = log_sigmoid(current) - log_sigmoid(previous)
    return np.minimum(log_quotient, 0.0)


def log_not_conditional(log_p: np.ndarray) -> np.ndarray:
    """Returns log(1 - p) of conditionals, of which 1 - p is at least `SMALLEST`, [n].

    Args:
        log_p: What `log_conditional` gives.

    Example:
        >>> bool(log_not_conditional(np.array([0.0]))[0] == np.log(SMALLEST))
        True
    """
    not_p = -np.expm1(log_p)
    return np.asarray(np.log(np.maximum(not_p, SMALLEST)))


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """Returns log P of logits, float64.

    Example:
        >>> log_sigmoid(np.array([0.0, -1000.0]))
        array([-6.93147181e-01, -1.00000000e+03])
    """
    wide = x.astype(np.float64)
    return np.asarray(log_expit(wide))


def _ratio(numerator: float, denominator: float) -> float | None:
    if denominator > 0:
        return float(numerator / denominator)
    return None
