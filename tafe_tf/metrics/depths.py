"""How deep rows go into the funnel, where some know it only within bounds."""

from __future__ import annotations

import numpy as np

_MOST_ROUNDS = 10_000
_RESOLVED = 1e-15  # a change of a share below it ends the search
_NOTHING = 1e-9  # a share of all rows below it is none


def counts_of_intervals(
    depth: np.ndarray,
    unknown: np.ndarray,
    weight: np.ndarray,
    num_steps: int,
) -> np.ndarray:
    """Adds up rows by what they know.

    Args:
        depth: How many steps each row is known to have reached, [n].
        unknown: Of how many steps after these nothing is known, [n].
        weight: Weights of the rows, [n].
        num_steps: N.

    Returns:
        At [d, u] the weight of the rows of depth d and u unknown steps, float64 [N + 1, N + 1].
    """
    size = num_steps + 1
    kind = depth.astype(np.int64) * size + unknown
    counts = np.bincount(kind, weights=weight, minlength=size * size)
    return counts.astype(np.float64).reshape(size, size)


def shares_of_depths(counts: np.ndarray) -> np.ndarray:
    """Computes which share of the rows ends at each depth, by the greatest likelihood.

    A row that knows only that its depth is between d and d + u stands for those of that interval,
    in proportion to their shares, which are found by repetition (Turnbull 1976: EM for data that is
    censored in intervals). Where nothing is known of the last steps alone, this is the estimate of
    Kaplan and Meier (1958).

    Args:
        counts: What `counts_of_intervals` gives, [N + 1, N + 1].

    Returns:
        [N + 1]; where no row tells two depths apart, both have the same share. Zeros if there are
        no rows.

    Example: 5 of 10 rows did not convert, and 4 of these know that 1 clicked; 5 converted.
        >>> counts = np.zeros((3, 3))
        >>> counts[0, 0], counts[1, 0], counts[0, 1], counts[2, 0] = 3, 1, 1, 5
        >>> np.round(shares_of_depths(counts), 6).tolist()  # 5 * 3 / 4, 5 * 1 / 4 and 5 of 10
        [0.375, 0.125, 0.5]
    """
    size = len(counts)
    total = counts.sum()
    if total <= 0:
        return np.zeros(size)
    if not counts[:, 1:].any():
        return np.asarray(counts[:, 0] / total)
    is_there = counts > 0
    weight = counts[is_there] / total  # [kinds of rows]
    contains = _contains(size)[is_there].astype(np.float64)  # [kinds of rows, N + 1]
    shares = np.full(size, 1.0 / size)
    for _ in range(_MOST_ROUNDS):
        of_interval = contains @ shares
        found = shares * ((weight / of_interval) @ contains)
        change = np.abs(found - shares).max()
        shares = found
        if change < _RESOLVED:
            break
    return shares


def stand_ins(
    counts: np.ndarray,
    step: int,
    *,
    knows_previous: bool = False,
) -> np.ndarray:
    """Computes for how many rows each row stands that knows whether a step happened.

    Args:
        counts: What `counts_of_intervals` gives, [N + 1, N + 1].
        step: The step, from 0.
        knows_previous: Whether only rows stand for others that know the step before as well. The
            default is False.

    Returns:
        For each depth and number of unknown steps, [N + 1, N + 1]: 0 for rows that do not know the
        step; all 0 if some of these rows have a depth of which no row that knows the step can be.
    """
    size = len(counts)
    shares = shares_of_depths(counts)
    expected = _contains(size) * shares  # [N + 1, N + 1, N + 1]
    of_interval = expected.sum(axis=-1, keepdims=True)
    posterior = np.divide(expected, of_interval, out=np.zeros_like(expected), where=of_interval > 0)
    depth, unknown = np.indices((size, size))
    knows = (step < depth) | (step >= depth + unknown)
    if knows_previous:
        knows &= (step <= depth) | (step > depth + unknown)
    told = (counts[knows][:, None] * posterior[knows]).sum(axis=0)  # by depth, [N + 1]
    untold = (counts[~knows][:, None] * posterior[~knows]).sum(axis=0)
    least = _NOTHING * counts.sum()
    if ((untold > least) & (told <= least)).any():
        return np.zeros((size, size))
    one_stands_for = np.divide(told + untold, told, out=np.ones(size), where=told > 0)
    return np.where(knows, posterior @ one_stands_for, 0.0)


def _contains(size: int) -> np.ndarray:
    """Whether rows of depth d with u unknown steps may have a depth: bool [d, u, depth]."""
    lowest, unknown, depth = np.indices((size, size, size))
    return np.asarray((lowest <= depth) & (depth <= lowest + unknown))
