"""Where the kernel's library lies, and what is done about one that is damaged."""

from __future__ import annotations

import ctypes
import os
import pathlib
from collections.abc import Callable

import pytest
from numpy.linalg import _umath_linalg

from tafe_tf.native import __main__ as native
from tafe_tf.native import library, sealed_file

SOME_LIBRARY = pathlib.Path(_umath_linalg.__file__)


@pytest.fixture
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where the library would be; nothing has asked for it yet."""
    place = tmp_path / "tafe-0-x86_64.so"
    monkeypatch.setattr(library, "path", lambda: place)
    monkeypatch.setattr(library, "load", library.load.__wrapped__)
    return place


def test_a_sealed_library_is_whole_and_can_be_loaded(place: pathlib.Path) -> None:
    sealed_file.write(SOME_LIBRARY, place)
    assert sealed_file.is_whole(place)
    assert place.read_bytes().startswith(SOME_LIBRARY.read_bytes())
    ctypes.CDLL(str(place))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    ],
)
def test_a_damaged_library_is_not_loaded(
    place: pathlib.Path, damage: Callable[[bytes], bytes]
) -> None:
    sealed_file.write(SOME_LIBRARY, place)
    place.write_bytes(damage(place.read_bytes()))
    assert library.load() is None
    reason = library.reason_against_machine()
    assert reason == f"{place} is damaged or cannot be loaded: `tafe native` builds it anew"


def test_what_is_no_library_is_not_loaded(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        library, "_loaded", set()
    )  # another test of this process may have the real one
    text = place.with_name("text")
    text.write_text("no library" * 10)
    sealed_file.write(text, place)
    assert sealed_file.is_whole(place) and library.load() is None
    with pytest.raises(library.LoadError, match=f"^{place}: the kernel cannot be loaded: "):
        library.Library(place)


def test_a_missing_library_was_not_built(place: pathlib.Path) -> None:
    assert library.load() is None
    assert library.reason_against_machine() == "it was not built: `tafe native` does that"


def test_a_damaged_library_is_built_anew(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write_bytes(b"damaged")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(library.BuildError, match=r"^there is no C\+\+ compiler: no-such-compiler$"):
        native.build()


def test_what_a_killed_process_was_writing_is_removed(place: pathlib.Path) -> None:
    killed = place.with_name(f".123.{place.name}")
    killed.write_bytes(b"half")
    os.utime(killed, (0, 0))
    running = place.with_name(f".124.{place.name}")
    running.write_bytes(b"half")
    sealed_file.write(SOME_LIBRARY, place)
    assert not killed.exists() and running.exists()


def test_a_user_without_a_home_has_it_beside_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def has_none() -> pathlib.Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "home", has_none)
    assert library.path().parent == pathlib.Path(library.__file__).parent / "built"
