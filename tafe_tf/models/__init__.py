"""One architecture a file, all under one contract: `model(ids) -> logits [B, N]`.

Column i is the logit of f_i = P(T_i = 1 | X) over the entire space of impressions. `shift_logits([N])` moves them by
constants, which the loop uses to set the sums right.
"""

from tafe_tf.models.aitm import AITM
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.mmoe import MMOE
from tafe_tf.models.ple import PLE
from tafe_tf.models.shared_bottom import SharedBottom
from tafe_tf.models.single_task import SingleTask
from tafe_tf.models.tafe import TAFE

BY_NAME: dict[str, type[FunnelModel]] = {
    "tafe": TAFE,
    "single_task": SingleTask,
    "shared_bottom": SharedBottom,
    "mmoe": MMOE,
    "ple": PLE,
    "aitm": AITM,
}

__all__ = ["AITM", "BY_NAME", "MMOE", "PLE", "TAFE", "FunnelModel", "SharedBottom", "SingleTask"]
