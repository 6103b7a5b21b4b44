"""What a server of an exported model must answer over gRPC."""

from __future__ import annotations

import concurrent.futures
import json

import numpy as np

from tafe_tf.schema import is_probability
from tafe_tf.serving.client import Predictions
from tafe_tf.serving.client.description import DESCRIBE, DESCRIPTION, FIELDS
from tafe_tf.serving.conformance.target import Arrays, Check, Target, close, must


def answers_probabilities(target: Target) -> None:
    """One row and many are answered, and each output is one probability, or amount, a row."""
    for count in (1, 7, 1000):
        for name, values in target.client.predict(target.rows(count)).items():
            must(values.shape == (count,), f"{count} rows: output {name} has shape {values.shape}")
            must(_are_outputs(name, values), f"output {name} is no probability, or no amount")


def answers_what_the_export_does(target: Target) -> None:
    """Known, unseen, missing and extreme values give the export's own outputs, if it is given."""
    if target.expected is not None:
        rows, expected = target.expected
        close(target.client.predict(rows), expected)


def answers_pieces_as_the_whole(target: Target) -> None:
    """Rows asked for in three requests give the outputs of one request."""
    rows = target.rows(12)
    parts = []
    for start in (0, 5, 10):
        piece = {name: values[start : start + 5] for name, values in rows.items()}
        parts.append(target.client.predict(piece))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    close(joined, target.client.predict(rows))


def says_who_answered(target: Target) -> None:
    """An answer names its model, signature and version, and that version can be asked by number."""
    spec = target.client.call("Predict", target.request(target.rows(1))).model_spec
    version = spec.version.value
    found = (spec.name, spec.signature_name, version > 0)
    must(found == (target.model, "serving_default", True), f"the answer's model_spec is {found}")
    again = target.client.call("Predict", target.request(target.rows(1), version=version))
    answered = again.model_spec.version.value
    must(answered == version, "asked by number, another version answered")


def answers_every_signature(target: Target) -> None:
    """Each signature gives the outputs that the metadata promise."""
    for name, signature in target.signatures.items():
        outputs = target.client.predict(target.rows(1, name), signature=name)
        must(set(outputs) == set(signature.outputs), f"{name} answered {sorted(outputs)}")


def describes_itself(target: Target) -> None:
    """What the model says of its inputs and fields fits its signatures, if it says anything."""
    if not {DESCRIBE, FIELDS} <= set(target.signatures):
        return
    question = {DESCRIBE: np.array([b"", b"any text"], object)}
    first, second = target.client.predict(question, signature=DESCRIBE)[DESCRIPTION]
    must(first == second, "describe answered two texts differently")
    described = json.loads(first)
    names = {column["name"] for column in described["inputs"]}
    must(names == set(target.inputs), f"describe names the inputs {sorted(names)}")
    fields = len(described["fields"])
    for name, values in target.client.predict(target.rows(5), signature=FIELDS).items():
        must(values.shape == (5, fields), f"5 rows: output {name} of fields is {values.shape}")


def filters_outputs(target: Target) -> None:
    """A request that asks for one output gets that output alone."""
    wanted = sorted(target.signatures["serving_default"].outputs)[0]
    found = target.client.predict(target.rows(2), outputs=[wanted])
    must(set(found) == {wanted}, "output_filter was not heeded")


def answers_no_rows_with_no_rows(target: Target) -> None:
    """An empty batch gets an empty answer."""
    found = target.client.predict(target.rows(0))
    must(all(len(values) == 0 for values in found.values()), "an empty batch got rows")


def takes_nan_and_infinities(target: Target) -> None:
    """Numbers that are none still give probabilities, and amounts."""
    outputs = target.client.predict(_with_extremes(target.rows(3)))
    for name, values in outputs.items():
        must(_are_outputs(name, values), f"output {name} is no probability, or no amount")


def answers_many_at_a_time(target: Target) -> None:
    """Eight callers at a time get what one gets."""
    rows = target.rows(5)
    expected = target.client.predict(rows)

    def ask(_: int) -> Predictions:
        return target.client.predict(rows)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for outputs in pool.map(ask, range(80)):
            close(outputs, expected)


def _are_outputs(name: str, values: np.ndarray) -> bool:
    largest = 1.0 if is_probability(name) else np.finfo(np.float32).max
    return bool(np.all((values >= 0) & (values <= largest)))


def _with_extremes(rows: Arrays) -> Arrays:
    """Three rows whose floating-point columns hold NaN, plus and minus infinity."""
    extreme = np.array([np.nan, np.inf, -np.inf], np.float32)
    changed = {}
    for name, values in rows.items():
        if values.dtype.kind == "f":
            column = extreme.reshape(3, *[1] * (values.ndim - 1))
            changed[name] = np.broadcast_to(column, values.shape)
    return {**rows, **changed}


CHECKS: tuple[Check, ...] = (
    answers_probabilities,
    answers_what_the_export_does,
    answers_pieces_as_the_whole,
    says_who_answered,
    answers_every_signature,
    describes_itself,
    filters_outputs,
    answers_no_rows_with_no_rows,
    takes_nan_and_infinities,
    answers_many_at_a_time,
)
