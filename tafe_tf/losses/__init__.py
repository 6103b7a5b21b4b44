"""The losses of the funnel models, of labels and logits.

`funnel` holds the paper's (eq. 24-29), `action` that of ESM2 and HM3, `counterfactual` that of
ESCM2, `expected_labels` what stands in place of labels that are unknown, `delays` how long steps
take to be seen, `step_weights` weights of each row's steps, `local_space` the weights of the
paper's Theorems 2.1 and 3.1, and `balancing` weights of the tasks that are learned.
"""

from tafe_tf.losses.action import ActionLoss
from tafe_tf.losses.balancing import GradNorm, Uncertainty
from tafe_tf.losses.counterfactual import CounterfactualLoss
from tafe_tf.losses.delays import ExponentialDelay
from tafe_tf.losses.expected_labels import expected_labels
from tafe_tf.losses.funnel import (
    FunnelLoss,
    conditional_logs,
    conditional_losses,
    dependence_losses,
    known_task_losses,
    order_losses,
    task_losses,
)
from tafe_tf.losses.label_check import checked_labels
from tafe_tf.losses.local_space import local_space_dependence_weight, local_space_weight
from tafe_tf.metrics import SMALLEST

__all__ = [
    "SMALLEST",
    "ActionLoss",
    "CounterfactualLoss",
    "ExponentialDelay",
    "FunnelLoss",
    "GradNorm",
    "Uncertainty",
    "checked_labels",
    "conditional_logs",
    "conditional_losses",
    "dependence_losses",
    "expected_labels",
    "known_task_losses",
    "local_space_dependence_weight",
    "local_space_weight",
    "order_losses",
    "task_losses",
]
