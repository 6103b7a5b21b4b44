"""Claims in a real store: of many that ask at once one gets it, and a lease outlives no process."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import faulty_proxy
import object_stores
import pytest
from faulty_proxy import Faults

import tafe_tf
from tafe_tf.data.lock import LockError, locked
from tafe_tf.storage import claims, leases, sending, staging
from tafe_tf.storage.errors import StoreError
from tafe_tf.storage.listing import entries

pytestmark = pytest.mark.engines


@pytest.fixture(autouse=True)
def quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.3)
    monkeypatch.setattr(leases, "_LOOK_SECONDS", 0.2)


def of_another_machine(uri: str) -> None:
    """Lets a lease be that of a process that this machine cannot look for."""
    held = claims.read(uri)
    assert held is not None
    described = {**json.loads(held.content), "machine": "another", "host": "elsewhere"}
    assert claims.replace(uri, json.dumps(described).encode(), held.tag)


@pytest.fixture
def killed(bucket: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A directory whose holder was killed."""
    directory = f"{bucket}/killed/{request.node.name}"
    code = (
        "import sys, time; from tafe_tf.data.lock import locked\n"
        "with locked(sys.argv[1]): print('held', flush=True); time.sleep(100)"
    )
    variables = {**os.environ, "PYTHONPATH": str(pathlib.Path(tafe_tf.__file__).parents[1])}
    command = [sys.executable, "-c", code, directory]
    holder = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockError, match=rf"process {holder.pid} on .* writes in this directory"):
        locked(directory).__enter__()
    holder.kill()
    holder.wait()
    yield directory


def test_of_many_claims_one_is_granted(bucket: str) -> None:
    for number in range(5):
        uri = f"{bucket}/claims/{number}"
        contents = [f"claim {i}".encode() for i in range(16)]
        with ThreadPoolExecutor(16) as pool:
            tags = list(pool.map(lambda content, at=uri: claims.create(at, content), contents))
        (winner,) = [i for i, tag in enumerate(tags) if tag is not None]
        there = claims.read(uri)
        assert there is not None
        assert there == (contents[winner], tags[winner])


def test_an_object_is_replaced_only_as_it_was_read(bucket: str) -> None:
    uri = f"{bucket}/claims/replaced"
    first = claims.create(uri, b"one")
    assert first is not None
    second = claims.replace(uri, b"two", first)
    assert second is not None
    assert claims.replace(uri, b"three", first) is None
    assert claims.read(uri) == (b"two", second)
    claims.delete(uri)
    claims.delete(uri)  # it is gone
    assert claims.read(uri) is None


def test_a_claim_whose_answer_is_lost_is_ones_own(s3_port: int, shop: str) -> None:
    faults = Faults(busy=2, lost=3)
    with object_stores.faulty_store(s3_port, faults):
        for number in range(9):
            assert claims.create(f"{shop}/claims/lost-{number}", f"{number}".encode()) is not None
    assert faults.done["busy"] >= 2
    assert faults.done["lost"] >= 2


def test_a_store_that_fails_now_and_then_grants_one_claim(gcs_port: int, gs_shop: str) -> None:
    faults = Faults(busy=2, lost=3)
    with (
        faulty_proxy.before(gcs_port, faults) as proxy,
        object_stores.environment(object_stores.gcs_variables(proxy)),
    ):
        for number in range(9):
            assert claims.create(f"{gs_shop}/claims/lost-{number}", f"{number}".encode())
    assert faults.done["busy"] >= 2
    assert faults.done["lost"] >= 2


def test_a_claim_can_be_copied_and_removed(bucket: str) -> None:
    assert claims.create(f"{bucket}/copies/of a/first", b"one")
    claims.copy(f"{bucket}/copies/of a/first", f"{bucket}/copies/second é")
    claims.delete(f"{bucket}/copies/of a/first")
    there = claims.read(f"{bucket}/copies/second é")
    assert there is not None
    assert there.content == b"one"
    with pytest.raises(StoreError, match=r"of a/first: cannot copy it|third: cannot copy it"):
        claims.copy(f"{bucket}/copies/of a/first", f"{bucket}/copies/third")


