"""One tiny case of every layer and of every model, for the tests that all of them must pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from tafe_tf.layers import (
    ASRG,
    CausalTransformer,
    CrossStitch,
    DinAttention,
    DotAttention,
    DSelectKGates,
    FieldEmbedding,
    FieldSelfAttention,
    FusedEmbedding,
    HeadsWithAmount,
    InducingPointAttention,
    LayerStitch,
    NumberEncoder,
    PartitionedEmbedding,
    SequenceEncoder,
    SmoothStepSelector,
    SoftmaxGates,
    SubspaceStitch,
    TaskFieldAlignment,
    TaskSpecificAdapter,
    Towers,
    VectorEncoder,
)
from tafe_tf.models import BY_NAME, FunnelModel

_TAFE: dict[str, Any] = {
    "num_inducing": 4,
    "num_layers": 2,
    "gamma_start": 3.0,
    "gamma_decay_steps": 100,
    "selector_hidden": [5],
}
_MMOE: dict[str, Any] = {"num_experts": 4, "expert_units": [6, 5], "tower_units": [3]}
_PLE: dict[str, Any] = {
    "num_levels": 3,
    "num_specific": 2,
    "num_shared": 3,
    "expert_units": [6, 5],
    "tower_units": [3],
    "embedding_l2": 0.002,
}
_TOWERS: dict[str, Any] = {"tower_units": [6, 5]}

# Name of the case -> the model's name and its own arguments. What follows a plus is the variant.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "tafe": ("tafe", _TAFE),
    "tafe+no_asrg": ("tafe", {**_TAFE, "num_layers": 1, "use_asrg": False}),
    "tafe+no_tsa": ("tafe", {**_TAFE, "num_layers": 1, "use_tsa": False}),
    "tafe+deep": ("tafe", {**_TAFE, "num_layers": 1, "deep_units": 5}),
    "tafe+parts": ("tafe", {**_TAFE, "num_layers": 1, "embedding_parts": 2}),
    "single_task": ("single_task", _TOWERS),
    "shared_bottom": ("shared_bottom", {"bottom_units": [7, 5], "tower_units": [4, 3]}),
    "mmoe": ("mmoe", _MMOE),
    "mmoe+dselect_k": ("mmoe", {**_MMOE, "gate": "dselect_k", "entropy_weight": 0.1}),
    "ple": ("ple", _PLE),
    "aitm": ("aitm", _TOWERS),
    "aitm+conditional": ("aitm", {**_TOWERS, "heads": "conditional"}),
    "cross_stitch": ("cross_stitch", {"tower_units": [6, 5, 3]}),
    "sluice": ("sluice", {"tower_units": [6, 6], "orthogonality_weight": 0.1}),
    "mran": ("mran", _TOWERS),
    "esmm": ("esmm", _TOWERS),
    "escm2": ("escm2", _TOWERS),
    "escm2+dr": ("escm2", {**_TOWERS, "estimator": "dr"}),
    "escm2+naive": ("escm2", {**_TOWERS, "estimator": "naive"}),
    "esm2": ("esm2", _TOWERS),
    "esm2+action": ("esm2", {**_TOWERS, "via": [1]}),
    "hm3": ("hm3", {**_TOWERS, "via": [1, 1]}),
}
WITH_ACTIONS = [name for name, (_, own) in MODELS.items() if "via" in own]
BASELINES = [name for name in MODELS if not name.startswith("tafe")]


def make(
    name: str, field_rows: Sequence[int], num_tasks: int, embedding_dim: int = 4, **arguments: Any
) -> FunnelModel:
    """A model of the registry; further arguments win over its own."""
    model, own = MODELS[name]
    return BY_NAME[model](field_rows, num_tasks, embedding_dim, **{**own, **arguments})


def randomize(model: FunnelModel, seed: int = 3, scale: float = 0.7) -> FunnelModel:
    """The same model, with weights of a size at which no symmetry ties them."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=scale, size=variable.shape))
    return model


# Sizes of the layers' inputs: rows, fields, dimension, inducing points, heads and tasks.
B, F, D, K, M, N = 4, 5, 6, 3, 2, 3


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


class LayerCase(NamedTuple):
    """How a layer is made and called.

    Attributes:
        make: makes it; takes further arguments of the constructor.
        arguments: those of the call, B rows each but for scalars.
        half: dtype of the output under the policy mixed_bfloat16.
    """

    make: Callable[..., keras.layers.Layer]
    arguments: tuple[Any, ...]
    half: str = "bfloat16"


IDS = np.array([[0, 1, 0, 2, 1], [2, 3, 1, 0, 0], [0, 0, 0, 0, 0], [2, 3, 1, 2, 2]])
_H = normal(B, F, D)
_Y = normal(B, K, D)
L = 5  # the length of a history; no entry is missing in the first row, and all are in the third
_MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 0, 0]])
_HISTORY = (normal(B, D // 2, seed=1), normal(B, L, D, seed=2), _MASK)
_WEIGHTS = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0.5], [1, 0, 0, 0, 1], [1, 1, 0, 0, 2]])


def fields(**kwargs: Any) -> FieldEmbedding:
    """A field of one id, one of a list of one value, and a sequence of three."""
    sequence = {"kind": "sequence", "features": [1], "query": [0], "attention": "dot"}
    return FieldEmbedding([3, 4, 3], D, [sequence], [1, 3, 1], 0.5, **kwargs)


