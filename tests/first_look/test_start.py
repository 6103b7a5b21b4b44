"""Training starts with a short look: all problems at once, before TensorFlow is imported."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tafe_tf.first_look.start import start_problems, stop_if_wrong

SCHEMA = """
name = "shop"
[[tasks]]
name = "click"
[[features]]
name = "item"
kind = "vocabulary"
dtype = "int64"
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    rows = "".join(f"{number},{number % 2}\n" for number in range(50))
    (tmp_path / "train.csv").write_text(f"item,click\n{rows}")
    (tmp_path / "schema.toml").write_text(SCHEMA)
    return tmp_path


def test_good_files_have_no_problems(shop: pathlib.Path) -> None:
    assert start_problems(str(shop)) == []
    stop_if_wrong(["train", f"--data_dir={shop}", "--nouse_asrg", "--epochs", "3"])
    stop_if_wrong(["train"])
    stop_if_wrong(["train", "--help"])


def test_without_a_schema_a_draft_is_offered(shop: pathlib.Path) -> None:
    (shop / "schema.toml").unlink()
    (problem,) = start_problems(str(shop))
    assert f"`tafe draft {shop} > {shop}/schema.toml`" in problem


def test_all_problems_are_told(shop: pathlib.Path) -> None:
    with open(shop / "train.csv", "a") as file:
        file.write("x,1\ny,1\n3,2\n")
    (shop / "test.csv").write_text("click\n1\n")
    found = start_problems(str(shop))
    assert len(found) == 3
    assert "row 51, column 'item'" in found[0] and "2 such rows of the first 53" in found[0]
    assert "row 53, column 'click'" in found[1]
    assert "test.csv: column 'item' is missing" in found[2]
    assert start_problems(str(shop), on_bad_row="drop") == found[2:]
    flagfile = shop / "a.flags"
    flagfile.write_text(f"--data_dir={shop}\n--on_bad_row=drop\n--epochs=3\n")
    with pytest.raises(SystemExit) as ended:
        stop_if_wrong(["train", f"--flagfile={flagfile}"])
    assert str(ended.value) == f"error: {found[2]}"
    with pytest.raises(SystemExit, match=r"^error: 3 problems"):
        stop_if_wrong(["train", "--on_bad_row=raise", f"--flagfile={flagfile}"])


def test_the_command_ends_before_tensorflow_comes(shop: pathlib.Path) -> None:
    (shop / "schema.toml").write_text(SCHEMA.replace("click", "buy"))
    code = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('tafe_tf.train', run_name='__main__')\n"
        "finally:\n"
        "    print({'tensorflow', 'keras'} & sys.modules.keys())\n"
    )
    run_dir = shop / "run"
    command = [sys.executable, "-c", code, f"--data_dir={shop}", f"--run_dir={run_dir}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "set()\n")
    assert done.stderr.startswith("error: ") and "column 'buy' is missing" in done.stderr
    assert not run_dir.exists()


def test_of_many_files_some_are_looked_at(shop: pathlib.Path) -> None:
    for number in range(60):
        (shop / f"test-{number:02d}.csv").write_text("item,click\n3,1\n")
    (shop / "test-59.csv").write_text("click\n1\n")
    (shop / "test-00.csv").write_text("item\n3\n")
    found = start_problems(str(shop))
    assert len(found) == 2 and "test-00.csv: column 'click'" in found[0]
    assert "test-59.csv: column 'item' is missing" in found[1]
