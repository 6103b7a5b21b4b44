"""What rows of predictions and labels must be, and the hashes of their groups."""

from __future__ import annotations

import hashlib

import numpy as np

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


def check_labels(labels: np.ndarray) -> None:
    """Raises ValueError unless the labels [B, N] are 0 or 1 and never rise along the funnel."""
    checked("labels", labels, labels.shape, 0, 1)
    check_nested("labels", labels)
    is_binary = np.isin(labels, (0, 1))
    wrong = labels[~is_binary]
    if wrong.size:
        raise ValueError(f"labels must be 0 or 1. Received: {wrong[:3]}")


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
