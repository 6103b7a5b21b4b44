"""Weights by which a loss over the local space equals the loss over the entire one."""

from __future__ import annotations

from keras import ops

from tafe_tf.types import Tensor


def local_space_weight(
    previous: Tensor,
    current: Tensor,
    label: Tensor,
    prior: Tensor,
) -> Tensor:
    """Computes the weight of Theorem 2.1, P(Y = 1) / P(Y = 1 | X, Z), of a row of the local space.

    The mean of weight * L(f_Z(X), Z) over the local space (the rows with Y = 1) is the mean of
    L(f_Z(X), Z) over the entire space.

    Args:
        previous: P(Y = 1 | X), any shape.
        current: P(Z = 1 | X), at most `previous`.
        label: Z, 0 or 1.
        prior: P(Y = 1) over the entire space.

    Returns:
        The weights, of the arguments' shape.

    Example:
        >>> float(local_space_weight(previous=0.5, current=0.25, label=1, prior=0.25))
        0.25
    """
    # Z = 1 needs Y = 1; Z = 0 comes with Y = 1 in a share (f_Y - f_Z) / (1 - f_Z) of the cases.
    share = (previous - current) / (1.0 - current)
    posterior = ops.where(label == 1, 1.0, share)
    return prior / posterior


def local_space_dependence_weight(
    previous: Tensor,
    current: Tensor,
    difference: Tensor,
    prior: Tensor,
) -> Tensor:
    """Computes the weight of Theorem 3.1, P(Y = 1) / P(Y = 1 | X, Y - Z), of a local row.

    With it the mean of L_D over the local space (the rows with Y = 1) is that over the entire one.

    Args:
        previous: P(Y = 1 | X), any shape.
        current: P(Z = 1 | X), at most `previous`.
        difference: Y - Z, 0 or 1.
        prior: P(Y = 1) over the entire space.

    Returns:
        The weights, of the arguments' shape.

    Example:
        >>> float(local_space_dependence_weight(0.5, current=0.25, difference=0, prior=0.25))
        0.75
    """
    # Y - Z = 1 needs Y = 1; Y - Z = 0 has probability 1 - (f_Y - f_Z), of which f_Z with Y = Z = 1.
    one = previous - current  # P(Y - Z = 1 | X)
    share = current / (1.0 - one)
    posterior = ops.where(difference == 1, 1.0, share)
    return prior / posterior
