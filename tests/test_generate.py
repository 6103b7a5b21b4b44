"""The command that writes a synthetic funnel."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from tafe_tf import schema_toml

ROOT = pathlib.Path(__file__).resolve().parents[1]


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tafe_tf.generate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_files_and_their_schema(tmp_path: pathlib.Path) -> None:
    sizes = ("--train_rows=70", "--test_rows=30", "--fields=2")
    names = ("--tasks=view,cart,buy", "--rates=0.5,0.2,0.1")
    done = generate(f"--data_dir={tmp_path}", *sizes, *names)
    assert done.returncode == 0, done.stderr
    said = "70 rows of 2 fields, view -> cart -> buy"
    assert f"{tmp_path}/train.csv: {said}" in done.stdout
    schema = schema_toml.load(tmp_path / "schema.toml")
    assert schema.labels == ("view", "cart", "buy")
    header, *rows = (tmp_path / "train.csv").read_text().splitlines()
    assert len(rows) == 70
    names_of_columns = [column.name for column in schema.columns]
    assert sorted(header.split(",")) == sorted([*names_of_columns, *schema.labels])


def test_what_is_wrong_is_one_line(tmp_path: pathlib.Path) -> None:
    missing = generate()
    assert missing.returncode == 1
    assert missing.stderr.endswith("error: --data_dir must be given\n")
    wrong = generate(f"--data_dir={tmp_path}", "--rates=a,b")
    assert wrong.returncode == 1
    assert wrong.stderr.endswith("error: --rates must be numbers. Received: a,b\n")
