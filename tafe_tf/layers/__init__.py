"""The layers of the paper and of its baselines, one in each file, written in `keras.ops`.

The comments on shapes use these letters: B batch, S id slots, F fields, d embedding dimension,
K inducing points (or selector units), M heads, e = d / M, N tasks, L layers, T towers, E experts,
G gates, U subspaces, L also the length of a history and e the width of its entries.
"""

from tafe_tf.layers.adapter import TaskSpecificAdapter
from tafe_tf.layers.alignment import TaskFieldAlignment
from tafe_tf.layers.asrg import ASRG
from tafe_tf.layers.attention import InducingPointAttention
from tafe_tf.layers.causal_transformer import CausalTransformer
from tafe_tf.layers.configured import Configured
from tafe_tf.layers.cross_stitch import CrossStitch
from tafe_tf.layers.din_attention import DinAttention
from tafe_tf.layers.dot_attention import DotAttention
from tafe_tf.layers.embedding import FusedEmbedding
from tafe_tf.layers.field_embedding import FieldEmbedding
from tafe_tf.layers.gates import DSelectKGates, SoftmaxGates
from tafe_tf.layers.heads import HeadsWithAmount
from tafe_tf.layers.layer_stitch import LayerStitch
from tafe_tf.layers.number_encoder import NumberEncoder
from tafe_tf.layers.partitioned_embedding import PartitionedEmbedding
from tafe_tf.layers.selector import GammaSchedule, SmoothStepSelector
from tafe_tf.layers.self_attention import FieldSelfAttention
from tafe_tf.layers.sequence_encoder import SequenceEncoder
from tafe_tf.layers.subspace_stitch import SubspaceStitch
from tafe_tf.layers.towers import Towers
from tafe_tf.layers.vector_encoder import VectorEncoder

__all__ = [
    "ASRG",
    "CausalTransformer",
    "Configured",
    "CrossStitch",
    "DSelectKGates",
    "DinAttention",
    "DotAttention",
    "FieldEmbedding",
    "FieldSelfAttention",
    "FusedEmbedding",
    "GammaSchedule",
    "HeadsWithAmount",
    "InducingPointAttention",
    "LayerStitch",
    "NumberEncoder",
    "PartitionedEmbedding",
    "SequenceEncoder",
    "SmoothStepSelector",
    "SoftmaxGates",
    "SubspaceStitch",
    "TaskFieldAlignment",
    "TaskSpecificAdapter",
    "Towers",
    "VectorEncoder",
]
