"""The commands: their flags' defaults, what they print, and errors of one line."""

from __future__ import annotations

import pathlib
import re
import shutil

import pytest
from absl import app, flags
from absl.testing import flagsaver

from tafe_tf.export import check, rollback, saved_model, score
from tafe_tf.export.publish import ExportConfig


@pytest.fixture
def version(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of an export, alone in its directory."""
    return pathlib.Path(shutil.copytree(exports["numbers"], tmp_path / "export" / "1"))


def test_flags_default_to_the_settings() -> None:
    with flagsaver.flagsaver():
        flags.FLAGS.mark_as_parsed()
        assert saved_model._config() == ExportConfig()


def test_check_prints_what_was_found(
    version: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check.main(["check", str(version.parent)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{version}: may be served"
    assert lines[6] == (
        "  no field of the warm-up rows has far more missing or unseen values than training"
    )
    none = r"values of (\d+) warm-up rows: 2 of 2 fields have no missing and no unseen value"
    held_out = re.fullmatch(none, lines[7])
    assert held_out is not None
    assert 200 < int(held_out[1]) < 400  # half of 600 rows
    (version / "saved_model.pb").unlink()
    with pytest.raises(SystemExit, match=r"error: .*saved_model.pb is gone. Copy the version"):
        check.main(["check", str(version.parent)])


def test_rollback_prints_where_the_version_lies(
    version: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with flagsaver.flagsaver():
        flags.FLAGS.mark_as_parsed()
        with pytest.raises(SystemExit, match=r"error: .* holds 1 version\(s\)"):
            rollback.main(["rollback", str(version.parent)])
        shutil.copytree(version, version.with_name("2"))
        rollback.main(["rollback", str(version.parent)])
    assert capsys.readouterr().out == f"withdrew {version.with_name('withdrawn-2')}\n"


def test_score_prints_a_table(
    exports: dict[str, pathlib.Path], version: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = exports["numbers"].parents[1] / "data" / "test.parquet"
    score.main(["score", str(version.parent), str(file), "3"])
    assert "the first 3 rows of" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit, match=r"error: .*none"):
        score.main(["score", str(version.parent), str(version / "none.csv")])


def test_arguments_that_no_command_takes_are_refused() -> None:
    for main, arguments in ((check.main, []), (rollback.main, []), (score.main, ["a", "b", "c"])):
        with pytest.raises(app.UsageError, match="give "):
            main(["command", *arguments])
    with pytest.raises(app.UsageError, match="unknown arguments"):
        saved_model.main(["export", "--", "more"])
