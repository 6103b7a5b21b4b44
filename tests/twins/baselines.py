"""The baselines, row by row, expert by expert and tower by tower."""

from __future__ import annotations

from typing import Any

import numpy as np

from tafe_tf.layers import DSelectKGates
from tafe_tf.models import (
    AITM,
    ESCM2,
    ESM2,
    ESMM,
    MMOE,
    PLE,
    CrossStitchNetwork,
    FunnelModel,
    SharedBottom,
    SingleTask,
)
from twins.numbers import sigmoid, softmax


def embed(layer: Any, row: np.ndarray) -> np.ndarray:
    """The embeddings of a row's ids, one below the other, [F, d]."""
    table = layer.table.numpy()
    places = zip(layer.offsets, row, strict=True)
    return np.stack([table[offset + i] for offset, i in places])


def mlp(towers: Any, t: int, x: np.ndarray) -> np.ndarray:
    """Tower t."""
    for kernel, bias in zip(towers.kernels, towers.biases, strict=True):
        x = np.maximum(x @ kernel.numpy()[t] + bias.numpy()[t], 0.0)
    return x


def head(model: Any, t: int, x: np.ndarray) -> float:
    return float(x @ model.heads.kernel.numpy()[t] + model.heads.bias.numpy()[t])


def tower(model: Any, t: int, x: np.ndarray) -> float:
    """Task t's tower and head."""
    return head(model, t, mlp(model.towers, t, x))


def mix(gates: Any, g: int, x: np.ndarray, experts: list[np.ndarray]) -> np.ndarray:
    """Gate g's mixture."""
    if isinstance(gates, DSelectKGates):
        return np.asarray(dselect_k(gates, g, x) @ np.array(experts))
    return np.asarray(softmax(x @ gates.kernel.numpy()[g]) @ np.array(experts))


def dselect_k(gates: Any, g: int, x: np.ndarray) -> np.ndarray:
    """Weights of 4 experts by 2 selectors of 2 bits, the smooth step as it is written (gamma 1)."""
    t = x @ gates.kernel.numpy()[g]
    cubic = -2 * t**3 + 1.5 * t + 0.5
    s = np.where(t <= -0.5, 0.0, np.where(t >= 0.5, 1.0, cubic)).reshape(2, 2)
    of_bits = [[1 - step, step] for step in s.T]  # [bit][value][k]
    selectors = np.array([of_bits[0][e & 1] * of_bits[1][e >> 1] for e in range(4)]).T
    return np.asarray(softmax(x @ gates.mixing.numpy()[g]) @ selectors)


def logits(model: FunnelModel, row: np.ndarray) -> list[float]:
    """Any baseline's logits of one row of ids."""
    of_heads = logits_of_heads(model, row)
    if model.arguments["heads"] != "conditional":
        return of_heads
    f = np.cumprod([sigmoid(logit) for logit in of_heads])
    return list(np.log(f / (1 - f)))


def logits_of_heads(model: FunnelModel, row: np.ndarray) -> list[float]:
    tasks = range(model.num_tasks)
    if isinstance(model, SingleTask):
        return [tower(model, t, embed(model.embeddings[t], row).ravel()) for t in tasks]
    x = embed(model.embedding, row).ravel()
    if isinstance(model, SharedBottom):
        shared = mlp(model.bottom, 0, x)
        return [tower(model, t, shared) for t in tasks]
    if isinstance(model, MMOE):
        experts = [mlp(model.experts, e, x) for e in range(model.experts.count)]
        return [tower(model, t, mix(model.gates, t, x, experts)) for t in tasks]
    if isinstance(model, PLE):
        return ple(model, x)
    if isinstance(model, AITM):
        return aitm(model, x)
    if isinstance(model, CrossStitchNetwork):
        return cross_stitch(model, x)
    assert isinstance(model, ESMM | ESCM2 | ESM2)
    return products(model, x)


def ple(model: Any, x: np.ndarray) -> list[float]:
    count = range(model.num_tasks)
    m = model.num_specific
    tasks = [x] * model.num_tasks
    shared = x
    for level, gates in enumerate(model.task_gates):
        own = [[mlp(model.specific[level], m * t + e, tasks[t]) for e in range(m)] for t in count]
        common_count = range(model.shared[level].count)
        common = [mlp(model.shared[level], e, shared) for e in common_count]
        tasks = [mix(gates, t, tasks[t], own[t] + common) for t in count]
        if level < len(model.shared_gates):
            everything = [*(expert for experts in own for expert in experts), *common]
            shared = mix(model.shared_gates[level], 0, shared, everything)
    return [tower(model, t, tasks[t]) for t in count]


def aitm(model: Any, x: np.ndarray) -> list[float]:
    z = mlp(model.towers, 0, x)
    found = [head(model, 0, z)]
    for i in range(1, model.num_tasks):
        h1, h2, h3 = np.split(model.projections[i - 1].kernel.numpy(), 3, axis=1)
        both = [mlp(model.hand_on[i - 1], 0, z), mlp(model.towers, i, x)]
        scores = np.array([(u @ h1) @ (u @ h2) / np.sqrt(len(z)) for u in both])
        p, q = softmax(scores)
        z = p * (both[0] @ h3) + q * (both[1] @ h3)
        found.append(head(model, i, z))
    return found


def cross_stitch(model: Any, x: np.ndarray) -> list[float]:
    count = range(model.num_tasks)
    each = [x] * model.num_tasks
    for level, stitch in zip(model.levels, [*model.stitches, None], strict=True):
        each = [mlp(level, t, each[t]) for t in count]
        if stitch is not None:
            alpha = stitch.alpha.numpy()
            each = [sum(alpha[i, j] * each[j] for j in count) for i in count]
    return [head(model, t, each[t]) for t in count]


def products(model: Any, x: np.ndarray) -> list[float]:
    """In probabilities, not in log space."""
    n = model.num_tasks
    p = [sigmoid(tower(model, t, x)) for t in range(model.towers.count)]
    if isinstance(model, ESM2) and model.via:
        assert model.via == [1]
        p[1] = (1 - p[n]) * p[1] + p[n] * p[n + 1]  # otherwise, or by the action
    f = np.cumprod(p[:n])
    return list(np.log(f / (1 - f)))
