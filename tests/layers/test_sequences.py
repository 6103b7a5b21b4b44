"""Histories that a candidate reads: against their twins, and what padding must not change."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from layer_calls import build, call
from registry import LAYERS, B, D, L, normal
from twins import sequences as twin

from tafe_tf.layers import (
    CausalTransformer,
    DinAttention,
    DotAttention,
    FieldEmbedding,
    FusedEmbedding,
    SequenceEncoder,
)

LENGTHS = [5, 2, 0, 1]
MASK = np.array([[place < length for place in range(L)] for length in LENGTHS]).astype(float)
QUERY, ENTRIES = normal(B, D // 2, seed=1), normal(B, L, D, seed=2)
ATTENTIONS = ("din", "dot", "transformer")


@pytest.mark.parametrize("name", ["din", "dot"])
def test_attention_equals_its_twin(name: str) -> None:
    layer = build(LAYERS[f"{name} attention"], dtype="float64")
    p = twin.values(layer)
    one = {"din": twin.din, "dot": twin.dot}[name]
    want = [one(p, QUERY[b], ENTRIES[b, :length]) for b, length in enumerate(LENGTHS)]
    got = call(layer, (QUERY, ENTRIES, MASK), "float64")
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    assert np.abs(want[2]).max() > 0.1  # no history is a vector of its own
    shared = call(layer, (QUERY, ENTRIES[:1], MASK[:1]), "float64")  # one history for all queries
    want = [one(p, query, ENTRIES[0]) for query in QUERY]
    np.testing.assert_allclose(shared, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("heads", [1, 2])
def test_transformer_equals_its_twin(heads: int) -> None:
    layer = CausalTransformer(2, heads, dtype="float64")
    layer.build((None, L, D))
    layer.set_weights([normal(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())])
    p = twin.values(layer)
    states = np.array(layer(ENTRIES, MASK))
    for b, length in enumerate(LENGTHS):
        want = twin.transformer(p, ENTRIES[b, :length], 2, heads)
        np.testing.assert_allclose(states[b, :length], want, rtol=1e-11, atol=1e-11)
    assert np.isfinite(states).all()


def encoder(attention: str, dtype: str = "float64") -> SequenceEncoder:
    layer = SequenceEncoder(D, [[0, L]], [L], attention, dtype=dtype)  # type: ignore[arg-type]
    layer.build()
    layer.set_weights([0.5 * normal(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())])
    return layer


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_changes_neither_answers_nor_gradients(attention: str) -> None:
    """Whatever stands behind the last entry, and whatever gradients its vectors would have."""
    layer = encoder(attention)
    query = tf.constant(normal(B, D, seed=1))

    def answer(entries: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        given = tf.constant(entries)
        with tf.GradientTape() as tape:
            tape.watch(given)
            out = layer({"query": query, "entries": given, "mask": tf.constant(MASK)})
            loss = tf.reduce_sum(tf.square(out))
        variables = [weight.value for weight in layer.trainable_weights]
        of_entries, *of_weights = tape.gradient(loss, [given, *variables])
        return np.array(out), [np.array(tf.convert_to_tensor(g)) for g in of_weights], of_entries

    is_entry = MASK[:, :, None] == 1
    out, gradients, of_entries = answer(ENTRIES)
    other, other_gradients, _ = answer(np.where(is_entry, ENTRIES, 100.0 * ENTRIES + 7.0))
    np.testing.assert_allclose(out, other, rtol=1e-12, atol=1e-12)
    for one, two in zip(gradients, other_gradients, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)
    assert (np.where(is_entry, 0.0, of_entries) == 0.0).all()
    assert np.abs(np.array(of_entries)[0]).min() > 0


@pytest.mark.parametrize("attention", ["din", "dot"])
def test_a_longer_maximum_changes_nothing(attention: str) -> None:
    """The same history among more slots of padding; the transformer has weights for its places."""
    longer = SequenceEncoder(D, [[0, 2 * L]], [2 * L], attention, dtype="float64")  # type: ignore[arg-type]
    longer.build()
    layer = encoder(attention)
    longer.set_weights(layer.get_weights())
    query = normal(B, D, seed=1)
    padded = np.concatenate([ENTRIES, normal(B, L, D, seed=9)], axis=1)
    masks = np.concatenate([MASK, np.zeros((B, L))], axis=1)
    short = layer({"query": query, "entries": ENTRIES, "mask": MASK})
    long = longer({"query": query, "entries": padded, "mask": masks})
    np.testing.assert_allclose(short, long, rtol=1e-12, atol=1e-12)


def field_embedding(attention: str, **kwargs: Any) -> FieldEmbedding:
    """Fields item, history of ids, hour, history of ages: rows 5, 5, 3, 4."""
    sequence = {"kind": "sequence", "features": [1, 3], "query": [0], "attention": attention}
    layer = FieldEmbedding([5, 5, 3, 4], D, [{**sequence, "once": True}], [1, L, 1, L], **kwargs)
    layer.build()
    layer.set_weights([0.5 * normal(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())])
    return layer


def rows_of_histories(rows: int = B) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = np.repeat([5, 5, 3, 4], [1, L, 1, L])
    ids = (rng.random((rows, len(sizes))) * sizes).astype(np.int32)
    weights = np.ones(ids.shape, np.float32)
    weights[:, 1 : 1 + L] = weights[:, 2 + L :] = MASK[:rows]
    return {"ids": ids, "weights": weights}


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_h_holds_the_pooled_fields_and_then_what_the_encoder_makes(
    attention: str, parts: int
) -> None:
    layer = field_embedding(attention, dtype="float64", parts=parts)
    inputs = rows_of_histories()
    h = np.array(layer(inputs))
    table = np.concatenate([each.table.numpy() for each in layer.tables()])
    offsets = np.repeat([0, 5, 10, 13], [1, L, 1, L])
    slots = table[inputs["ids"] + offsets]
    np.testing.assert_array_equal(h[:, :2], slots[:, [0, 1 + L]])
    (sequence,) = layer.encoders
    entries = np.concatenate([slots[:, 1 : 1 + L], slots[:, 2 + L :]], axis=-1)
    want = sequence({"query": slots[:, 0], "entries": entries, "mask": MASK})
    np.testing.assert_allclose(h[:, 2], want, rtol=1e-12, atol=1e-12)
    assert h.shape == (B, layer.rows, D) == layer.compute_output_shape({"ids": (B, 2 + 2 * L)})


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_history_that_is_looked_up_once_is_that_of_every_row(attention: str, parts: int) -> None:
    layer = field_embedding(attention, dtype="float64", parts=parts)
    for row in range(B):
        inputs = rows_of_histories()
        own, once = [0, 1 + L], layer.once_places()
        inputs["ids"][:, once] = inputs["ids"][row, once]
        inputs["weights"][:, once] = inputs["weights"][row, once]
        parted = {name: values[:, own] for name, values in inputs.items()}
        parted |= {f"once_{name}": values[:1, once] for name, values in inputs.items()}
        np.testing.assert_allclose(layer(parted), layer(inputs), rtol=1e-12, atol=1e-12)


def test_fields_without_encoders_are_those_of_the_table_alone() -> None:
    """A list and plain fields around it, pooled in runs."""
    other = {"kind": "sequence", "features": [4], "query": [0]}
    layer = FieldEmbedding([3, 4, 5, 3, 2], D, [other], [1, 1, 3, 1, 2], dtype="float64")
    layer.build()
    table = FusedEmbedding([3, 4, 5, 3, 2], D, [1, 1, 3, 1, 2], dtype="float64")
    table.build()
    table.table.assign(layer.tables()[0].table)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 2, (6, 8))
    weights = np.ones((6, 8))
    weights[:, 2:5] = rng.random((6, 3))
    inputs = {"ids": ids, "weights": weights}
    np.testing.assert_allclose(layer(inputs)[:, :4], table(inputs)[:, :4], rtol=1e-15)


def test_the_table_of_histories_has_a_sparse_gradient() -> None:
    layer = field_embedding("din")
    inputs = {name: tf.constant(values) for name, values in rows_of_histories().items()}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs))
    gradient = tape.gradient(loss, layer.tables()[0].table.value)
    assert isinstance(gradient, tf.IndexedSlices)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_of_long_histories(attention: str, policy: str) -> None:
    half, full = (field_embedding(attention, dtype=dtype) for dtype in (policy, "float32"))
    inputs = rows_of_histories()
    h = np.array(keras.ops.cast(half(inputs), "float32"))
    assert np.isfinite(h).all()
    want = np.array(full(inputs))
    assert np.abs(h - want).max() < 0.05 * np.abs(want).max() + 0.02


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DinAttention([]), r"all of `units` must be 1 or more\. Received: units=\[\]"),
        (lambda: DinAttention([4, 0]), r"all of `units` must be 1 or more\. .*\[4, 0\]"),
        (lambda: CausalTransformer(0), r"`num_blocks` must be 1 or more\. Received: num_blocks=0"),
        (
            lambda: CausalTransformer(1, 4).build((None, L, D)),
            r"`num_heads` must divide the dimension 6\. Received: num_heads=4",
        ),
        (lambda: SequenceEncoder(D, [], [0]), r"a sequence needs lists and a query\. .*lists=\[\]"),
        (
            lambda: SequenceEncoder(D, [[0, 2]], [2], "cosine"),  # type: ignore[arg-type]
            r"`attention` must be one of .*'cosine'",
        ),
        (
            lambda: DinAttention().build((None, 4), (None, L, 2)),
            r"a query must be no wider than an entry\. Received: 4 and 2",
        ),
        (
            lambda: FieldEmbedding([3], D, [{"kind": "poem"}]),
            r"`encoders` must be of the kinds .*Received: 'poem'",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_dot_attention_of_no_entry_is_the_learned_vector() -> None:
    layer = DotAttention()
    layer.build((None, D), (None, L, D))
    layer.none.assign(np.arange(D))
    out = layer(np.ones((1, D)), np.ones((1, L, D)), np.zeros((1, L)))
    np.testing.assert_array_equal(out, [np.arange(D)])
