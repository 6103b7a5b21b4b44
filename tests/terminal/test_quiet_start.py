"""Commands start without TensorFlow's notes on the machine, unless they are asked for."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from types import ModuleType

import pytest

from tafe_tf.terminal.quiet_start import leave_out_optional_packages, without_notes

ROOT = pathlib.Path(__file__).resolve().parents[2]
WITHOUT = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**WITHOUT, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_command_that_needs_tensorflow_prints_its_own_lines_only(tmp_path: pathlib.Path) -> None:
    data_dir = f"--data_dir={tmp_path}"
    run("-m", "tafe_tf.generate", data_dir, "--train_rows=9", "--test_rows=9")
    for command in (("-m", "tafe_tf.prepare", data_dir), ("-m", "tafe_tf", "prepare", data_dir)):
        done = run(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "9 rows" in done.stdout
    loud = run("-m", "tafe_tf.prepare", data_dir, TF_CPP_MIN_LOG_LEVEL="0")
    assert "I0000" in loud.stderr


def test_the_package_itself_changes_no_import() -> None:
    code = "import sys, tafe_tf; print('tafe_tf.terminal.quiet_start' in sys.modules)"
    assert run("-c", code).stdout == "False\n"


def test_what_is_no_note_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    with without_notes():
        os.write(2, b"I0000 00:00:1 cpu_feature_guard.cc:227] optimized\n")
        os.write(2, b"E0000 00:00:1 something failed\n")
    assert capfd.readouterr().err == "E0000 00:00:1 something failed\n"
    with pytest.raises(ValueError), without_notes():
        os.write(2, b"why\n")
        raise ValueError
    assert capfd.readouterr().err == "why\n"


def test_packages_that_no_command_needs_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = ModuleType("matplotlib")
    monkeypatch.setattr(sys, "modules", {"matplotlib": loaded})
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    leave_out_optional_packages()
    assert sys.modules == {"matplotlib": loaded, "sklearn": None}
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    leave_out_optional_packages()
    assert sys.modules == {"matplotlib": loaded, "sklearn": None, "jax": None}
