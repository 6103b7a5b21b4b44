"""What `make runtimes` compares: it must see every answer that is not the one that was noted."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import replay
import runtimes


@pytest.fixture(scope="module")
def asked(exports: dict[str, pathlib.Path]) -> dict[str, Any]:
    """A request of one row to every signature of an export, with the answers."""
    found = runtimes.questions(exports["shop"])
    by_signature = {question["signature"]: question for question in reversed(found["questions"])}
    assert {"serving_default", "examples", "rank", "fields"} <= set(by_signature)
    assert len(found["questions"]) >= 2 * len(by_signature)  # warm-up has several sizes
    return {**found, "questions": list(by_signature.values())}


def changed(asked: dict[str, Any], signature: str, name: str, value: np.ndarray) -> dict[str, Any]:
    """The same questions, with another answer to one of them."""
    questions = []
    for question in asked["questions"]:
        if question["signature"] == signature:
            outputs = {**question["outputs"], name: replay.to_text(value)}
            question = {**question, "outputs": outputs}
        questions.append(question)
    return {**asked, "questions": questions}


def noted(asked: dict[str, Any], signature: str) -> tuple[str, np.ndarray]:
    (question,) = (each for each in asked["questions"] if each["signature"] == signature)
    name, text = next(iter(question["outputs"].items()))
    return name, replay.from_text(text)


def test_the_runtime_that_answered_answers_alike(asked: dict[str, Any]) -> None:
    assert replay.replay(asked) <= 1e-6


def test_another_answer_is_seen(asked: dict[str, Any]) -> None:
    name, answer = noted(asked, "serving_default")
    assert replay.replay(changed(asked, "serving_default", name, answer + 0.125)) == pytest.approx(
        0.125, abs=1e-6
    )
    with pytest.raises(ValueError, match=f"serving_default, {name}: float32"):
        replay.replay(changed(asked, "serving_default", name, answer[:0]))
    name, counts = noted(asked, "fields")
    other = np.array(counts, copy=True)
    other.flat[0] = b"other" if other.dtype == object else other.flat[0] + 1
    with pytest.raises(ValueError, match=f"fields, {name}: another text or integer"):
        replay.replay(changed(asked, "fields", name, other))