_NUMBERS = normal(B, 3, seed=4)
_NUMBERS[2] = np.nan
_NUMBERS[0, 1] = np.nan
_VECTORS = normal(B, 4, seed=5)
_VECTORS[2, 1:] = np.nan


def all_fields(**kwargs: Any) -> FieldEmbedding:
    """Two fields of ids, three numbers of two settings, and two vectors."""
    encoders: list[dict[str, Any]] = [
        {"kind": "number", "embedding": "linear"},
        {"kind": "number", "embedding": "linear"},
        {"kind": "number", "embedding": "autodis", "buckets": 5},
        {"kind": "vector", "length": 1},
        {"kind": "vector", "length": 3},
    ]
    return FieldEmbedding([3, 4], D, encoders, **kwargs)


LAYERS = {
    "embedding": LayerCase(lambda **kw: FusedEmbedding([3, 4, 2, 3, 3], D, **kw), (IDS,)),
    "embedding of lists": LayerCase(
        lambda **kw: FusedEmbedding([4, 3], D, [2, 3], **kw),
        ({"ids": IDS, "weights": normal(B, 5)},),
    ),
    "embedding in parts": LayerCase(
        lambda **kw: PartitionedEmbedding([3, 4, 2, 3, 3], D, 2, **kw), (IDS,)
    ),
    "embedding of shared and frozen rows": LayerCase(
        lambda **kw: PartitionedEmbedding(
            [3, 4, 2, 3, 3], D, 2, shares=[0, 1, 2, 0, 4], frozen=[1], **kw
        ),
        (IDS,),
    ),
    "embedding with shared rows": LayerCase(
        lambda **kw: FusedEmbedding([3, 4, 2, 3, 3], D, shares=[3, 1, 2, 3, 3], **kw), (IDS,)
    ),
    "embedding of fields": LayerCase(
        lambda **kw: fields(**kw), ({"ids": IDS, "weights": _WEIGHTS},)
    ),
    "embedding of numbers and vectors": LayerCase(
        lambda **kw: all_fields(**kw),
        ({"ids": IDS[:, :2], "numbers": _NUMBERS, "vectors": _VECTORS},),
    ),
    "numbers": LayerCase(lambda **kw: NumberEncoder(D, 3, **kw), (_NUMBERS,)),
    "numbers by AutoDis": LayerCase(
        lambda **kw: NumberEncoder(D, 3, embedding="autodis", buckets=7, **kw), (_NUMBERS,)
    ),
    "vectors": LayerCase(lambda **kw: VectorEncoder(D, 4, **kw), (_VECTORS,)),
    "din attention": LayerCase(lambda **kw: DinAttention([7, 4], **kw), _HISTORY),
    "dot attention": LayerCase(lambda **kw: DotAttention(**kw), _HISTORY),
    "transformer": LayerCase(lambda **kw: CausalTransformer(2, 2, **kw), _HISTORY[1:]),
    "sequence": LayerCase(
        lambda **kw: SequenceEncoder(D // 2, [[0, L], [L, 2 * L]], [2 * L], "dot", **kw),
        (dict(zip(("query", "entries", "mask"), _HISTORY, strict=True)),),
    ),
    "selector": LayerCase(lambda **kw: SmoothStepSelector(K, **kw), (_H, 3.0), "float32"),
    "deep selector": LayerCase(
        lambda **kw: SmoothStepSelector(K, (7, 4), **kw), (_H, 3.0), "float32"
    ),
    "attention": LayerCase(lambda **kw: InducingPointAttention(K, M, **kw), (_H, normal(B, K) > 0)),
    "first block": LayerCase(lambda **kw: ASRG(K, M, residual="query", **kw), (_H, 3.0)),
    "later block": LayerCase(lambda **kw: ASRG(K, M, (4,), **kw), (_Y, 3.0)),
    "self-attention": LayerCase(lambda **kw: FieldSelfAttention(M, **kw), (_H,)),
    "first adapter": LayerCase(lambda **kw: TaskSpecificAdapter(N, M, **kw), (_Y,)),
    "later adapter": LayerCase(lambda **kw: TaskSpecificAdapter(N, M, **kw), (_Y, normal(B, N, D))),
    "towers": LayerCase(lambda **kw: Towers(N, [7, 4], **kw), (_H[:, 0],)),
    "gates": LayerCase(lambda **kw: SoftmaxGates(N, **kw), (_H[:, 0], normal(B, 4, D))),
    "sparse gates": LayerCase(lambda **kw: DSelectKGates(N, **kw), (_H[:, 0], normal(B, 4, D))),
    "heads with an amount": LayerCase(
        lambda **kw: HeadsWithAmount(count=N, place=N - 1, **kw), (normal(B, N, D),)
    ),
    "cross-stitch": LayerCase(lambda **kw: CrossStitch(**kw), (normal(B, N, D),)),
    "subspace stitch": LayerCase(lambda **kw: SubspaceStitch(3, **kw), (normal(B, N, D),)),
    "alignment": LayerCase(lambda **kw: TaskFieldAlignment(M, **kw), (_H[:, :N], _H)),
    "layer stitch": LayerCase(
        lambda **kw: LayerStitch(**kw), ([normal(B, N, D), normal(B, N, D, seed=1)],)
    ),
}
