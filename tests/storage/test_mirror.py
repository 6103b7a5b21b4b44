"""Local copies of a folder of a store: what is sent in which order, and what is brought."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from tafe_tf.storage import mirror, sending, staging
from tafe_tf.storage.addresses import named
from tafe_tf.storage.mirror import Mirror

FIRST = ("flags.txt",)
LAST = ("*.data", "*.index", "manifest.json")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, store: pathlib.Path) -> list[str]:
    """What was sent and removed, in order."""
    seen: list[str] = []

    def noted(request: Any, sign: str) -> Any:
        def make(*arguments: Any) -> None:
            uri = arguments[-1]
            seen.append(sign + uri.removeprefix(f"file://{store}/"))
            request(*arguments)

        return make

    monkeypatch.setattr(mirror, "put_file", noted(staging.put_file, "+"))
    monkeypatch.setattr(mirror, "remove", noted(sending.remove, "-"))
    return seen


def write(copy: Mirror, **texts: str) -> None:
    """Writes files whose names have a dot for each double underscore."""
    for name, text in texts.items():
        path = copy.directory / name.replace("__", ".")
        path.write_text(text)


def held(directory: pathlib.Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_files_are_sent_in_order_and_those_that_are_gone_removed_at_the_end(
    store: pathlib.Path,
    requests: list[str],
) -> None:
    copy = Mirror(f"file://{store}", FIRST, LAST)
    write(copy, manifest__json="1", a__index="1", a__data="1", flags__txt="1", other="1")
    write(copy, __lock="mine")
    copy.send()
    assert requests == ["+flags.txt", "+other", "+a.data", "+a.index", "+manifest.json"]
    requests.clear()
    copy.send()
    assert requests == []
    for name in ("a.index", "a.data", "flags.txt"):
        (copy.directory / name).unlink()
    write(copy, b__data="2", b__index="2", other="2")
    copy.send()
    assert requests[:3] == ["+other", "+b.data", "+b.index"]
    assert requests[3:] == ["-a.index", "-a.data", "-flags.txt"]
    assert held(store) == {"other": "2", "b.data": "2", "b.index": "2", "manifest.json": "1"}


def test_a_copy_is_made_what_the_store_holds(
    store: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("one", "two", "three.data"):
        (store / name).write_text("of the store")
    copy = Mirror(f"file://{store}", FIRST, LAST)
    copy.fetch(but=["*.data"])
    assert held(copy.directory) == {"one": "of the store", "two": "of the store"}
    write(copy, one="not sent", new="not sent", three__data="kept")
    (copy.directory / "two").unlink()
    copy.fetch(but=["*.data"])
    known = {"one": "of the store", "two": "of the store"}
    assert held(copy.directory) == {**known, "three.data": "kept"}
    (store / "one").unlink()
    (store / "two").write_text("changed")
    copy.fetch()
    assert held(copy.directory) == {"two": "changed", "three.data": "of the store"}
    monkeypatch.setattr(mirror, "fetch_file", None)  # nothing has changed
    copy.fetch()


def test_messages_name_the_store(store: pathlib.Path) -> None:
    copy = Mirror(f"file://{store}")
    assert named(f"{copy.directory}/a: is gone") == f"file://{store}/a: is gone"
