"""The command that writes a synthetic funnel."""

from __future__ import annotations

import csv
import hashlib
import pathlib
import subprocess
import sys

import pytest

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.public.history import HistoryFunnel
from tafe_tf.data.public.sample_wise import SampleWiseFunnel

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
    assert f"{tmp_path}/schema.toml: their schema" in done.stdout
    schema = schema_toml.load(tmp_path / "schema.toml")
    assert schema.labels == ("view", "cart", "buy")
    header, *rows = (tmp_path / "train.csv").read_text().splitlines()
    assert len(rows) == 70
    names_of_columns = [column.name for column in schema.columns]
    assert sorted(header.split(",")) == sorted([*names_of_columns, *schema.labels])


def test_the_flags_of_before_write_the_bytes_of_before(tmp_path: pathlib.Path) -> None:
    """Sums of files that the command wrote before it had --interactions."""
    sizes = ("--train_rows=3000", "--test_rows=500", "--fields=3", "--values=7")
    others = ("--tasks=a,b,c", "--rates=.5,.2,.1", "--seed=3", "--interaction=.6")
    done = generate(f"--data_dir={tmp_path}", *sizes, *others)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "train.csv") == "451a6b7990fab21b"
    assert digest(tmp_path / "test.csv") == "ceb033c74c1c6768"
    schema = (tmp_path / "schema.toml").read_bytes()
    assert hashlib.sha256(schema).hexdigest()[:16] == "94bf5685a25cd7a4"


def test_a_log_whose_last_step_comes_late(tmp_path: pathlib.Path) -> None:
    late = ("--delay_days=1", "--window_days=3", "--log_days=10")
    done = generate(f"--data_dir={tmp_path}", "--train_rows=500", "--test_rows=10", *late)
    assert done.returncode == 0, done.stderr
    schema = schema_toml.load(tmp_path / "schema.toml")
    assert schema.time == "time"
    assert [task.matures_after for task in schema.tasks] == ["", "3d"]
    with open(tmp_path / "train.csv") as file:
        rows = list(csv.DictReader(file))
    times = [int(row["time"]) for row in rows]
    assert 9 * 86_400 < max(times) - min(times) < 10 * 86_400
    assert all(int(row["conversion"]) <= int(row["final_conversion"]) for row in rows)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("--tasks=a,a", "task 'a': name must be given once"),
        ("--interaction=nan", "--interaction must be a finite number. Received: nan"),
        ("--delay_days=0", "delay_days must be a finite number, more than 0. Received: 0.0"),
        ("--log_days=9", "--log_days needs --delay_days. Received: --log_days=9"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    tmp_path: pathlib.Path, given: str, rule: str
) -> None:
    done = generate(f"--data_dir={tmp_path / 'shop'}", "--train_rows=10", "--test_rows=10", given)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {rule}")
    assert not (tmp_path / "shop").exists()


def digest(path: pathlib.Path) -> str:
    """A digest of a file's cells; probabilities to 9 places, as processors differ in the last."""
    sha = hashlib.sha256()
    header, *rows = csv.reader(path.read_text().splitlines())
    sha.update(repr(header).encode())
    for row in rows:
        cells = [f"{float(cell):.9f}" if "." in cell else cell for cell in row]
        sha.update(repr(cells).encode())
    return sha.hexdigest()[:16]


def test_rows_that_decide_which_fields_interact(tmp_path: pathlib.Path) -> None:
    flags = ("--train_rows=300", "--test_rows=200", "--interactions=sample_wise", "--seed=5")
    done = generate(f"--data_dir={tmp_path}", *flags)
    assert done.returncode == 0, done.stderr
    assert "300 rows of 12 fields, click -> conversion" in done.stdout
    assert schema_toml.load(tmp_path / "schema.toml").name == "synthetic_sample_wise"
    again = tmp_path / "again.csv"
    SampleWiseFunnel(seed=5).write(again, rows=200, stream=1)
    assert again.read_bytes() == (tmp_path / "test.csv").read_bytes()


@pytest.mark.parametrize("extension", ["csv", "tfrecord"])
def test_rows_that_depend_on_a_history(tmp_path: pathlib.Path, extension: str) -> None:
    flags = ("--train_rows=300", "--test_rows=200", "--interactions=history", "--seed=5")
    done = generate(f"--data_dir={tmp_path}", *flags, f"--format={extension}")
    assert done.returncode == 0, done.stderr
    schema = schema_toml.load(tmp_path / "schema.toml")
    files = [str(tmp_path / f"train.{extension}")]
    (block,) = read_blocks(files, schema, bad_rows=BadRows())
    columns = HistoryFunnel(seed=5).chunk(stream=0, number=0, rows=300)
    for name in ("history", "history_ago"):
        for values, given in zip(block.columns[name], columns[name], strict=True):
            assert values[values >= 0].tolist() == given


def test_what_is_wrong_is_one_line(tmp_path: pathlib.Path) -> None:
    missing = generate()
    assert missing.returncode == 1
    assert missing.stderr.endswith("error: --data_dir must be given\n")
    wrong = generate(f"--data_dir={tmp_path}", "--rates=a,b")
    assert wrong.returncode == 1
    assert wrong.stderr.endswith("error: --rates must be numbers. Received: a,b\n")
    alone = generate(f"--data_dir={tmp_path}", "--pairs=3")
    assert alone.returncode == 1
    assert alone.stderr == (
        "error: --pairs needs --interactions=sample_wise. "
        "Received: --interactions=fixed, --pairs=3\n"
    )
