"""Answers that no honest server gives: each is a ServingError, and nothing else."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from fake_server import Fake

from tafe_tf.serving.client import AsyncClient, Client, columns
from tafe_tf.serving.client.conversation import Conversation
from tafe_tf.serving.client.deadline import Steps
from tafe_tf.serving.client.description import Description
from tafe_tf.serving.wire import messages, tensors
from tafe_tf.serving.wire.errors import ServingError, WrongAnswerError

ROWS = 25
ITEM = {"name": "item", "column": "item", "separator": "|"}
FIELD = {"name": "item", "missing": 0.0, "unseen": 0.25}
DESCRIBED: dict[str, Any] = {"inputs": [ITEM], "missing": ["-"], "fields": [FIELD]}

Twist = Callable[[Any], None]


class Context:
    """The part of gRPC's context that the fake server calls."""

    def abort(self, code: grpc.StatusCode, text: str) -> None:
        raise ServingError(code, text)


def answer(fake: Fake, method: str, request: Any) -> Any:
    """What the fake server answers, without a network."""
    return getattr(fake, method)(request, Context())


def converse(steps: Steps[Any], respond: Callable[[str, Any], bytes]) -> Any:
    """Carries out a conversation with somebody who answers in bytes."""
    try:
        method, request = next(steps)
        while True:
            try:
                content = respond(method, request)
            except ServingError as error:
                method, request = steps.throw(error)
            else:
                method, request = steps.send(content)
    except StopIteration as end:
        return end.value


def ask(twist: Twist, described: bool = True, method: str = "Predict") -> Any:
    """Asks for rows in three pieces; `twist` changes each answer to rows."""
    fake = Fake()
    fake.description = DESCRIBED if described else {}

    def respond(called: str, request: Any) -> bytes:
        response = answer(fake, called, request)
        if called == method and "description" not in getattr(response, "outputs", {}):
            twist(response)
        content: bytes = response.SerializeToString()
        return content

    conversation = Conversation(messages.ModelSpec(name="shop"), 10)
    return converse(conversation.predict({"item": np.arange(ROWS)}, "rank", ()), respond)


def twice(values: Any, dtype: Any = np.float32) -> Twist:
    """Makes another output of "twice"."""

    def change(response: Any) -> None:
        response.outputs["twice"].Clear()
        tensors.encode(np.asarray(values, dtype), response.outputs["twice"])

    return change


def more_outputs(response: Any) -> None:
    response.outputs["thrice"].CopyFrom(response.outputs["twice"])


def no_number(response: Any) -> None:
    response.outputs["twice"].float_val[3] = float("nan")


def cut_tensor(response: Any) -> None:
    response.outputs["twice"].Clear()
    response.outputs["twice"].dtype = 1
    response.outputs["twice"].tensor_content = b"1234567"


def huge_tensor(response: Any) -> None:
    response.outputs["twice"].tensor_shape.dim[0].size = 1 << 62


