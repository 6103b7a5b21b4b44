"""A server that answers as a test wants it to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import servers
from fake_server import Fake, start


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def address(fake: Fake) -> Iterator[str]:
    address = f"localhost:{servers.free_port()}"
    server = start(fake, address)
    yield address
    server.stop(None)
