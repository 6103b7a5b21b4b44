"""The architectures, one in each file, all under one contract: `model(ids) -> logits [B, N]`.

Column i is the logit of f_i = P(T_i = 1 | X) over the entire space of impressions. `FunnelModel` is
the contract, and holds what all share. Besides the call it has `shift_logits`, by which the
training loop sets the sums of the predictions right, and `paper_loss`, the loss of the
architecture's own paper; called with training=True a model may give that loss further columns.
"""

from tafe_tf.models.aitm import AITM
from tafe_tf.models.argument_rules import check_arguments
from tafe_tf.models.cross_stitch import CrossStitchNetwork
from tafe_tf.models.escm2 import ESCM2
from tafe_tf.models.esm2 import ESM2
from tafe_tf.models.esmm import ESMM
from tafe_tf.models.funnel_model import FunnelModel
from tafe_tf.models.hm3 import HM3
from tafe_tf.models.mmoe import MMOE
from tafe_tf.models.mran import MRAN
from tafe_tf.models.ple import PLE
from tafe_tf.models.shared_bottom import SharedBottom
from tafe_tf.models.single_task import SingleTask
from tafe_tf.models.sluice import SluiceNetwork
from tafe_tf.models.tafe import TAFE

BY_NAME: dict[str, type[FunnelModel]] = {
    "tafe": TAFE,
    "single_task": SingleTask,
    "shared_bottom": SharedBottom,
    "mmoe": MMOE,
    "ple": PLE,
    "aitm": AITM,
    "cross_stitch": CrossStitchNetwork,
    "sluice": SluiceNetwork,
    "mran": MRAN,
    "esmm": ESMM,
    "escm2": ESCM2,
    "esm2": ESM2,
    "hm3": HM3,
}

__all__ = [
    "AITM",
    "BY_NAME",
    "ESCM2",
    "ESM2",
    "ESMM",
    "HM3",
    "MMOE",
    "MRAN",
    "PLE",
    "TAFE",
    "CrossStitchNetwork",
    "FunnelModel",
    "SharedBottom",
    "SingleTask",
    "SluiceNetwork",
    "check_arguments",
]
