"""One architecture a file, all under one contract: `model(ids) -> logits [B, N]`.

Column i is the logit of f_i = P(T_i = 1 | X) over the entire space of impressions. `shift_logits([N])` moves them by
constants, which the loop uses to set the sums right.
"""

from tafe_tf.models.tafe import TAFE

__all__ = ["TAFE"]
