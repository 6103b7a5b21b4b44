"""The paper's layers, in `keras.ops` only, one a file.

Letters of every shape comment: B batch, S id slots, F fields, d embedding dimension, K inducing points (or
selector units), M heads, e = d / M, N tasks, L layers.
"""

from tafe_tf.layers.adapter import TaskSpecificAdapter
from tafe_tf.layers.asrg import ASRG
from tafe_tf.layers.attention import InducingPointAttention
from tafe_tf.layers.embedding import FusedEmbedding
from tafe_tf.layers.selector import GammaSchedule, SmoothStepSelector

__all__ = [
    "ASRG",
    "FusedEmbedding",
    "GammaSchedule",
    "InducingPointAttention",
    "SmoothStepSelector",
    "TaskSpecificAdapter",
]
