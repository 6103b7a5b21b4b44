"""Target attention and the causal transformer, one history and one entry at a time.

Weights are named as the layers name them. A history is its entries alone, without padding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from twins.numbers import layer_norm, softmax

Weights = Mapping[str, np.ndarray]


def din(p: Weights, query: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Eq. 3 of Zhou et al. (2018): query [p], entries [l, e] -> [e]."""
    if len(entries) == 0:
        return p["none"]
    total = np.zeros(entries.shape[1])
    for key in entries:
        total += activation(p, query, key) * key
    return total


def activation(p: Weights, query: np.ndarray, key: np.ndarray) -> float:
    """The activation unit, an MLP of [q, k, q - k, q * k]."""
    compared = key[: len(query)]
    x = np.concatenate([query, key, query - compared, query * compared])
    first = [p["query"], p["key"], p["difference"], p["product"]]
    x = x @ np.concatenate(first) + p["bias_0"]
    layer = 0
    while True:
        x = np.where(x > 0, x, p[f"slope_{layer}"] * x)
        layer += 1
        if f"bias_{layer}" not in p:
            break
        x = x @ p[f"kernel_{layer}"] + p[f"bias_{layer}"]
    (activated,) = x @ p[f"kernel_{layer}"] + p["last_bias"]
    return float(activated)


def dot(p: Weights, query: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """The mean of entries and of none of them: query [p], entries [l, e] -> [e]."""
    e = len(p["none"])
    projected = query @ p["kernel"] + p["bias"]
    scores = [projected @ key / np.sqrt(e) for key in entries]
    weights = softmax(np.array([*scores, p["none_score"][0]]))
    mean = weights @ np.array([*entries, p["none"]])
    return np.asarray(mean)


def transformer(p: Weights, entries: np.ndarray, blocks: int, heads: int) -> np.ndarray:
    """The states of the entries of a history, the newest first: [l, d] -> [l, d]."""
    x = entries + p["places"][: len(entries)]
    for i in range(blocks):
        normal = norm(p, x, 2 * i)
        x = x + attend(p, normal, i, heads)
        normal = norm(p, x, 2 * i + 1)
        hidden = np.maximum(normal @ p[f"wide_{i}"] + p[f"wide_bias_{i}"], 0)
        x = x + hidden @ p[f"narrow_{i}"] + p[f"narrow_bias_{i}"]
    return norm(p, x, 2 * blocks)


def norm(p: Weights, x: np.ndarray, number: int) -> np.ndarray:
    scale, shift = p[f"gamma#{number}"], p[f"beta#{number}"]
    return np.asarray(layer_norm(x, scale, shift, 1e-6))


def attend(p: Weights, x: np.ndarray, block: int, heads: int) -> np.ndarray:
    """Each entry reads itself and the older ones, which follow it."""
    _, d = x.shape
    e = d // heads
    projected = x @ p[f"query_key_value_{block}"]
    queries, keys, values = projected[:, :d], projected[:, d : 2 * d], projected[:, 2 * d :]
    out = np.zeros_like(x)
    for head in range(heads):
        own = slice(head * e, (head + 1) * e)
        for i in range(len(x)):
            scores = keys[i:, own] @ queries[i, own] / np.sqrt(e)
            out[i, own] = softmax(scores) @ values[i:, own]
    return np.asarray(out @ p[f"output_{block}"])


def values(layer: object) -> dict[str, np.ndarray]:
    """The weights of a layer by name; those of its norms are numbered in their order."""
    named: dict[str, np.ndarray] = {}
    counts: dict[str, int] = {}
    for weight in layer.weights:  # type: ignore[attr-defined]
        name = weight.name
        if name in ("gamma", "beta"):
            number = counts.get(name, 0)
            counts[name] = number + 1
            name = f"{name}#{number}"
        named[name] = weight.numpy()
    return named
