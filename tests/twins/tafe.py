"""Eq. 14-22 and the whole of TAFE, keys and values made, head by head.

Weights are named after the layer that has them: "block0/key", "adapter1/indicators",
"heads/kernel".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from twins.numbers import layer_norm, softmax

Weights = Mapping[str, np.ndarray]


# The variables of our layers, by the twin's names.


def attention_variables(attention: Any) -> dict[str, keras.Variable]:
    return {
        "points": attention.inducing_points,
        "key": attention.key,
        "value": attention.value,
        "output": attention.output_projection,
    }


def block_variables(block: Any) -> dict[str, keras.Variable]:
    named = attention_variables(block.attention)
    for i, dense in enumerate([*block.selector.hidden, block.selector.projection]):
        named |= {f"mlp{i}": dense.kernel, f"mlp_bias{i}": dense.bias}
    return {**named, "scale": block.norm.gamma, "shift": block.norm.beta}


def adapter_variables(adapter: Any) -> dict[str, keras.Variable]:
    return {
        "indicators": adapter.indicators,
        "key": adapter.key,
        "value": adapter.value,
        "output": adapter.output_projection,
        "scale": adapter.scale,
        "shift": adapter.shift,
    }


def variables(model: Any) -> dict[str, keras.Variable]:
    """All trainable variables of TAFE."""
    named = {
        "table": model.embedding.table,
        "heads/kernel": model.heads.kernel,
        "heads/bias": model.heads.bias,
    }
    for i, (block, adapter) in enumerate(zip(model.blocks, model.adapters, strict=True)):
        named |= {f"block{i}/{name}": v for name, v in block_variables(block).items()}
        named |= {f"adapter{i}/{name}": v for name, v in adapter_variables(adapter).items()}
    if model.deep is not None:
        named |= {
            "deep/kernel": model.deep.kernel,
            "deep/bias": model.deep.bias,
            "deep_heads/kernel": model.deep_heads.kernel,
        }
    assert {id(v) for v in named.values()} == {id(v) for v in model.trainable_variables}
    return named


def values(named: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    return {name: variable.numpy() for name, variable in named.items()}


def of_layer(p: Weights, layer: str) -> dict[str, np.ndarray]:
    """The weights of one layer of the model."""
    start = f"{layer}/"
    return {name.removeprefix(start): w for name, w in p.items() if name.startswith(start)}


# The equations.


def smooth_step(z: np.ndarray, gamma: float) -> np.ndarray:
    """Eq. 16."""
    cubic = -2 / gamma**3 * z**3 + 3 / (2 * gamma) * z + 0.5
    return np.where(z.real <= -gamma / 2, 0, np.where(z.real >= gamma / 2, 1, cubic))


def select(p: Weights, h: np.ndarray, gamma: float) -> np.ndarray:
    """Eq. 14-16: [B, F, d] -> [B, K]."""
    x = h.reshape(len(h), -1)
    last = sum(name.startswith("mlp_bias") for name in p) - 1
    for i in range(last + 1):
        x = x @ p[f"mlp{i}"] + p[f"mlp_bias{i}"]
        if i < last:
            x = np.where(x.real > 0, x, 0)
    return smooth_step(x, gamma)


def attend(
    query: np.ndarray,
    h: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    output: np.ndarray,
    heads: int,
) -> Any:
    """Eq. 18-19: [B, Q, d], [B, F, d] -> [B, Q, d]."""
    e = query.shape[-1] // heads
    parts = []
    for j in range(heads):
        cut = slice(j * e, (j + 1) * e)
        keys = h @ key[:, cut]
        scores = query[..., cut] @ keys.transpose(0, 2, 1) / np.sqrt(e)
        parts.append(softmax(scores) @ (h @ value[:, cut]))
    return np.concatenate(parts, axis=-1) @ output


def attention(p: Weights, h: np.ndarray, z: np.ndarray, heads: int) -> Any:
    """Eq. 17-19: [B, F, d], [B, K] -> [B, K, d]."""
    query = p["points"] * z[:, :, None]
    return attend(query, h, p["key"], p["value"], p["output"], heads)


def block(p: Weights, h: np.ndarray, gamma: float, heads: int, residual: str) -> Any:
    """Eq. 14-20: [B, F, d] -> [B, K, d]."""
    z = select(p, h, gamma)
    added = h if residual == "input" else p["points"] * z[:, :, None]
    return layer_norm(attention(p, h, z, heads) + added, p["scale"], p["shift"])


def adapter(p: Weights, y: np.ndarray, t: np.ndarray | float, heads: int) -> Any:
    """Eq. 21-22: [B, K, d], [B, N, d] or 0 -> [B, N, d]."""
    own = []
    for n, indicator in enumerate(p["indicators"]):
        query = np.tile(indicator, (len(y), 1, 1))
        own.append(attend(query, y, p["key"][n], p["value"][n], p["output"][n], heads))
    return layer_norm(t + np.concatenate(own, axis=1), p["scale"], p["shift"])


def logits(
    p: Weights, ids: np.ndarray, offsets: Sequence[int], gamma: float, heads: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """TAFE's logits [B, N], and the outputs of its selectors."""
    h = p["table"][ids + np.asarray(offsets)]
    y = h
    t: Any = 0.0
    selected = []
    for i in range(sum(name.endswith("/points") for name in p)):
        own = of_layer(p, f"block{i}")
        selected.append(select(own, y, gamma))
        y = block(own, y, gamma, heads, "input" if i else "query")
        t = adapter(of_layer(p, f"adapter{i}"), y, t, heads)
    of_heads = (t * p["heads/kernel"]).sum(axis=-1) + p["heads/bias"]
    if "deep/kernel" not in p:
        return of_heads, selected
    units = h.reshape(len(h), -1) @ p["deep/kernel"] + p["deep/bias"]
    active = np.where(units.real > 0, units, 0)
    return of_heads + active @ p["deep_heads/kernel"], selected
