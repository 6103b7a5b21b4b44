"""What the user can mend is one line, whoever raises it; everything else is a traceback."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys

import pyarrow as pa
import pytest

from tafe_tf.terminal import command

FULL = "; make room, and give the same command again"
SAVE = "{{function_node __wrapped__SaveV2_device_/job:localhost/device:CPU:0}} "


class OpError(Exception):
    """As TensorFlow's errors, which are no OSErrors."""


CASES: list[tuple[Exception, str]] = [
    (ValueError("a: must be 1"), "a: must be 1"),
    (ValueError("a:\n   must be 1"), "a: must be 1"),
    (OSError(errno.EROFS, "Read-only file system", "/a"), "Read-only file system: '/a'"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a"), "left on device: '/a'" + FULL),
    (pa.ArrowIOError("Error writing. Detail: [errno 28] No space left on device"), "device" + FULL),
    (OpError(f"{SAVE}/run/ckpt-1; No space left on device [Op:SaveV2]"), "error: /run/ckpt-1; No"),
    (OpError("/run/ckpt-1; Stale file handle"), "error: /run/ckpt-1; Stale file handle"),
    (OpError("/run/ckpt-1.index; Permission denied"), "/run/ckpt-1.index; Permission denied"),
]


@pytest.mark.parametrize(("error", "text"), CASES)
def test_errors_of_files_and_values_are_one_line(error: Exception, text: str) -> None:
    with pytest.raises(SystemExit) as ended, command.one_line_errors():
        raise error
    line = str(ended.value)
    assert line.startswith("error: ") and line.endswith(text.rpartition("No")[2])
    assert text in line and "\n" not in line and "{{" not in line and "[Op:" not in line


@pytest.mark.parametrize(
    "error", [OpError("OOM when allocating tensor; shape [9]"), KeyError("a"), TypeError("b")]
)
def test_other_errors_are_not(error: Exception) -> None:
    with pytest.raises(type(error)), command.one_line_errors():
        raise error


def test_a_name_that_is_no_utf8_is_told(tmp_path: pathlib.Path) -> None:
    name = os.fsdecode(b"train-\xff.csv")
    with pytest.raises(SystemExit) as ended, command.one_line_errors():
        (tmp_path / "note").write_text(f"seed=1\nfile={name}\n", encoding="utf-8")
    assert str(ended.value) == (
        r"error: 'file=train-\udcff.csv': is a name that is not UTF-8, which no file can note; "
        "rename it"
    )


def test_an_argument_that_is_no_utf8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    argument = os.fsdecode(b"--run_dir=\xff")
    monkeypatch.setattr("sys.argv", ["train", argument])
    with pytest.raises(SystemExit, match=r"error: '--run_dir=\\udcff': must be UTF-8"):
        command.run(lambda _: None)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_flag_that_is_no_finite_number_is_refused(value: str) -> None:
    define = "flags.DEFINE_float('share', 0.5, 'Rows to take.')"
    run = "command.run(lambda _: print('it ran with', flags.FLAGS.share))"
    code = f"from absl import flags; from tafe_tf.terminal import command; {define}; {run}"
    ended = subprocess.run(
        [sys.executable, "-c", code, f"--share={value}"],
        capture_output=True,
        text=True,
        check=False,
    )
    line = f"error: --share must be a finite number. Received: {value}\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", line)


def test_garbage_is_collected_again_once_a_command_runs() -> None:
    state = "gc.isenabled(), gc.get_freeze_count() > 0"
    code = f"""
import gc
from tafe_tf.terminal import command, quiet_start
quiet_start.put_off_garbage_collection()
print({state})
command.run(lambda _: print({state}))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["False False", "True True"]


def test_help_that_is_not_read_to_its_end_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "tafe_tf.look", "--help"]
    ended = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
