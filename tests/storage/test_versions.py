"""Versions in a store: published whole or not at all, withdrawn without a gap, and read anew."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from typing import Any

import numpy as np
import object_stores
import pytest
import small_models
from dying_jobs import command, killed_at
from faulty_proxy import Faults
from marks import slow

from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError, locked
from tafe_tf.export import manifest, publish, versions, withdraw
from tafe_tf.export.errors import ExportError
from tafe_tf.export.publish import ExportConfig
from tafe_tf.export.session_model import SessionModel
from tafe_tf.storage import claims, sending
from tafe_tf.storage.listing import entries
from tafe_tf.storage.staging import publish_tree
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.fit import fit
from tafe_tf.training.run_dir import RunDir


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("run")
    (folder / "data").mkdir()
    (folder / "data" / "schema.toml").write_text(small_models.SHOP)
    for name, seed in (("train", 0), ("test", 1)):
        write(folder / "data" / f"{name}.csv", small_models.rows("shop", 300, seed))
    return fit(
        DataConfig.in_directory(folder / "data"),
        folder / "run",
        model=ModelConfig(name="shared_bottom", arguments={"embedding_dim": 4}),
        training=TrainingConfig(epochs=1, batch_size=64),
        verbose=False,
    ).directory


@pytest.fixture(scope="module")
def local(run: RunDir, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The same export on a disk."""
    return publish.publish(run, tmp_path_factory.mktemp("models"), ExportConfig(version=1))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def uri(tmp_path: pathlib.Path) -> str:
    return f"file://{tmp_path}/models"


def export(run: RunDir, uri: str, version: int) -> str:
    made: str = publish.publish(run, uri, ExportConfig(version=version))
    return made


def files_in(uri: str) -> list[str]:
    return [entry.path.removeprefix(uri + "/") for entry in entries(uri, below=True)]


