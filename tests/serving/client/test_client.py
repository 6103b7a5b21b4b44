"""The clients against a server that answers as a test wants it to."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import grpc
import numpy as np
import pytest
import servers
import trustme
from fake_server import Fake, start

from tafe_tf.serving.client import AsyncClient, Client
from tafe_tf.serving.wire import tensors
from tafe_tf.serving.wire.errors import ServingError


def test_all_rows_come_back_in_order_whatever_the_pieces(fake: Fake, address: str) -> None:
    items = np.arange(10_000)
    for size, requests in ((10_000, 1), (999, 11), (1, 0)):
        fake.requests.clear()
        with Client(address, rows_per_request=size) as client:
            rows = items[:3] if size == 1 else items
            outputs = client.predict({"item": rows})
        np.testing.assert_array_equal(outputs["twice"], 2.0 * rows)
        assert len(fake.requests) == (requests or 3)
        assert [r.model_spec.version.value for r in fake.requests] == [0] + [1] * (
            len(fake.requests) - 1
        )


def test_a_version_that_goes_between_two_pieces(fake: Fake, address: str) -> None:
    """All rows are asked again, so that one version answers all."""

    def publish(request: Any, context: Any) -> None:
        if len(fake.requests) in (2, 6):
            fake.version += 1

    fake.behave = publish
    with Client(address, rows_per_request=10) as client:
        outputs = client.predict({"item": np.arange(50)})
    assert outputs.version == 3 and outputs["version"].tolist() == [3] * 50
    np.testing.assert_array_equal(outputs["twice"], 2.0 * np.arange(50))


def test_versions_that_never_stay(fake: Fake, address: str) -> None:
    def publish(request: Any, context: Any) -> None:
        fake.version += 1

    fake.behave = publish
    with (
        Client(address, rows_per_request=10) as client,
        pytest.raises(ServingError, match="NOT_FOUND"),
    ):
        client.predict({"item": np.arange(50)})


def test_rank_sends_the_user_with_every_piece(fake: Fake, address: str) -> None:
    fake.inputs = ["user", "item"]
    with Client(address, rows_per_request=10) as client:
        outputs = client.predict({"user": [5], "item": range(25)}, signature="rank")
    assert len(outputs["twice"]) == 25
    sent = [
        (tensors.decode(r.inputs["user"]).tolist(), len(tensors.decode(r.inputs["item"])))
        for r in fake.requests
    ]
    assert sent == [([5], 10), ([5], 10), ([5], 5)]


def test_a_new_version_with_other_columns(fake: Fake, address: str) -> None:
    with Client(address) as client:
        client.predict({"item": [1], "user": [2]})
        fake.version, fake.inputs = 2, ["item", "user"]
        assert client.predict({"item": [1], "user": [2]}).version == 2
        assert fake.metadata_calls == 2
        fake.inputs = ["item", "shop"]
        with pytest.raises(ServingError, match="columns are missing: shop; given are item, user"):
            client.predict({"item": [1], "user": [2]})


@pytest.mark.parametrize(
    ("code", "attempts"),
    [("UNAVAILABLE", 3), ("INTERNAL", 1), ("RESOURCE_EXHAUSTED", 1), ("NOT_FOUND", 1)],
)
def test_unavailable_alone_is_tried_again(
    fake: Fake, address: str, code: str, attempts: int
) -> None:
    def fail_twice(request: Any, context: Any) -> None:
        if len(fake.requests) <= 2:
            context.abort(getattr(grpc.StatusCode, code), "not now")

    fake.behave = fail_twice
    with Client(address) as client:
        if attempts == 1:
            with pytest.raises(ServingError, match=f"{code}: not now"):
                client.predict({"item": [1]})
        else:
            assert client.predict({"item": [1]})["twice"].tolist() == [2.0]
    assert len(fake.requests) == attempts
    if attempts > 1:
        fake.requests.clear()
        assert asyncio.run(ask_once(address))["twice"].tolist() == [2.0]
        assert len(fake.requests) == attempts


async def ask_once(address: str) -> Any:
    """Asks by the asyncio client."""
    async with AsyncClient(address) as client:
        return await client.predict({"item": [1]})


def test_a_server_that_comes_up_late(fake: Fake) -> None:
    address = f"localhost:{servers.free_port()}"
    started: list[grpc.Server] = []
    timer = threading.Timer(0.5, lambda: started.append(start(fake, address)))
    timer.start()
    with Client(address, timeout=30.0) as client:
        assert client.predict({"item": [1]})["twice"].tolist() == [2.0]
    started[0].stop(None)


def test_nobody_there_is_unavailable_within_the_deadline() -> None:
    with (
        Client(f"localhost:{servers.free_port()}", timeout=0.5) as client,
        pytest.raises(ServingError, match=r"UNAVAILABLE|DEADLINE_EXCEEDED"),
    ):
        client.predict({"item": [1]})


def test_the_deadline_is_for_the_whole_call(fake: Fake, address: str) -> None:
    fake.behave = lambda request, context: time.sleep(0.2)
    with Client(address, rows_per_request=1) as client:
        client.predict({"item": [1]})  # metadata are known from here on
        began = time.monotonic()
        with pytest.raises(ServingError, match="DEADLINE_EXCEEDED"):
            client.predict({"item": range(100)}, timeout=0.5)
        assert 0.4 < time.monotonic() - began < 5.0


def test_messages_of_28_megabytes_pass(fake: Fake, address: str) -> None:
    items = np.arange(3_500_000)
    with Client(address, rows_per_request=len(items), timeout=60.0) as client:
        outputs = client.predict({"item": items})
    assert sum(values.nbytes for values in outputs.values()) > 28e6
    assert outputs["twice"][-1] == np.float32(2.0 * items[-1])


def test_tls(fake: Fake) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    pair = (certificate.private_key_pem.bytes(), chain)
    address = f"localhost:{servers.free_port()}"
    server = start(fake, address, grpc.ssl_server_credentials([pair]))
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with Client(address, credentials=trusted) as client:
        assert client.predict({"item": [1]})["twice"].tolist() == [2.0]
    stranger = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
    with (
        Client(address, credentials=stranger, timeout=1.5) as client,
        pytest.raises(ServingError, match="CERTIFICATE"),
    ):
        client.predict({"item": [1]})
    server.stop(None)


def test_asyncio_does_the_same(fake: Fake, address: str) -> None:
    async def ask() -> list[Any]:
        async with AsyncClient(address, rows_per_request=10) as client:
            answers = await asyncio.gather(
                *(client.predict({"item": np.arange(n)}) for n in range(1, 30))
            )
            with pytest.raises(ServingError, match='Serving signature key "nix" not found'):
                await client.predict({"item": [1]}, signature="nix")
            fake.behave = lambda request, context: context.abort(grpc.StatusCode.INTERNAL, "broken")
            with pytest.raises(ServingError, match="INTERNAL: broken"):
                await client.predict({"item": [1]})
            assert "rank" in await client.signatures()
            return answers

    for n, outputs in enumerate(asyncio.run(ask()), start=1):
        np.testing.assert_array_equal(outputs["twice"], 2.0 * np.arange(n))


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="`version` and `label` exclude each other"):
        Client("localhost:1", version=1, label="x")
    with pytest.raises(ValueError, match="Received: rows_per_request=0, timeout"):
        Client("localhost:1", rows_per_request=0)
    for timeout in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`timeout` above 0"):
            Client("localhost:1", timeout=timeout)
        with Client("localhost:1") as client, pytest.raises(ServingError, match="INVALID_ARGUMENT"):
            client.predict({"item": [1]}, timeout=timeout)


def test_a_client_that_was_closed_says_so(fake: Fake, address: str) -> None:
    async def ask() -> None:
        client = AsyncClient(address)
        await client.close()
        await client.predict({"item": [1]})

    client = Client(address, timeout=float("inf"))
    assert client.predict({"item": [1]})["twice"].tolist() == [2.0]
    client.close()
    with pytest.raises(ServingError, match=r"FAILED_PRECONDITION: .* cannot send: .*closed"):
        client.predict({"item": [1]})
    with pytest.raises(ServingError, match=r"FAILED_PRECONDITION: .* cannot send: .*closed"):
        asyncio.run(ask())
