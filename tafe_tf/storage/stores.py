"""The file system behind a URI: pyarrow's own, and those of fsspec where pyarrow has none."""

from __future__ import annotations

import datetime
import functools
import os
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import fs

from tafe_tf.storage.addresses import inner_path, is_remote, scheme_of
from tafe_tf.storage.errors import StoreError, reason_of

_S3 = ("s3", "s3a", "s3n")
_GCS = ("gs", "gcs")
_BY_URI = ("abfs", "abfss", "hdfs", "viewfs")  # pyarrow makes them of the URI's host
_CONNECT_SECONDS = 10
_READ_SECONDS = 30  # without a byte


class Place(NamedTuple):
    """Where an object lies.

    Attributes:
        filesystem: A `pyarrow.fs.FileSystem`.
        path: The object's path within it: bucket and key for most.
    """

    filesystem: fs.FileSystem
    path: str


def open_place(uri: str) -> Place:
    """Finds the file system of a URI; each process makes one of a kind once.

    Raises:
        StoreError: If the URI holds a secret, or there is no client for its scheme.
    """
    if not is_remote(uri):
        raise StoreError(f"{uri}: must be a URI, such as s3://BUCKET/PATH")
    scheme = scheme_of(uri)
    path = inner_path(uri)
    if scheme in _BY_URI:
        host, _, path = path.partition("/")
        path = path if scheme.startswith("abfs") else f"/{path}"
        if scheme.startswith("abfs"):
            path = f"{host.partition('@')[0]}/{path}".rstrip("/")
        return Place(_make(f"{scheme}://{host}/", "", os.getpid()), path)
    bucket = path.partition("/")[0] if scheme in _S3 else ""
    if scheme == "file":
        path = f"/{path.lstrip('/')}"
    return Place(_make(scheme, bucket, os.getpid()), path)


def is_object_store(place: Place) -> bool:
    """Whether folders need not be made before files are put into them."""
    return place.filesystem.type_name in ("s3", "gcs", "abfs")


@functools.lru_cache(maxsize=64)
def _make(
    scheme: str,
    bucket: str,
    process: int,  # connections do not outlive a fork
) -> fs.FileSystem:
    try:
        if scheme in _S3:
            return _s3(bucket)
        if scheme in _GCS:
            return _gcs()
        if scheme == "file":
            return fs.LocalFileSystem()
        if "://" in scheme:
            return fs.FileSystem.from_uri(scheme)[0]
        return _of_fsspec(scheme)
    except (pa.ArrowException, OSError, ValueError, ImportError) as error:
        raise StoreError(f"{scheme.removesuffix('/')}: has no client: {reason_of(error)}") from None


def _s3(bucket: str) -> fs.FileSystem:
    """S3 that tries each request once: `retries` tries again, and says so."""
    settings: dict[str, Any] = {"region": s3_region(bucket)}
    endpoint = s3_endpoint()
    if endpoint:
        scheme, _, address = endpoint.rpartition("://")
        settings |= {"endpoint_override": address.rstrip("/"), "scheme": scheme or "https"}
    return fs.S3FileSystem(
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_READ_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),
        **settings,
    )


def s3_endpoint() -> str:
    """Where a store other than Amazon's answers, as the environment says; "" for Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def s3_region(bucket: str) -> str:
    """The region of a bucket, as the environment says or Amazon's store answers."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        return region
    if s3_endpoint():
        return "us-east-1"  # other stores take any
    return str(fs.resolve_s3_region(bucket))


def _gcs() -> fs.FileSystem:
    is_emulated = "CLOUD_STORAGE_EMULATOR_ENDPOINT" in os.environ
    seconds = datetime.timedelta(seconds=_READ_SECONDS)
    return fs.GcsFileSystem(anonymous=is_emulated, retry_time_limit=seconds)


def _of_fsspec(scheme: str) -> fs.FileSystem:
    try:
        import fsspec
    except ModuleNotFoundError:
        known = ", ".join([*_S3, *_GCS, *_BY_URI, "file"])
        raise ImportError(
            f"pyarrow knows {known}; for others: pip install fsspec, and its package for {scheme}"
        ) from None
    return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
