"""The store that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import object_stores
import pytest


@pytest.fixture(scope="module")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a SeaweedFS with a bucket "shop"."""
    with object_stores.s3_server(tmp_path_factory.mktemp("s3")) as port:
        yield port


@pytest.fixture
def shop(s3_port: int) -> Iterator[str]:
    """The bucket, with the environment in which it is reached."""
    with object_stores.environment(object_stores.s3_variables(s3_port)):
        yield "s3://shop"