def test_a_directory_has_one_writer(bucket: str) -> None:
    directory = f"{bucket}/locked"
    with locked(directory), pytest.raises(LockError, match=rf"^{bucket}/locked: process \d+ on "):
        locked(directory, "wait").__enter__()
    with locked(directory):
        assert [entry.path for entry in entries(directory)] == [f"{directory}/.lock"]
    assert entries(directory) == []


def test_nobody_waits_for_a_process_of_this_machine_that_was_killed(killed: str) -> None:
    began = time.monotonic()
    with locked(killed):
        assert time.monotonic() - began < leases.LEASE_SECONDS


def test_a_killed_process_of_another_machine_is_taken_over_after_a_lease(killed: str) -> None:
    of_another_machine(f"{killed}/.lock")
    began = time.monotonic()
    with locked(killed):
        assert time.monotonic() - began >= leases.LEASE_SECONDS


def test_a_living_process_of_another_machine_is_not_taken_over(
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = f"{bucket}/living"
    with locked(directory), monkeypatch.context() as elsewhere:
        elsewhere.setattr(leases, "_machine", lambda: "another")
        with pytest.raises(LockError, match="writes in this directory"):
            locked(directory).__enter__()


def test_who_was_taken_over_writes_nothing_more(bucket: str, tmp_path: pathlib.Path) -> None:
    directory = f"{bucket}/lost"
    path = tmp_path / "file"
    path.write_text("late")
    with locked(directory):
        staging.put_file(path, f"{directory}/before")
        there = claims.read(f"{directory}/.lock")
        assert there is not None
        other = b'{"process": 7, "host": "elsewhere", "command": "tafe train"}'
        while claims.replace(f"{directory}/.lock", other, there.tag) is None:
            there = claims.read(f"{directory}/.lock")
            assert there is not None
        time.sleep(2 * leases.RENEW_SECONDS)
        said = r"process 7 on elsewhere \(tafe train\) has taken over"
        with pytest.raises(StoreError, match=said):
            staging.put_file(path, f"{directory}/after")
        with pytest.raises(StoreError, match=said):
            sending.remove(f"{directory}/before")
    assert [entry.path for entry in entries(directory)] == [
        *(f"{directory}/.lock", f"{directory}/before")
    ]


def test_what_cannot_be_claimed_is_one_line(
    shop: str,
    s3_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StoreError, match=r"^hdfs://host/run: nothing can be written to hdfs://"):
        locked("hdfs://host/run").__enter__()
    reader = object_stores.s3_variables(s3_port, key=object_stores.READER_KEY)
    with object_stores.environment(reader), pytest.raises(StoreError) as error:
        locked(f"{shop}/denied").__enter__()
    assert str(error.value).startswith("s3://shop/denied/.lock: cannot send it: the store denies")
    assert "\n" not in str(error.value)
    assert object_stores.SECRET not in str(error.value)
    with object_stores.environment(reader), pytest.raises(StoreError, match="denies access"):
        sending.put_bytes(b"x", f"{shop}/denied/x")
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreError, match=r"pip install 'tafe_tf\[stores\]'"):
        locked(f"{shop}/denied").__enter__()
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    with pytest.raises(StoreError, match="google-cloud-storage: pip install 'tafe_tf"):
        locked("gs://shop/missing").__enter__()


def test_the_keys_of_a_profile_are_used(
    shop: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "credentials"
    keys = (
        f"aws_access_key_id = {object_stores.KEY}\naws_secret_access_key = {object_stores.SECRET}"
    )
    file.write_text(f"[default]\naws_access_key_id = nobody\n\n[work]\n{keys}\n")
    with object_stores.environment({"AWS_PROFILE": "work"}):
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with locked(f"{shop}/profile"):
            sending.put_bytes(b"x", f"{shop}/profile/x")  # by pyarrow, with the same keys
