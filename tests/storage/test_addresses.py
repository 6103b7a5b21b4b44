"""URIs: what is one, what it must not hold, and where the names in it are."""

from __future__ import annotations

import pathlib

import pytest

from tafe_tf.storage import addresses
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.stores import open_place

SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://AKIA123:{SECRET}@shop/train.csv",
        f"s3://{SECRET}@shop/train.csv",
        f"gs://anonymous:{SECRET}@shop/train.csv",
        f"abfs://box:{SECRET}@account.dfs.core.windows.net/train.csv",
        f"s3://shop/train.csv?secret_key={SECRET}",
        f"s3://shop/train.csv?x=1&access_key={SECRET}",
        f"s3://shop/train.csv?X-Amz-Signature={SECRET}",
        f"abfs://shop/train.csv?sas_token={SECRET}",
    ],
)
def test_a_secret_in_a_uri_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(StoreError, match="environment variables or profile") as error:
        addresses.is_remote(uri)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.parametrize(
    "path",
    ["train.csv", "/data/train.csv", "a:b/train.csv", "data?key=1/train.csv", pathlib.Path("a")],
)
def test_what_has_no_scheme_is_a_local_path(path: str | pathlib.Path) -> None:
    assert not addresses.is_remote(path)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://shop/dt=2026-11-1?/hour=3/train.csv",
        "s3://shop/what?.csv",
        "abfs://box@account.dfs.core.windows.net/train.csv",
        "hdfs://user@host:8020/train.csv",
        "file:///data/train.csv",
    ],
)
def test_signs_that_are_no_settings_are_names(uri: str) -> None:
    assert addresses.is_remote(uri)


def test_a_uri_names_a_bucket() -> None:
    with pytest.raises(StoreError, match="must name a bucket, as s3://BUCKET/PATH"):
        addresses.is_remote("s3:///train.csv")


def test_a_scheme_without_client_is_one_line() -> None:
    with pytest.raises(StoreError, match="zz: has no client"):
        open_place("zz://shop/train.csv")


def test_a_key_is_taken_literally() -> None:
    uri = "file:///data/dt=2026-11-18%2012/a b#c.csv"
    assert open_place(uri).path == "/data/dt=2026-11-18%2012/a b#c.csv"
    assert addresses.name_of(uri) == "a b#c.csv"
    assert addresses.parent_of(uri) == "file:///data/dt=2026-11-18%2012"
