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


@pytest.fixture(scope="module")
def gcs_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a fake-gcs-server with a bucket "shop"."""
    with object_stores.gcs_server(tmp_path_factory.mktemp("gcs")) as port:
        yield port


@pytest.fixture
def gs_shop(gcs_port: int) -> Iterator[str]:
    """The bucket, with the environment in which it is reached."""
    with object_stores.environment(object_stores.gcs_variables(gcs_port)):
        yield "gs://shop"


@pytest.fixture
def shop(s3_port: int) -> Iterator[str]:
    """The bucket, with the environment in which it is reached."""
    with object_stores.environment(object_stores.s3_variables(s3_port)):
        yield "s3://shop"


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Iterator[str]:
    """A bucket of each store in turn."""
    names = {"s3": "shop", "gs": "gs_shop"}
    yield request.getfixturevalue(names[request.param])
