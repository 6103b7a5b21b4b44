"""How much the cross entropies of the tasks count beside each other, learned while training.

Both ways keep one number a task beside the model, which an export does not hold. They change the
cross entropies alone: L_D and all other terms of a loss keep the weights that they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import keras
import numpy as np
from keras import ops

from tafe_tf.types import Tensor


class Balance(Protocol):
    """A way of balancing tasks, which a `FunnelLoss` calls if it is given one.

    Attributes:
        numbers: What is learned, one number a task, [N].
    """

    numbers: keras.Variable

    def __call__(self, losses: Tensor) -> Tensor:
        """Balances the cross entropies, [B, N] -> [B, N]."""

    def task_weights(self) -> Tensor:
        """Returns what each task's cross entropy is multiplied by, [N]."""


class Uncertainty:
    """Weighs each task by a variance that is learned with the model's weights.

    This is Kendall, Gal and Cipolla (2018), eq. 10, for tasks of classification: a task whose
    labels are noise for the most part gets a large variance, and so little weight. With
    s_i = log sigma_i^2, which is 0 at the start,

        loss_i = exp(-s_i) BCE_i + s_i / 2

    is smallest at exp(s_i) = 2 BCE_i.

    Args:
        num_tasks: Length of the funnel, N.

    Call arguments:
        losses: Cross entropies, [B, N].

    Returns:
        loss_i of each row, [B, N].

    Example:
        >>> import numpy as np
        >>> balance = Uncertainty(num_tasks=2)
        >>> _ = balance.numbers.assign(np.log([1.0, 4.0]))  # the variances
        >>> np.round(balance(np.array([[3.0, 2.0]])), 4).tolist()  # 2 / 4 + log(4) / 2
        [[3.0, 1.1931]]
    """

    def __init__(self, num_tasks: int) -> None:
        self.numbers = _zeros(num_tasks, "log_variances")

    def __call__(self, losses: Tensor) -> Tensor:
        """Balances the cross entropies, [B, N] -> [B, N]."""
        log_variances = ops.cast(self.numbers, losses.dtype)  # [N]
        return ops.exp(-log_variances) * losses + 0.5 * log_variances

    def task_weights(self) -> Tensor:
        """Returns 1 / sigma_i^2, [N]."""
        return ops.exp(-ops.convert_to_tensor(self.numbers))


class GradNorm:
    """Weighs the tasks so that their gradients are of like size, and slow tasks get more.

    This is GradNorm (Chen et al. 2018). n_i is the norm of the gradient of task i's mean cross
    entropy L_i, taken where all tasks meet, and w_i its weight. G_i = w_i n_i is drawn to

        mean(G) r_i^alpha,    r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0))

    by a descent of sum_i |G_i - mean(G) r_i^alpha|, the targets held constant (eq. 2). Three things
    are settled here that the paper leaves open or does otherwise:

    * L_i(0) is the entropy of the task's rate, the loss of a model that knows the rate alone. The
      paper takes the first step's loss, or in theory that of equal odds; with either a rare task
      looks as if it were learned at once, since its rate is.
    * The descent is in log w_i, so that no step makes a weight negative, and its gradient is
      divided by mean(G), so that it does not depend on the size of the loss or of the batch.
    * w = N softmax of what is learned, which keeps the sum of the weights at N (algorithm 1).

    Args:
        initial_losses: L_1(0), ..., L_N(0), positive.
        alpha: How much more weight slow tasks get; 1.5 by default, and 0 makes all gradients' norms
            equal.

    Call arguments:
        losses: Cross entropies, [B, N].

    Returns:
        w_i times the cross entropies, [B, N]; no gradient leads to w.

    Raises:
        ValueError: If an initial loss is not positive.

    Example:
        >>> import numpy as np
        >>> balance = GradNorm(initial_losses=[0.5, 0.2])
        >>> balance(np.array([[3.0, 2.0]])).numpy().tolist()
        [[3.0, 2.0]]
        >>> balance.gradient(losses=np.array([0.5, 0.2]), norms=np.array([3.0, 1.0])).numpy()
        array([ 1.5, -0.5], dtype=float32)
    """

    def __init__(self, initial_losses: Sequence[float], alpha: float = 1.5) -> None:
        if min(initial_losses) <= 0.0:
            raise ValueError(
                "`initial_losses` must be positive. "
                f"Received: initial_losses={list(initial_losses)}"
            )
        self.initial_losses = list(initial_losses)
        self.alpha = alpha
        self.numbers = _zeros(len(initial_losses), "log_weights")

    def __call__(self, losses: Tensor) -> Tensor:
        """Weighs the cross entropies, [B, N] -> [B, N]."""
        weights = ops.stop_gradient(self.task_weights())
        return ops.cast(weights, losses.dtype) * losses

    def task_weights(self) -> Tensor:
        """Returns w, [N], of sum N."""
        numbers = ops.convert_to_tensor(self.numbers)
        return len(self.initial_losses) * ops.softmax(numbers)

    def gradient(self, losses: Tensor, norms: Tensor) -> Tensor:
        """Computes the gradient with respect to log w, [N].

        Args:
            losses: L_i, each task's mean cross entropy, [N].
            norms: n_i, the norms of their gradients, [N].
        """
        losses = ops.cast(losses, "float32")
        norms = ops.cast(norms, "float32")
        ratios = losses / ops.convert_to_tensor(self.initial_losses, dtype="float32")
        relative = ops.divide_no_nan(ratios, ops.mean(ratios))  # r
        weighted = self.task_weights() * norms  # G
        mean = ops.mean(weighted)
        targets = mean * ops.power(relative, self.alpha)
        is_above = ops.sign(weighted - targets)
        return is_above * ops.divide_no_nan(weighted, mean)


def rate_entropy(rate: float) -> float:
    """Computes the cross entropy of labels that are 1 with probability `rate`, and known so.

    Args:
        rate: From 0 to 1. One nearer to 0 or 1 than a millionth counts as that.

    Example:
        >>> round(rate_entropy(0.5), 4), round(rate_entropy(0.01), 4)
        (0.6931, 0.056)
    """
    p = min(max(rate, 1e-6), 1.0 - 1e-6)
    return float(-p * np.log(p) - (1.0 - p) * np.log1p(-p))


def _zeros(num_tasks: int, name: str) -> keras.Variable:
    return keras.Variable(np.zeros(num_tasks), dtype="float32", name=name)