WRONG: dict[str, tuple[Twist, str]] = {
    "too few rows": (twice(range(9)), r"output 'twice' is float32 \[9\], expected float32 \[10\]"),
    "too many rows": (twice(range(11)), r"output 'twice' is float32 \[11\]"),
    "no rows": (twice([]), r"output 'twice' is float32 \[0\]"),
    "a single number": (twice(1.0), r"output 'twice' is float32 \[\], expected float32 \[10\]"),
    "a matrix": (twice([[1.0]] * 10), r"output 'twice' is float32 \[10, 1\], expected"),
    "another type": (twice(range(10), np.float64), r"is float64 \[10\], expected float32 \[10\]"),
    "texts": (twice(["a"] * 10, object), "is object"),
    "NaN": (no_number, "output 'twice', row 4: is NaN or infinite"),
    "no outputs": (lambda r: r.ClearField("outputs"), r"its outputs are \[\], expected"),
    "other outputs": (more_outputs, r"its outputs are \['thrice', 'twice', 'version'\]"),
    "bytes of no tensor": (cut_tensor, "output 'twice': 7 bytes are no float32"),
    "a tensor of 2^62 numbers": (huge_tensor, "are no tensor of 4611686018427387904 elements"),
    "no version": (lambda r: r.ClearField("model_spec"), "does not tell the model's version"),
    "another model": (lambda r: setattr(r.model_spec, "name", "x"), "model 'x' answers for 'shop'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_answer_that_does_not_fit_is_refused(what: str) -> None:
    twist, text = WRONG[what]
    with pytest.raises(WrongAnswerError, match=text) as caught:
        ask(twist)
    assert caught.value.code == grpc.StatusCode.INTERNAL and len(str(caught.value)) < 400


def test_the_honest_answer_is_believed() -> None:
    np.testing.assert_array_equal(ask(lambda _: None)["twice"], 2.0 * np.arange(ROWS))


def test_nan_of_a_model_that_is_not_ours_is_what_it_says() -> None:
    assert np.isnan(ask(no_number, described=False)["twice"][[3, 13, 23]]).all()


def test_rows_of_two_versions_are_never_mixed() -> None:
    versions = iter([1, 2, 1])

    def other(response: Any) -> None:
        response.model_spec.version.value = next(versions)

    with pytest.raises(ServingError, match="version 2 answers for version 1"):
        ask(other)


METADATA: dict[str, tuple[Twist, str]] = {
    "nothing": (lambda r: r.metadata.clear(), "its metadata have no 'signature_def'"),
    "no message": (
        lambda r: setattr(r.metadata["signature_def"], "value", b"\xff\xff"),
        "2 bytes are no message of signatures",
    ),
    "another type": (
        lambda r: setattr(r.metadata["signature_def"], "type_url", "a/b.C"),
        r"its signatures are of type b\.C",
    ),
}


@pytest.mark.parametrize("what", METADATA)
def test_metadata_that_are_none_are_refused(what: str) -> None:
    twist, text = METADATA[what]
    with pytest.raises(WrongAnswerError, match=text):
        ask(twist, method="GetModelMetadata")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"[" * 100_000,
        b"\xff",
        json.dumps({**DESCRIBED, "missing": "NA"}).encode(),
        json.dumps({**DESCRIBED, "missing": [7]}).encode(),
        json.dumps({**DESCRIBED, "inputs": [{**ITEM, "separator": ""}]}).encode(),
        json.dumps({**DESCRIBED, "inputs": [{**ITEM, "column": None}]}).encode(),
        json.dumps({**DESCRIBED, "fields": [{**FIELD, "unseen": "0.1"}]}).encode(),
        json.dumps({**DESCRIBED, "fields": [{**FIELD, "unseen": 1.5}]}).encode(),
        json.dumps({**DESCRIBED, "fields": ["item"]}).encode(),
        json.dumps({**DESCRIBED, "fields": 7}).encode(),
    ],
)
def test_a_description_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(WrongAnswerError, match="'describe' is no description: "):
        Description(text, 1)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"unseen": np.full((2, 1), np.nan)}, "'unseen': must be from 0 to 1"),
        ({"missing": np.full((2, 1), -1.0)}, "'missing': must be from 0 to 1"),
        ({"values": np.full((2, 1), 1e30)}, "'values': must be from 0 to"),
        ({"values": np.ones((2, 2))}, "'values': is no number for each field"),
        ({"values": np.full((2, 1), b"1", object)}, "'values': is no number for each field"),
        ({"more": np.ones((2, 1))}, "'fields' has the outputs"),
    ],
)
def test_fields_that_are_no_counts_are_refused(changed: dict[str, Any], text: str) -> None:
    description = Description(json.dumps(DESCRIBED).encode(), 1)
    honest = {name: np.ones((2, 1)) for name in ("values", "missing", "unseen")}
    assert description.seen(honest, 1).missing == {"item": 1.0}
    with pytest.raises(WrongAnswerError, match=text):
        description.seen({**honest, **changed}, 1)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """An answer with some bytes changed, cut or inserted."""
    damage = bytearray(content)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(damage) + 1)
        kind = chance.randrange(3)
        if kind == 0:
            damage[place : place + 1] = chance.randbytes(1)
        elif kind == 1:
            del damage[place : place + chance.randrange(9)]
        else:
            damage[place:place] = chance.randbytes(chance.randrange(9))
    return bytes(damage)


class Unreliable:
    """The fake server, with damage in one of its answers."""

    def __init__(self, damaged_call: int, chance: random.Random) -> None:
        self.fake = Fake()
        self.fake.description = DESCRIBED
        self.damaged_call = damaged_call
        self.chance = chance
        self.calls = 0

    def __call__(self, method: str, request: Any) -> bytes:
        content: bytes = answer(self.fake, method, request).SerializeToString()
        self.calls += 1
        is_damaged = self.calls == self.damaged_call
        return damaged(content, self.chance) if is_damaged else content


def rows_of(found: dict[str, np.ndarray]) -> bool:
    return {name: len(array) for name, array in found.items()} == {"twice": ROWS, "version": ROWS}


