"""Every signature of an export against the model, with probabilities computed by NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import examples
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
    names = {"serving_default", "examples", *expected}
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
