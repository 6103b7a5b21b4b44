"""Ids outside their field's rows are refused, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.layers import FusedEmbedding, PartitionedEmbedding
from tafe_tf.models import BY_NAME, FunnelModel

ROWS = [3, 4, 5]
GOOD = np.array([[0, 3, 4], [2, 0, 0], [1, 1, 1]])
LABELS = np.array([[0, 0], [1, 0], [1, 1]], np.float32)


def wrong(slot: int, value: int) -> np.ndarray:
    ids = GOOD.copy()
    ids[1, slot] = value
    return ids


def made(**arguments: Any) -> FunnelModel:
    model = BY_NAME["shared_bottom"](ROWS, 2, 4, bottom_units=[4], tower_units=[4], **arguments)
    model.compile(optimizer="adam", loss=model.paper_loss())
    return model


WAYS: dict[str, Callable[[FunnelModel, Any], object]] = {
    "call": lambda model, ids: model(ids),
    "call by name": lambda model, ids: model({"ids": tf.constant(ids)}),
    "fit": lambda model, ids: model.fit(ids, LABELS, verbose=0),
    "fit by name": lambda model, ids: model.fit({"ids": ids}, LABELS, verbose=0),
    "fit on tensors": lambda model, ids: model.fit(tf.constant(ids), LABELS, verbose=0),
    "validation": lambda model, ids: model.fit(
        GOOD, LABELS, validation_data=(ids, LABELS), verbose=0
    ),
    "evaluate": lambda model, ids: model.evaluate(ids, LABELS, verbose=0),
    "predict": lambda model, ids: model.predict(ids, verbose=0),
    "dataset": lambda model, ids: model.fit(
        tf.data.Dataset.from_tensor_slices((ids, LABELS)).batch(3), verbose=0
    ),
    "dataset by name": lambda model, ids: model.predict(
        tf.data.Dataset.from_tensor_slices({"ids": ids}).batch(3), verbose=0
    ),
    "generator": lambda model, ids: model.fit(
        ((ids, LABELS) for _ in range(1)), steps_per_epoch=1, verbose=0
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_id_is_refused(way: str) -> None:
    model = made()
    model.field_names = ["user", "item", "hour"]
    before = [np.array(variable) for variable in model.variables]
    # 3 is a row of the table, but the second field's; 12 is none.
    for slot, wrong_id, name, last in [(0, 3, "user", 2), (1, -1, "item", 3), (2, 12, "hour", 4)]:
        message = rf"row 2: an id of field '{name}' must be from 0 to {last}\. Received: {wrong_id}"
        kinds = (ValueError, tf.errors.OpError)
        with pytest.raises(kinds, match=message):
            WAYS[way](model, wrong(slot, wrong_id))
    if way != "validation":  # its training rows are right, and come first
        for variable, value in zip(model.variables, before, strict=True):
            np.testing.assert_array_equal(variable, value)
    WAYS[way](model, GOOD)


def test_fields_without_names_have_numbers() -> None:
    for embedding in (FusedEmbedding(ROWS, 2), PartitionedEmbedding(ROWS, 2, parts=1)):
        with pytest.raises(ValueError, match=r"row 2: an id of field 2 of 3 .* Received: 4"):
            embedding(wrong(1, 4))
    with pytest.raises(ValueError, match=r"an id of field 2 of 3"):
        made(embedding_parts=2)(wrong(1, 4))


def test_all_slots_of_a_list_belong_to_its_field() -> None:
    embedding = FusedEmbedding([3, 4], 2, slots=[2, 1])
    weights = np.ones([1, 3], np.float32)
    embedding({"ids": np.array([[2, 2, 3]]), "weights": weights})
    with pytest.raises(ValueError, match=r"field 1 of 2 must be from 0 to 2\. Received: 3"):
        embedding({"ids": np.array([[2, 3, 3]]), "weights": weights})


def test_a_compiled_call_has_no_operation_for_it() -> None:
    model = made()
    graph = tf.function(model).get_concrete_function(tf.constant(GOOD)).graph
    assert not {"Assert", "EagerPyFunc", "PyFunc"} & {op.type for op in graph.get_operations()}
