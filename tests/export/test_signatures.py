"""Every signature of an export against the model, with probabilities computed by NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import examples
from tafe_tf.schema import MISSING_TEXTS
from tafe_tf.training.run_dir import RunDir

TOLERANCE = 3e-6  # logits of probes are large


def in_numpy(run: RunDir, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The served probabilities in float64, from the logits of the model in Python."""
    model = run.load_best()
    features = run.features()
    columns = {name: tf.constant(values) for name, values in rows.items()}
    logits = np.array(model(features(columns)), np.float64)
    f = expit(np.minimum.accumulate(logits, axis=1))
    schema = features.schema
    conditionals = f[:, 1:] / f[:, :-1]
    expected = dict(zip(schema.step_names, f.T, strict=True))
    expected.update(zip(schema.conditional_names, conditionals.T, strict=True))
    return expected


def assert_close(outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    for name, values in outputs.items():
        np.testing.assert_allclose(values, expected[name], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("size", [1, 33])
def test_every_signature_is_the_model(served: tuple[RunDir, SessionModel], size: int) -> None:
    run, model = served
    schema = run.schema()
    rows = probe_rows(schema, run.path / "vocabulary", size, seed=3)
    expected = in_numpy(run, rows)
    names = {"serving_default", "examples", "fields", "describe", *expected}
    if schema.user_inputs:
        names.add("rank")
    assert set(model.signatures) == names

    for name in expected:
        outputs = model(rows, name)
        assert set(outputs) == {name}
        assert_close(outputs, expected)
    everything = [
        model(rows, "serving_default"),
        model({"examples": examples(schema, rows)}, "examples"),
    ]
    for outputs in everything:
        assert set(outputs) == set(expected)
        assert_close(outputs, expected)


def test_rank_scores_the_items_for_the_one_user(served: tuple[RunDir, SessionModel]) -> None:
    run, model = served
    schema = run.schema()
    if not schema.user_inputs:
        assert "rank" not in model.signatures
        return
    rows = probe_rows(schema, run.path / "vocabulary", 33, seed=3)
    user = {name: rows[name][:1] for name in schema.user_inputs}
    repeated = {name: np.repeat(values, 33, axis=0) for name, values in user.items()}
    expected = in_numpy(run, {**rows, **repeated})
    outputs = model({**rows, **user}, "rank")
    assert set(outputs) == set(expected)
    assert_close(outputs, expected)


def test_fields_tells_what_is_missing_and_unseen(served: tuple[RunDir, SessionModel]) -> None:
    """Against the ids of each field, value by value."""
    run, model = served
    schema = run.schema()
    rows = probe_rows(schema, run.path / "vocabulary", 40, seed=5)
    ids = run.features()({name: tf.constant(values) for name, values in rows.items()})["ids"]
    answer = model(rows, "fields")
    start = 0
    for i, feature in enumerate(schema.features):
        for row, of_row in enumerate(ids.numpy()[:, start : start + feature.slots].tolist()):
            present = [one for one in of_row if one != 1]
            values = max(len(present), 1)
            assert answer["values"][row, i] == values
            assert answer["missing"][row, i] == float(not present)
            assert answer["unseen"][row, i] == np.float32(present.count(0) / values)
        start += feature.slots
    assert answer["unseen"].max() == answer["missing"].max() == 1.0


def test_describe_tells_the_inputs_and_the_shares_of_training(
    served: tuple[RunDir, SessionModel],
) -> None:
    run, model = served
    answer = model({"describe": [b"", b"any text"]}, "describe")["description"]
    assert answer[0] == answer[1]
    described = json.loads(answer[0])
    statistics = json.loads((run.path / "statistics.json").read_text())
    assert described["missing"] == list(run.schema().missing)
    for column, wanted in zip(described["inputs"], run.schema().inputs, strict=True):
        assert (column["name"], column["column"]) == (wanted.input, wanted.name)
        shape = (column["dtype"], column["max_length"], column["separator"])
        assert shape == (wanted.dtype, wanted.max_length, wanted.separator)
    for kind in ("missing", "unseen"):
        shares = {field["name"]: field[kind] for field in described["fields"]}
        assert shares == statistics[kind]


def test_a_text_that_means_missing_is_missing_in_every_signature(
    served: tuple[RunDir, SessionModel],
) -> None:
    run, model = served
    schema = run.schema()
    count = len(MISSING_TEXTS)
    rows = probe_rows(schema, run.path / "vocabulary", count, seed=7)
    spelled = dict(rows)
    for column in schema.inputs:
        if column.dtype == "string":
            texts = np.array(MISSING_TEXTS, object)
            width = rows[column.name].shape[1:]
            texts = texts.reshape(count, *[1] * len(width))
            spelled[column.name] = np.broadcast_to(texts, (count, *width))
            rows[column.name] = np.full((count, *width), "", object)
    expected = model(rows)
    found = [model(spelled), model({"examples": examples(schema, spelled)}, "examples")]
    for outputs in found:
        for name, values in expected.items():
            np.testing.assert_array_equal(outputs[name], values)
    shares = model(spelled, "fields")
    np.testing.assert_array_equal(shares["missing"], model(rows, "fields")["missing"])