def test_a_version_in_a_store_is_that_of_the_disk(
    run: RunDir,
    local: pathlib.Path,
    uri: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert export(run, uri, 3) == f"{uri}/3"
    assert capsys.readouterr().out.splitlines()[-8].startswith(f"{uri}/3")
    there = versions.one_version(uri)
    assert manifest.check(there) == manifest.check(local)
    rows: dict[str, Any] = {"user": ["u1", "x"], "item": [3, 4], "hour": [1, 2]}
    rows |= {"price": [1.0, 9.0], "tags": [["a", "", ""], ["", "", ""]]}
    rows |= {"tag_weights": [[1.0, 0.0, 0.0]] * 2}
    with (
        contextlib.closing(SessionModel(uri + "/3")) as from_store,
        contextlib.closing(SessionModel(local)) as from_disk,
    ):
        mine, yours = from_store(rows), from_disk(rows)
    for name, values in yours.items():
        np.testing.assert_array_equal(mine[name], values)
    with pytest.raises(ExportError, match=rf"^{uri}/3: exists; give another --version"):
        export(run, uri, 3)
    with pytest.raises(ExportError, match=rf"^{uri}/2: would not be served"):
        export(run, uri, 2)


# The first request, some in between, and the one that would make the version count.
@pytest.mark.parametrize("at", [slow(1), slow(4), slow(7), 11])
def test_an_export_that_is_killed_leaves_no_version(
    run: RunDir,
    local: pathlib.Path,
    uri: str,
    at: int,
) -> None:
    assert len(files_in(f"file://{local}")) == 11  # so the last moment is that of the graph
    with killed_at(at):
        export(run, uri, 7)
    assert versions.addresses(uri) == []
    with pytest.raises(FileNotFoundError, match="holds no exported version"):
        versions.one_version(uri)
    export(run, uri, 8)
    assert versions.addresses(uri) == [f"{uri}/8"]
    assert {name.partition("/")[0] for name in files_in(uri)} == {"8"}  # nothing is left of 7


def test_a_version_that_another_process_has_published_stays(
    run: RunDir,
    uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def send_and_lose(directory: pathlib.Path, target: str) -> list[str]:
        names = publish_tree(directory, target)
        claims.create(f"{target}/saved_model.pb", b"of the other process")
        return names

    monkeypatch.setattr(publish, "publish_tree", send_and_lose)
    with pytest.raises(ExportError, match=f"^{uri}/5: exists"):
        export(run, uri, 5)
    with pytest.raises(ExportError, match=f"^{uri}/5: exists"):
        export(run, uri, 5)


def test_a_directory_of_versions_has_one_writer(run: RunDir, uri: str) -> None:
    with locked(uri), pytest.raises(LockError, match=r"process \d+ .*; wait until it"):
        export(run, uri, 1)
    with locked(uri), pytest.raises(LockError, match=r"process \d+ .*; wait until it"):
        withdraw.withdraw(uri)


def copies(local: pathlib.Path, uri: str, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        publish_tree(local, f"{uri}/{number}", last=[versions.GRAPH])


def test_newer_versions_are_withdrawn(local: pathlib.Path, uri: str) -> None:
    with pytest.raises(ExportError, match=r"holds 0 version\(s\), so there is none to go back to"):
        withdraw.withdraw(uri)
    copies(local, uri, (1, 2, 3))
    with pytest.raises(ExportError, match="7: is no version; there are 1, 2, 3"):
        withdraw.withdraw(uri, 7)
    assert withdraw.withdraw(uri) == [f"{uri}/withdrawn-3"]
    assert versions.addresses(uri) == [f"{uri}/1", f"{uri}/2"]
    copies(local, uri, (3,))
    sending.put_bytes(b"{}", f"{uri}/3/assets.extra/manifest.json")  # it is another one
    assert withdraw.withdraw(uri, 1) == [f"{uri}/withdrawn-2", f"{uri}/withdrawn-3.2"]
    assert versions.addresses(uri) == [f"{uri}/1"]
    assert manifest.check(versions.one_version(f"{uri}/withdrawn-3"))
    claims.delete(f"{uri}/1/assets.extra/schema.toml")
    copies(local, uri, (2,))
    with pytest.raises(ExportError, match=r"schema.toml is gone"):
        withdraw.withdraw(uri)
    assert versions.addresses(uri) == [f"{uri}/1", f"{uri}/2"]


@pytest.mark.parametrize("at", [slow(1), slow(6), slow(11), 12, slow(13), slow(17), slow(21)])
def test_a_rollback_that_is_killed_loses_nothing(
    local: pathlib.Path,
    uri: str,
    at: int,
) -> None:
    copies(local, uri, (1, 2))
    with killed_at(at):
        withdraw.withdraw(uri, 1)
    is_there = versions.addresses(uri) == [f"{uri}/1", f"{uri}/2"]
    assert is_there == (at <= 12)  # 11 copies, then the graph is removed
    if is_there:
        assert withdraw.withdraw(uri, 1) == [f"{uri}/withdrawn-2"]
    assert versions.addresses(uri) == [f"{uri}/1"]
    whole = {pathlib.PurePosixPath(name) for name in files_in(f"{uri}/withdrawn-2")}
    assert len(whole) == 11


@pytest.mark.engines
@pytest.mark.slow
def test_the_commands_publish_and_roll_back_on_s3_though_requests_fail(
    shop: str,
    s3_port: int,
    run: RunDir,
    local: pathlib.Path,
) -> None:
    faults = Faults(busy=10, cut=50, late=9, seconds=0.05)
    with object_stores.faulty_store(s3_port, faults):
        publish_and_roll_back(shop, run, local)
    assert faults.done["busy"] >= 10


@pytest.mark.engines
@pytest.mark.slow
def test_the_commands_publish_and_roll_back_on_gcs(
    gs_shop: str,
    run: RunDir,
    local: pathlib.Path,
) -> None:
    publish_and_roll_back(gs_shop, run, local)


def publish_and_roll_back(
    shop: str,
    run: RunDir,
    local: pathlib.Path,
) -> None:
    """Exports two versions into a bucket, the first of a run that lies there, and withdraws one."""
    uri = f"{shop}/models"
    publish_tree(run.path, f"{shop}/run")
    made = f"--export_dir={uri}"
    command(["export.saved_model", f"--run_dir={shop}/run", made, "--version=1"])
    command(["export.saved_model", f"--run_dir={run.path}", made, "--version=2"])
    assert f"{uri}/2: may be served" in command(["export.check", uri])
    said = command(["export.rollback", uri])
    assert f"withdrew {uri}/withdrawn-2" in said
    assert versions.addresses(uri) == [f"{uri}/1"]
    first = versions.one_version(uri)
    assert manifest.check(first) == manifest.check(local)
    kept = versions.one_version(f"{uri}/withdrawn-2")
    assert manifest.check(kept) == manifest.check(local)
    assert [name for name in files_in(uri) if name.startswith(".")] == []
    shutil.rmtree(first)
