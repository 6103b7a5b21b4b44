"""The baselines, row by row, expert by expert and tower by tower."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tafe_tf.layers import DSelectKGates
from tafe_tf.models import (
    AITM,
    ESCM2,
    ESM2,
    ESMM,
    HM3,
    MMOE,
    MRAN,
    PLE,
    CrossStitchNetwork,
    FunnelModel,
    SharedBottom,
    SingleTask,
    SluiceNetwork,
)
from twins.numbers import layer_norm, sigmoid, softmax


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
    if type(model).products or model.arguments["heads"] == "separate":
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
    if isinstance(model, SluiceNetwork):
        return sluice(model, x)
    if isinstance(model, MRAN):
        return mran(model, embed(model.embedding, row))
    if isinstance(model, HM3):
        return hm3(model, x)
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


def sluice(model: Any, x: np.ndarray) -> list[float]:
    count = range(model.num_tasks)
    u = model.num_subspaces
    each = [x] * model.num_tasks
    layers = []
    for level, stitch in zip(model.levels, model.stitches, strict=True):
        each = [mlp(level, t, each[t]) for t in count]
        parts = [part for t in count for part in np.split(each[t], u)]  # A,1, A,2, B,1, B,2, ...
        mixed = [
            sum(a * h for a, h in zip(row, parts, strict=True)) for row in stitch.alpha.numpy()
        ]
        each = [np.concatenate(mixed[u * t : u * (t + 1)]) for t in count]
        layers.append(each)
    beta = model.mixture.beta.numpy()
    return [head(model, t, sum(beta[t, i] * of[t] for i, of in enumerate(layers))) for t in count]


def sluice_penalty(model: Any) -> float:
    """The sum of the squares of v . w, for the weights v and w of units in different subspaces."""
    total = 0.0
    for level in model.levels:
        for kernel in level.kernels[0].numpy():
            width = kernel.shape[1] // model.num_subspaces
            for i, v in enumerate(kernel.T):
                later = kernel.T[(i // width + 1) * width :]
                total += sum(float(v @ w) ** 2 for w in later)
    return total


def self_attention(layer: Any, x: np.ndarray) -> np.ndarray:
    """Head by head: a residual, the attention of all rows of x to all, a norm."""
    attention = layer.attention
    made = (attention.query_dense, attention.key_dense, attention.value_dense)
    query, key, value = (dense.kernel.numpy() for dense in made)  # [d, M, e]
    output = attention.output_dense.kernel.numpy()  # [M, e, d]
    scale = np.float64(np.float32(query.shape[2] ** -0.5))  # Keras rounds 1 / sqrt(e) to float32
    y = x
    for m in range(layer.num_heads):
        scores = (x @ query[:, m]) @ (x @ key[:, m]).T * scale
        y = y + softmax(scores) @ (x @ value[:, m]) @ output[m]
    return np.asarray(layer_norm(y, layer.norm.gamma.numpy(), layer.norm.beta.numpy()))


def mran(model: Any, h: np.ndarray) -> list[float]:
    tasks = self_attention(model.of_tasks, model.tasks.numpy()[0])
    fields = self_attention(model.of_fields, h)
    alignment = model.alignment
    heads = alignment.num_heads
    queries = np.split(tasks @ alignment.query.numpy(), heads, axis=1)
    keys = np.split(fields @ alignment.key.numpy(), heads, axis=1)
    scale, shift = (w.numpy().ravel() for w in (alignment.norm.gamma, alignment.norm.beta))
    found = []
    for t in range(model.num_tasks):
        parts = []
        for q, k, x in zip(queries, keys, np.split(fields, heads, axis=1), strict=True):
            weights = softmax(k @ q[t] / np.sqrt(q.shape[1]))  # of the fields
            parts.append(x + weights[:, None] * x)
        read = layer_norm(np.concatenate(parts, axis=1).ravel(), scale, shift)
        found.append(tower(model, t, read))
    return found


def hm3(model: Any, x: np.ndarray) -> list[float]:
    """The sum over every path of actions that happen or not, in probabilities."""
    towers = iter([sigmoid(tower(model, t, x)) for t in range(model.towers.count)])
    f = [1.0]
    for i in range(model.num_tasks):
        actions = model.via.count(i)
        nodes = [[next(towers)], *([next(towers), next(towers)] for _ in range(actions))]
        total = 0.0
        for path in itertools.product([0, 1], repeat=actions):
            p, before = f[-1], 0
            for node, happens in zip(nodes, [*path, 1], strict=True):
                chance = node[before]  # if the action before did not happen, or did
                p *= chance if happens else 1 - chance
                before = happens
            total += p
        f.append(total)
    return [float(np.log(p / (1 - p))) for p in f[1:]]


def products(model: Any, x: np.ndarray) -> list[float]:
    """In probabilities, not in log space."""
    n = model.num_tasks
    p = [sigmoid(tower(model, t, x)) for t in range(model.towers.count)]
    if isinstance(model, ESM2) and model.via:
        assert model.via == [1]
        p[1] = (1 - p[n]) * p[1] + p[n] * p[n + 1]  # otherwise, or by the action
    f = np.cumprod(p[:n])
    return list(np.log(f / (1 - f)))
