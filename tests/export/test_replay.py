"""What `make runtimes` compares: it must see every answer that is not the one that was noted."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import replay
import runtimes
import tensorflow as tf


class Half(tf.Module):
    """A model with an answer of each kind: half of a number, and a text."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"half": x / 2, "text": tf.fill(tf.shape(x), "a")}


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("half"))
    module = Half()
    tf.saved_model.save(module, path, signatures={"serving_default": module.serve})
    return path


def asked(export: str, **outputs: np.ndarray) -> dict[str, Any]:
    """One question about 1 and 3, with the answers that were noted."""
    question = {
        "signature": "serving_default",
        "inputs": {"x": replay.to_text(np.array([1, 3], np.float32))},
        "outputs": {name: replay.to_text(answer) for name, answer in outputs.items()},
    }
    return {"export": export, "questions": [question]}


def test_the_largest_difference_is_found(half: str) -> None:
    text = np.array([b"a", b"a"], object)
    same = asked(half, half=np.array([0.5, 1.5], np.float32), text=text)
    assert replay.replay(same) == 0.0
    other = asked(half, half=np.array([0.5, 1.75], np.float32), text=text)
    assert replay.replay(other) == 0.25


@pytest.mark.parametrize(
    ("name", "noted", "wrong"),
    [
        ("text", np.array([b"a", b"b"], object), "another text or integer than was noted"),
        ("half", np.array([0.5, 1.5], np.float64), "instead of float64"),
        ("half", np.array([0.5], np.float32), r"float32 \(2,\) instead of float32 \(1,\)"),
    ],
)
def test_another_kind_of_answer_is_refused(
    half: str, name: str, noted: np.ndarray, wrong: str
) -> None:
    with pytest.raises(ValueError, match=f"serving_default, {name}: .*{wrong}"):
        replay.replay(asked(half, **{name: noted}))


def test_an_answer_that_is_no_number_is_refused(half: str) -> None:
    infinite = asked(half, half=np.array([0.5, 1.5], np.float32))
    infinite["questions"][0]["inputs"]["x"] = replay.to_text(np.array([1, np.inf], np.float32))
    with pytest.raises(ValueError, match="half: not a finite number"):
        replay.replay(infinite)


def test_the_runtime_that_answered_answers_alike(exports: dict[str, pathlib.Path]) -> None:
    found = runtimes.questions(exports["shop"])
    signatures = {question["signature"] for question in found["questions"]}
    assert {"serving_default", "examples", "rank", "fields"} <= signatures
    found["questions"] = found["questions"][: len(signatures)]  # the requests of one row
    assert replay.replay(found) <= 1e-6
