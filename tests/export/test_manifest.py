"""A version whose files are not what was published is refused before anything of it is believed."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable

import pytest

from tafe_tf.data.manifest import ManifestError
from tafe_tf.export import manifest, model_card
from tafe_tf.export.errors import ExportError
from tafe_tf.export.gate import check
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.versions import SCHEMA_FILE
from tafe_tf.export.warmup import FILE as WARM_UP
from tafe_tf.export.withdraw import withdraw

VARIABLES = pathlib.PurePath("variables", "variables.data-00000-of-00001")
VOCABULARY = pathlib.PurePath("assets", "user.txt")


@pytest.fixture
def version(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the export of "shop", which has vocabularies."""
    return pathlib.Path(shutil.copytree(exports["shop"], tmp_path / "models" / "1"))


def replaced(name: pathlib.PurePath, old: bytes, new: bytes) -> Callable[[pathlib.Path], None]:
    """Damage: other bytes in a file, as many as before."""

    def damage(path: pathlib.Path) -> None:
        content = (path / name).read_bytes()
        assert old in content and len(old) == len(new)
        (path / name).write_bytes(content.replace(old, new, 1))

    return damage


def cut(name: pathlib.PurePath) -> Callable[[pathlib.Path], None]:
    """Damage: the last half of a file is not there."""

    def damage(path: pathlib.Path) -> None:
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: len(content) // 2])

    return damage


def gone(name: pathlib.PurePath) -> Callable[[pathlib.Path], None]:
    """Damage: a file or a folder is not there."""

    def damage(path: pathlib.Path) -> None:
        if (path / name).is_dir():
            shutil.rmtree(path / name)
        else:
            (path / name).unlink()

    return damage


def added(name: str) -> Callable[[pathlib.Path], None]:
    """Damage: a file is there that was not published."""

    def damage(path: pathlib.Path) -> None:
        (path / name).write_bytes(b"")

    return damage


def flipped(name: pathlib.PurePath) -> Callable[[pathlib.Path], None]:
    """Damage: one bit in the middle of a file."""

    def damage(path: pathlib.Path) -> None:
        content = bytearray((path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (path / name).write_bytes(content)

    return damage


def reversed_lines(path: pathlib.Path) -> None:
    lines = (path / VOCABULARY).read_text().splitlines()
    text = "".join(f"{line}\n" for line in reversed(lines))
    (path / VOCABULARY).write_text(text)


def reversed_bytes(path: pathlib.Path) -> None:
    """As variables of another model: of the same size, and all of them others."""
    content = (path / VARIABLES).read_bytes()
    (path / VARIABLES).write_bytes(content[::-1])


GRAPH = pathlib.PurePath("saved_model.pb")
INDEX = pathlib.PurePath("variables", "variables.index")
FINGERPRINT = pathlib.PurePath("fingerprint.pb")
DAMAGES: dict[str, tuple[Callable[[pathlib.Path], None], str]] = {
    "other variables": (reversed_bytes, f"{VARIABLES} holds other bytes"),
    "a bit of a variable": (flipped(VARIABLES), f"{VARIABLES} holds other bytes"),
    "half of the variables": (cut(VARIABLES), rf"{VARIABLES} has [\d,]+ bytes and not [\d,]+"),
    "no variables": (gone(pathlib.PurePath("variables")), f"{VARIABLES} is gone; {INDEX} is gone"),
    "no index": (gone(INDEX), f"{INDEX} is gone"),
    "a vocabulary in reverse": (reversed_lines, f"{VOCABULARY} holds other bytes"),
    "no vocabularies": (gone(pathlib.PurePath("assets")), "assets/tags.txt is gone; .* is gone"),
    "an edited card": (replaced(model_card.FILE, b'"shop"', b'"SHOP"'), "card.json holds other"),
    "no card": (gone(model_card.FILE), "model_card.json is gone"),
    "half of the card": (cut(model_card.FILE), r"model_card.json has [\d,]+ bytes"),
    "another schema": (replaced(SCHEMA_FILE, b'"shop"', b'"SHOP"'), "toml holds other bytes"),
    "no fingerprint": (gone(FINGERPRINT), "fingerprint.pb is gone"),
    "a byte of the graph": (flipped(GRAPH), "saved_model.pb holds other bytes"),
    "half of the graph": (cut(GRAPH), r"saved_model.pb has [\d,]+ bytes and not"),
    "no graph": (gone(GRAPH), "saved_model.pb is gone"),
    "a warm-up request less": (cut(WARM_UP), r"warmup_requests has [\d,]+ bytes and not"),
    "a graph in pieces": (added("saved_model.cpb"), "saved_model.cpb is not of this version"),
    "an asset more": (added("assets/more.txt"), "assets/more.txt is not of this version"),
    "no manifest": (gone(manifest.FILE), "assets.extra/manifest.json is gone"),
    "half of the manifest": (cut(manifest.FILE), "manifest.json: holds no JSON"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_version_is_named_before_it_is_loaded(
    version: pathlib.Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    act, said = DAMAGES[damage]
    act(version)
    monkeypatch.setattr(SessionModel, "__init__", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(ExportError, match=said) as caught:
        check(version)
    assert "\n" not in str(caught.value)
    shutil.copytree(version, version.with_name("2"))
    with pytest.raises(ExportError, match=said):
        withdraw(version.parent)
    assert version.with_name("2").exists()


def test_a_manifest_that_is_something_else(version: pathlib.Path) -> None:
    contents: list[object] = [[], {"files": []}, {"files": {"a": {"bytes": "x"}}}]
    for content in contents:
        (version / manifest.FILE).write_text(json.dumps(content))
        with pytest.raises(ManifestError, match=r"manifest.json: is no manifest. Copy the version"):
            manifest.check(version)
    (version / manifest.FILE).write_text('{"files": {')
    with pytest.raises(ManifestError, match=r"manifest.json: holds no JSON: .*Copy the version"):
        manifest.check(version)


def test_a_version_from_before_there_were_manifests(version: pathlib.Path) -> None:
    before = manifest.identity(version)
    (version / manifest.FILE).unlink()
    card = json.loads((version / model_card.FILE).read_text())
    del card["manifest"]
    (version / model_card.FILE).write_text(json.dumps(card))
    assert manifest.check(version) == manifest.NONE
    graph_only = manifest.identity(version)
    assert graph_only != before
    (version / FINGERPRINT).unlink()
    assert manifest.identity(version) not in (before, graph_only)
    with pytest.raises(FileNotFoundError, match=r"none/saved_model.pb"):
        manifest.identity(version / "none")