# What is asked, the number of calls that it takes, and whether an answer is whole.
QUESTIONS: dict[str, tuple[Callable[[Conversation], Steps[Any]], int, Callable[[Any], bool]]] = {
    "predict": (lambda c: c.predict({"item": np.arange(ROWS)}, "rank", ()), 5, rows_of),
    "seen": (
        lambda c: c.seen({"item": np.arange(ROWS)}),
        5,
        lambda seen: list(seen.unseen) == ["item"],
    ),
    "status": (lambda c: c.status(), 1, lambda found: isinstance(found, dict)),
    "signatures": (lambda c: c.signatures(), 1, lambda found: isinstance(found, dict)),
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_damaged_bytes_of_every_answer(what: str) -> None:
    """A whole answer comes, or a ServingError; whatever the bytes."""
    steps, calls, is_whole = QUESTIONS[what]
    chance = random.Random(what)
    answered, refused = 0, 0
    for _ in range(1000):
        conversation = Conversation(messages.ModelSpec(name="shop"), 10)
        server = Unreliable(chance.randrange(1, calls + 1), chance)
        try:
            found = converse(steps(conversation), server)
        except ServingError:
            refused += 1
        else:
            answered += 1
            assert is_whole(found)
    assert answered > 20 and refused > 20


def test_both_clients_refuse_what_is_wrong(fake: Fake, address: str) -> None:
    async def ask_later() -> None:
        async with AsyncClient(address) as client:
            await client.predict({"item": [1, 2]})

    fake.twist = twice(range(3))
    with Client(address) as client, pytest.raises(ServingError, match="INTERNAL: the server's"):
        client.predict({"item": [1, 2]})
    with pytest.raises(ServingError, match="INTERNAL: the server's"):
        asyncio.run(ask_later())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"item": "12"}, "column 'item' must be a list, or an array .* Received: '12'"),
        ({"item": b"12"}, "column 'item' must be a list, or an array"),
        ({"item": 7}, "column 'item' must be a list, or an array"),
        ({"item": {1: 2}}, "column 'item' must be a list, or an array"),
        ({"item": np.array(7)}, "column 'item' must be a list, or an array"),
        ("item", "columns must be a mapping"),
        ([1, 2], "columns must be a mapping"),
    ],
)
def test_what_is_no_column_is_refused(given: Any, text: str) -> None:
    fake = Fake()
    conversation = Conversation(messages.ModelSpec(name="shop"), 10)
    steps = conversation.predict(given, "rank", ())
    with pytest.raises(ServingError, match=f"INVALID_ARGUMENT: .*{text}"):
        converse(steps, lambda method, r: answer(fake, method, r).SerializeToString())


HALF = "\ud800"  # of a surrogate pair: Python's texts may hold it, UTF-8 may not


@pytest.mark.parametrize(
    ("given", "signature", "outputs", "text"),
    [
        (
            {"item": ["a", f"b{HALF}"]},
            "rank",
            (),
            "column 'item', row 2: must be a text that UTF-8",
        ),
        ({"item": ["a"]}, f"rank{HALF}", (), "a name must be a text that UTF-8 holds"),
        ({"item": ["a"]}, "rank", (HALF,), "a name must be a text that UTF-8 holds"),
        ({"item": ["a"]}, "rank", (7,), "a name must be a text .* Received: 7"),
        ({"item": ["a"]}, "rank", "ctr", "`outputs` must be a list of names. Received: 'ctr'"),
    ],
)
def test_names_and_texts_that_cannot_be_sent(
    given: Any, signature: str, outputs: Any, text: str
) -> None:
    fake = Fake()

    def respond(method: str, request: Any) -> bytes:
        response = answer(fake, method, request)
        packed = response.metadata["signature_def"]
        signatures = messages.SignatureDefMap.FromString(packed.value)
        signatures.signature_def["rank"].inputs["item"].dtype = messages.DATA_TYPES["DT_STRING"]
        packed.value = signatures.SerializeToString()
        content: bytes = response.SerializeToString()
        return content

    conversation = Conversation(messages.ModelSpec(name="shop"), 10)
    with pytest.raises(ServingError, match=f"INVALID_ARGUMENT: {text}"):
        converse(conversation.predict(given, signature, outputs), respond)


def test_inputs_of_types_that_no_schema_has() -> None:
    """They are sent as they are given, or not at all; never changed in silence."""
    infos = {"flag": messages.TensorInfo(dtype=10), "small": messages.TensorInfo(dtype=3)}
    for info in infos.values():
        info.tensor_shape.dim.add(size=-1)
    inputs = columns.types(infos)
    given = {"flag": np.array([True]), "small": np.array([7], np.int32)}
    arrays, _ = columns.to_arrays(given, inputs, "")
    assert arrays["flag"] is given["flag"] and arrays["small"] is given["small"]
    rule = r"column 'small' must be a NumPy array of int32 with 1 dimension\(s\)"
    with pytest.raises(ServingError, match=rule):
        columns.to_arrays({**given, "small": np.array([2**40])}, inputs, "")
    unknown = {"half": messages.TensorInfo(dtype=19)}
    with pytest.raises(ServingError, match="input 'half' is of DataType 19, of which this client"):
        columns.types(unknown)
