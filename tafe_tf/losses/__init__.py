"""The losses of the funnel models, of labels and logits."""

from tafe_tf.losses.funnel import (
    SMALLEST,
    ActionLoss,
    CounterfactualLoss,
    FunnelLoss,
    conditional_logs,
    dependence_losses,
    local_space_dependence_weight,
    local_space_weight,
    order_losses,
    task_losses,
)

__all__ = [
    "SMALLEST",
    "ActionLoss",
    "CounterfactualLoss",
    "FunnelLoss",
    "conditional_logs",
    "dependence_losses",
    "local_space_dependence_weight",
    "local_space_weight",
    "order_losses",
    "task_losses",
]
