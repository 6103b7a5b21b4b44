"""What the client learns from a model that describes itself."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
from typing import Any

import numpy as np
import pytest
from fake_server import Fake
from signature_infos import tensor_infos

from tafe_tf.serving.client import AsyncClient, Client, columns
from tafe_tf.serving.client.description import Description
from tafe_tf.serving.wire.errors import ServingError

DESCRIBED: dict[str, Any] = {
    "inputs": [
        {
            "name": "item",
            "column": "Item No",
            "dtype": "int64",
            "max_length": 0,
            "separator": "|",
        }
    ],
    "missing": ["-"],
    "fields": [{"name": "item", "missing": None, "unseen": 0.1}],
}


def test_a_signature_is_completed_by_the_description() -> None:
    item, tags = DESCRIBED["inputs"][0], {**DESCRIBED["inputs"][0], "name": "tags"}
    inputs = [item, {**tags, "column": "Tags", "separator": ";"}]
    description = Description(json.dumps({**DESCRIBED, "inputs": inputs}).encode(), 3)
    completed = description.complete(columns.types(tensor_infos(item="int64", tags="strings")))
    assert completed.missing == ("-",)
    assert (completed["item"].column, completed["item"].separator) == ("Item No", "|")
    assert (completed["tags"].column, completed["tags"].separator) == ("Tags", ";")
    assert (completed["tags"].name, completed["tags"].rank) == ("string", 2)


def test_rows_go_by_the_columns_names_and_the_model_is_asked_once(fake: Fake, address: str) -> None:
    fake.description = DESCRIBED
    with Client(address) as client:
        for name in ("Item No", "item"):
            assert client.predict({name: [1, 2]})["twice"].tolist() == [2.0, 4.0]
    assert (fake.metadata_calls, fake.descriptions) == (1, 1)


def test_a_new_version_is_asked_what_it_is(fake: Fake, address: str) -> None:
    """Rows that were converted by the old one's description are sent anew, once."""
    fake.description = DESCRIBED
    with Client(address) as client:
        client.predict({"Item No": [1]})
        fake.version = 2
        client.predict({"Item No": [1]})  # the same description: the answer stands
        assert (fake.descriptions, len(fake.requests)) == (2, 2)
        renamed = {**DESCRIBED["inputs"][0], "column": "Article"}
        fake.version, fake.description = 3, {**DESCRIBED, "inputs": [renamed]}
        with pytest.raises(ServingError, match="columns are missing: Article; given are Item No"):
            client.predict({"Item No": [1]})
        assert client.predict({"Article": [1]}).version == 3


def test_seen_counts_the_rows_of_all_pieces(fake: Fake, address: str) -> None:
    fake.description = DESCRIBED
    items = np.array([-1] * 30 + [5] * 20 + [10] * 150)
    with Client(address, rows_per_request=7) as client:
        seen = client.seen({"Item No": items})

    async def ask() -> Any:
        async with AsyncClient(address) as client:
            return await client.seen({"Item No": items})

    for found in (seen, asyncio.run(ask())):
        assert (found.missing, found.unseen) == ({"item": 0.15}, {"item": 0.75})
        assert found.training == {"missing": {}, "unseen": {"item": 0.1}}
        assert found.version == 1
        assert found.jumps == [
            "field 'item': 75.0% of its values are unseen, and 10.0% were in training"
        ]


def test_a_model_that_does_not_tell_until_a_new_version_does(fake: Fake, address: str) -> None:
    with Client(address) as client:
        with pytest.raises(ServingError, match=r'FAILED_PRECONDITION: .*"fields" not found'):
            client.seen({"item": [1]})
        fake.version, fake.description = 2, DESCRIBED
        assert client.seen({"item": [1]}).version == 2


def test_versions_that_take_turns_are_answered_all_the_same(fake: Fake, address: str) -> None:
    """Behind one address two versions may answer, each with columns of its own."""
    renamed = {**DESCRIBED["inputs"][0], "separator": ";"}
    descriptions = [DESCRIBED, {**DESCRIBED, "inputs": [renamed]}]

    def take_turns(*_: Any) -> None:
        fake.version += 1
        fake.description = descriptions[fake.version % 2]

    fake.description = DESCRIBED
    fake.behave = take_turns
    with Client(address) as client:
        assert client.predict({"item": [3]})["twice"].tolist() == [6.0]
    assert len(fake.requests) <= 6


def test_many_threads_share_what_the_model_said(fake: Fake, address: str) -> None:
    fake.description = DESCRIBED

    def ask(number: int) -> bool:
        if number % 5 == 0:
            fake.version += 1
        seen = client.seen({"Item No": [number]})
        return seen.unseen == {"item": float(number > 9)}

    with Client(address) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(100)))
