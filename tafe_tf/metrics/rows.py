"""What rows of predictions and labels must be, and the hashes of their groups."""

from __future__ import annotations

import hashlib

import numpy as np

from tafe_tf.metrics.depths import counts_of_intervals, stand_ins

UNKNOWN = -1  # a label of which a row says nothing
NO_GROUP = np.uint64(0)  # the hash of a row without a group
FLOAT32_MAX = float(np.finfo(np.float32).max)


def check_shape(
    name: str,
    values: np.ndarray,
    shape: tuple[int, ...],
) -> None:
    """Raises ValueError unless the values have the shape."""
    if values.shape != shape:
        raise ValueError(
            f"{name} must have shape {list(shape)}. Received: shape {list(values.shape)}"
        )


def checked(
    name: str,
    values: np.ndarray,
    shape: tuple[int, ...],
    least: float,
    most: float,
) -> np.ndarray:
    """Returns the values; raises ValueError if one is NaN or not from `least` to `most`."""
    check_shape(name, values, shape)
    is_right = (values >= least) & (values <= most)  # false for NaN
    wrong = int((~is_right).sum())
    if wrong:
        rule = f"must be in [{least:g}, {most:g}]"
        if least == -most:
            rule = "must be finite"
        raise ValueError(f"{name} {rule}. Received: {wrong} of {values.size} that are not")
    return values


def check_nested(name: str, values: np.ndarray) -> None:
    """Raises ValueError if a later step has more than an earlier one; values are [B, N]."""
    rises = values[:, 1:] > values[:, :-1]  # [B, N - 1]
    is_wrong = rises.any(axis=1)
    if is_wrong.any():
        first = values[is_wrong][0]
        raise ValueError(
            f"{name} must not rise along the funnel. Received: {first} in {is_wrong.sum()} rows"
        )


def check_labels(labels: np.ndarray, *, may_be_unknown: bool = False) -> None:
    """Raises ValueError unless the labels [B, N] are 0 or 1 and never rise along the funnel.

    Args:
        labels: The labels.
        may_be_unknown: Whether -1 is right, too; what is unknown then stands between ones and
            zeros. Default: false.
    """
    known = labels
    if may_be_unknown:
        known = np.where(labels == UNKNOWN, 0, labels)
        at_most = np.where(labels == UNKNOWN, 1, labels)
        check_nested("labels", at_most)
    checked("labels", known, labels.shape, 0, 1)
    check_nested("labels", known)
    is_binary = np.isin(known, (0, 1))
    wrong = known[~is_binary]
    if wrong.size:
        raise ValueError(f"labels must be 0 or 1. Received: {wrong[:3]}")


def each_step(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Gives the weight of each row's steps, float64 [n, N].

    Args:
        weight: Weights of the rows, [n], or of each row's steps, [n, N].
        shape: [n, N].

    Example:
        >>> each_step(np.array([1.0, 2.0]), (2, 3)).tolist()
        [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    of_rows = weight.astype(np.float64)
    if of_rows.ndim == 1:
        of_rows = of_rows[:, None]
    return np.broadcast_to(of_rows, shape)


def weights_of_steps(
    depth: np.ndarray,
    unknown: np.ndarray | None,
    weight: np.ndarray,
    num_steps: int,
    *,
    of_conditionals: bool = False,
) -> np.ndarray:
    """Computes how much each row counts in each step, 0 where its label is unknown.

    The rows that know the step stand for those that do not: of each depth into the funnel as many
    as there are by the greatest likelihood, see `metrics.depths`. Without that, rows that did not
    reach the step before would count too much, because a click that did not happen tells that no
    conversion did; and so would conversions, which tell that there was a click.

    Args:
        depth: How many steps each row is known to have reached, [n].
        unknown: Of how many steps after these nothing is known, [n]; None for 0.
        weight: Weights of the rows, [n], or of each row's steps, [n, N].
        num_steps: N.
        of_conditionals: Whether to compute how much it counts in each step given the one before, 0
            where either label is unknown. Those of the first step are as without. The default is
            False.

    Returns:
        float64 [n, N].

    Example: of the two clicks one does not know whether it was followed by a conversion.
        >>> depth, unknown = np.array([0, 0, 1, 2]), np.array([0, 0, 1, 0])
        >>> np.round(weights_of_steps(depth, unknown, np.ones(4), 2)[:, 1], 6).tolist()
        [1.0, 1.0, 0.0, 2.0]
    """
    full = each_step(weight, (len(depth), num_steps))
    if unknown is None or not unknown.any():
        return full
    by_row = (depth.astype(np.int64), unknown.astype(np.int64))
    result = np.empty_like(full)
    for i in range(num_steps):
        counts = counts_of_intervals(depth, unknown, full[:, i], num_steps)
        for_others = stand_ins(counts, i, knows_previous=of_conditionals and i > 0)
        result[:, i] = full[:, i] * for_others[by_row]
    return result


def hashes(group: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns 64 bits for each value, the same in every process.

    Strings and bytes of the same text have the same hash. A missing value (an empty text, -1, None
    or NaN) has the hash `NO_GROUP`, which is 0.

    Args:
        group: Strings, bytes or integers, of the given shape.
        shape: What its shape must be.

    Raises:
        ValueError: If the shape is another.

    Example:
        >>> one, other = hashes(np.array(["ann", b"ann"], object), (2,))
        >>> bool(one == other)
        True
        >>> hashes(np.array([-1]), (1,)).tolist(), hashes(np.array([""]), (1,)).tolist()
        ([0], [0])
    """
    check_shape("group", group, shape)
    known: dict[bytes, bytes] = {}
    digests = []
    for value in group.tolist():
        if _is_missing(value):
            digests.append(NO_GROUP.tobytes())
            continue
        text = value if isinstance(value, bytes) else str(value).encode()
        if text not in known:
            known[text] = hashlib.blake2b(text, digest_size=8).digest()
        digests.append(known[text])
    joined = b"".join(digests)
    return np.frombuffer(joined, "<u8")


def _is_missing(value: object) -> bool:
    """Whether a value is none: what files leave out arrives as "", -1 or NaN, by its type."""
    is_nan = value != value
    return value is None or value in ("", b"", -1) or is_nan
