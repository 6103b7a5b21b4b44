"""The JAX side of `losses/test_label_check.py`: what a loss says of a wrong label."""

from __future__ import annotations

import jax
import numpy as np

from tafe_tf.losses import FunnelLoss


def main() -> None:
    """Prints the error outside of a compiled function, and the losses inside of one."""
    loss = FunnelLoss()
    logits = np.zeros((3, 3), np.float32)
    labels = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    wrong = labels.copy()
    wrong[1, 2] = -1.0
    try:
        loss(wrong, logits)
    except ValueError as error:
        print(error)
    compiled = jax.jit(lambda labels: loss(labels, logits))
    is_finite = np.isfinite(float(compiled(labels)))
    print("finite" if is_finite else "not finite", float(compiled(wrong)))


if __name__ == "__main__":
    main()
