"""A run whose files are not those that it was made with is not believed."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import small_models
from absl import flags as absl_flags
from absl.testing import flagsaver

from tafe_tf import evaluate, prepare, report
from tafe_tf.data import lock
from tafe_tf.data.lock import LockError
from tafe_tf.data.manifest import ManifestError
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.training.noted_files import NotedFiles
from tafe_tf.training.run import load
from tafe_tf.training.run_dir import RunDir
from tafe_tf.training.warm_start import WarmStart

FLAGS = absl_flags.FLAGS
USERS = "vocabulary/user.txt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return small_models.make_run(tmp_path_factory.mktemp("finished"), "shop", count=200)


@pytest.fixture
def run(finished: RunDir, tmp_path: pathlib.Path) -> RunDir:
    """A copy of a finished run, which is as good as the original."""
    return RunDir(shutil.copytree(finished.path, tmp_path / "run"))


def without_first_line(path: pathlib.Path) -> None:
    _, *lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines))


def other_bytes(path: pathlib.Path) -> None:
    """As many bytes, one of them another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def half(path: pathlib.Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def evaluated(run: RunDir, _: pathlib.Path) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    with flagsaver.flagsaver(run_dir=str(run.path)):
        evaluate.evaluate()


def exported(run: RunDir, place: pathlib.Path) -> None:
    publish(run, place / "export", ExportConfig(version=1))


def reported(run: RunDir, _: pathlib.Path) -> None:
    report.report(run.path)


def predicted(run: RunDir, _: pathlib.Path) -> None:
    load(run.path).predict(small_models.rows("shop", 5))


def warm_started(run: RunDir, place: pathlib.Path) -> None:
    WarmStart(run, RunDir(place / "next"))


def metrics_read(run: RunDir, _: pathlib.Path) -> None:
    assert load(run.path).metrics


BELONG = "bring back a copy"
ANEW = "Run the command that trained it again"
USES = (evaluated, exported, predicted, warm_started)
CASES = [
    *((USERS, use, BELONG) for use in USES),
    *(("best/*.data-*", use, BELONG) for use in USES),
    ("schema.toml", predicted, BELONG),
    ("statistics.json", reported, BELONG),
    ("model.json", predicted, BELONG),
    ("checkpoints/*.index", warm_started, BELONG),
    ("history.json", reported, ANEW),
    ("metrics.json", reported, ANEW),
    ("metrics.json", metrics_read, ANEW),
]


@pytest.mark.parametrize("damage", [other_bytes, half])
@pytest.mark.parametrize(("pattern", "use", "mend"), CASES)
def test_a_changed_file_is_not_believed(
    run: RunDir,
    tmp_path: pathlib.Path,
    pattern: str,
    use: Callable[[RunDir, pathlib.Path], Any],
    mend: str,
    damage: Callable[[pathlib.Path], None],
) -> None:
    (path,) = run.path.glob(pattern)
    damage(path)
    with pytest.raises(ManifestError) as refused:
        use(run, tmp_path)
    text = str(refused.value)
    assert text.startswith(f"{run.path}: {path.relative_to(run.path)} h")
    assert mend in text and "\n" not in text
    assert not list(tmp_path.glob("export/[0-9]*"))


def test_a_state_of_another_run_beside_the_best_is_not_believed(
    run: RunDir, tmp_path: pathlib.Path
) -> None:
    for path in list((run.path / "best").glob("ckpt-*")):
        name = path.name.split(".", 1)[1]
        shutil.copy(path, path.with_name(f"ckpt-9.{name}"))
    (run.path / "best" / "checkpoint").write_text('model_checkpoint_path: "ckpt-9"\n')
    for use in USES:
        with pytest.raises(ManifestError, match=r"best/ckpt-9\.\S+ is not of this run"):
            use(run, tmp_path)


@pytest.mark.parametrize(
    "text", ["[]", "null", "5", "{}", '{"schema.toml": 3}', '{"a": {"bytes": 1, "sha256": 5}}']
)
def test_a_manifest_of_another_form_is_not_believed(
    run: RunDir, tmp_path: pathlib.Path, text: str
) -> None:
    (run.path / "manifest.json").write_text(text)
    for use in (predicted, reported):
        with pytest.raises(ManifestError, match=r"manifest\.json: .*bring back a copy"):
            use(run, tmp_path)


def test_a_file_that_is_gone_is_named(run: RunDir, tmp_path: pathlib.Path) -> None:
    (run.path / USERS).unlink()
    with pytest.raises(ManifestError, match=f"^{run.path}: {USERS} is gone. The weights"):
        predicted(run, tmp_path)


def test_everything_that_a_run_makes_is_noted(run: RunDir) -> None:
    noted = set(json.loads((run.path / "manifest.json").read_text()))
    files = {path.relative_to(run.path) for path in run.path.rglob("*") if path.is_file()}
    left_out = {str(path) for path in files if str(path) not in noted}
    curves = {name for name in left_out if name.startswith("tensorboard/")}
    assert left_out - curves == {
        "best/checkpoint",
        "checkpoints/checkpoint",
        "data.json",
        "flags.txt",
        "manifest.json",
    }


def test_a_run_of_an_earlier_version_goes_on_with_one_line(
    run: RunDir, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.path / "manifest.json").unlink()
    without_first_line(run.path / USERS)
    predicted(run, tmp_path)
    out = capsys.readouterr().out
    assert out.startswith(f"{run.path}: has no manifest.json, ") and out.count("\n") == 1


def test_metrics_that_were_made_again_are_believed(
    run: RunDir, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.path / "metrics.json").unlink()
    evaluated(run, tmp_path)
    reported(run, tmp_path)
    with run.locked(), pytest.raises(LockError, match=r"writes in this directory"):
        evaluated(run, tmp_path)
    monkeypatch.setattr(NotedFiles, "note", lambda *_: None)  # a kill between file and note
    (run.path / "metrics.json").write_text("{}")
    evaluated(run, tmp_path)
    reported(run, tmp_path)


def test_what_killed_processes_left_goes_with_the_next_writer(run: RunDir) -> None:
    left = [run.path / ".12.metrics.json", run.path / "rows" / ".34.train.parquet"]
    left[1].parent.mkdir()
    for path in left:
        path.write_text("half")
    with run.locked():
        assert not any(path.exists() for path in left)
    assert (run.path / "metrics.json").exists()


def test_prepare_leaves_a_run_as_it_is(run: RunDir, tmp_path: pathlib.Path) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    data = pathlib.Path(json.loads((run.path / "data.json").read_text())["train_files"][0]).parent
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with (
        flagsaver.flagsaver(data_dir=str(data), run_dir=str(run.path)),
        pytest.raises(SystemExit, match=r"^error: .*run: holds a run, .*; give another --run_dir"),
    ):
        prepare.main(["prepare"])
    assert before == {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_prepare_does_not_write_beside_another_process(run: RunDir, tmp_path: pathlib.Path) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    data = pathlib.Path(json.loads((run.path / "data.json").read_text())["train_files"][0]).parent
    with (
        flagsaver.flagsaver(data_dir=str(data), run_dir=str(tmp_path / "new")),
        lock.locked(tmp_path / "new"),
        pytest.raises(SystemExit, match=r"^error: .*new: process .* writes in this directory"),
    ):
        prepare.main(["prepare"])
