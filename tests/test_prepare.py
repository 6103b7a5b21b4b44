"""The command: what it prints, here and on Apache Beam, sizes, kills and errors of one line."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver
from preparation_data import BAD, FORMATS, SCHEMA, beam_engine, content, make_data, read

from tafe_tf import prepare
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.shards import write as shard_write
from tafe_tf.data.shards.job import EXTENSIONS
from tafe_tf.engines.preparation import Engine

FLAGS = absl_flags.FLAGS
FIELDS = ("city", "user", "item", "shop", "hour", "price", "tags", "price_class")


@pytest.fixture(autouse=True)
def small_blocks_and_known_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    monkeypatch.setattr(shard_write, "BLOCK_ROWS", 16)


@pytest.fixture
def beam(monkeypatch: pytest.MonkeyPatch) -> Engine:
    return beam_engine(monkeypatch)


def run_command(data: pathlib.Path | str, **settings: object) -> None:
    """The command, with bad rows left out and two blocks a shard."""
    keys = {"data_dir": str(data), "shard_rows": 32, "on_bad_row": "drop", **settings}
    with flagsaver.flagsaver(**keys):
        prepare.main(["prepare"])


@pytest.mark.parametrize(("extension", "format"), FORMATS)
def test_beam_writes_the_same_bytes(
    tmp_path: pathlib.Path,
    beam: Engine,
    capsys: pytest.CaptureFixture[str],
    extension: str,
    format: str,
) -> None:
    data = make_data(tmp_path / "data", extension)
    local, cluster = tmp_path / "local", tmp_path / "beam"
    run_command(data, output_dir=str(local), format=format)
    said = capsys.readouterr().out
    run_command(data, output_dir=str(cluster), format=format, runner="DirectRunner")
    assert content(cluster) == content(local)
    assert capsys.readouterr().out == said.replace(str(local), str(cluster))
    assert "248 train, 40 valid, 70 test rows in shards, 2 dropped" in said
    assert all(place in said for place in BAD)
    end = EXTENSIONS[format]
    names = [f"train-00000-0000{i}{end}" for i in range(5)] + [
        f"train-00001-0000{i}{end}" for i in range(4)
    ]
    names += [f"valid-00000-0000{i}{end}" for i in range(2)] + [
        f"test-00000-0000{i}{end}" for i in range(3)
    ]
    own = {"prepared.json", "profile.json", "schema.toml", "statistics.json", "vocabulary"}
    assert {path.name for path in local.iterdir()} == {*names, *own}
    prepared = json.loads((local / "prepared.json").read_text())
    assert prepared["rows"]["train"] == {"read": 250, "written": 248, "dropped": 2, "shards": 9}
    for split in ("train", "valid", "test"):
        assert read(local, split) == read(data, split)


@pytest.mark.parametrize("extension", ["csv.gz", "tfrecord.gz"])
def test_beam_builds_the_same_vocabularies_alone(
    tmp_path: pathlib.Path, beam: Engine, capsys: pytest.CaptureFixture[str], extension: str
) -> None:
    data = make_data(tmp_path / "data", extension)
    portable = {
        "runner": "PortableRunner",
        "beam_args": "--job_endpoint=embed --environment_type=LOOPBACK",
    }
    said = []
    for name, settings in (
        ("local", {}),
        ("beam", {"runner": "DirectRunner"}),
        ("portable", portable),
    ):
        run_command(data, run_dir=str(tmp_path / name), **settings)
        said.append(capsys.readouterr().out)
        assert content(tmp_path / name) == content(tmp_path / "local")
        assert list((tmp_path / name).glob(".*")) == []
    assert len(content(tmp_path / "local")) == 7
    assert said[0] == said[1] == said[2] and all(place in said[0] for place in BAD)


KILLED = """
    import os, signal, sys
    from absl import flags as absl_flags
    from tafe_tf import prepare
    from tafe_tf.data.shards import write as shards

    shards.BLOCK_ROWS = 16
    rename, left = os.replace, [int(sys.argv[1])]

    def replace(source, target):
        if str(target).endswith(".parquet"):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    os.replace = replace
    absl_flags.FLAGS(["prepare", *sys.argv[2:]])
    prepare.main(["prepare"])
"""


def test_killed_and_run_again_it_ends_with_the_same_bytes(tmp_path: pathlib.Path) -> None:
    data, out = make_data(tmp_path / "data", "csv"), tmp_path / "out"
    arguments = [
        f"--data_dir={data}",
        f"--output_dir={out}",
        "--shard_rows=32",
        "--on_bad_row=drop",
    ]
    program = [sys.executable, "-c", textwrap.dedent(KILLED), "7", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(program, env=environment, cwd=tmp_path, capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    assert len(find_files(out, "train")) == 6 and list(out.glob(".prepare/*.tmp*")) != []
    run_command(data, output_dir=str(out))
    run_command(data, output_dir=str(tmp_path / "whole"))
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("dtype", "size", "hashed"), [("float32", 4, "244.14"), ("bfloat16", 2, "122.07")]
)
def test_sizes(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], dtype: str, size: int, hashed: str
) -> None:
    """A million hashed rows of 64 float32 numbers are 244.14 MiB, as is each of their moments."""
    data = make_data(tmp_path / "data", "csv")
    (data / "schema.toml").write_text(SCHEMA.replace("buckets = 10", "buckets = 999998"))
    run_command(data, run_dir=str(tmp_path / "run"), embedding_dim=64, embedding_dtype=dtype)
    cells = {}
    for line in capsys.readouterr().out.splitlines():
        name, *rest = [cell.strip() for cell in line.strip("│┃ ").replace("┃", "│").split("│")]
        cells[name] = rest
    assert cells["field"] == [
        "kind",
        "distinct values",
        "rows of the table",
        "MiB",
        "MiB in training",
        "share",
    ]
    assert cells["shop"][:5] == ["hash", "-", "1,000,000", hashed, f"{float(hashed) + 488.28:.2f}"]
    values = len((tmp_path / "run" / "vocabulary" / "item.txt").read_text().splitlines())
    good = {value for value in read(data, "train")["item"] if value != -1}
    assert cells["item"][:3] == [
        "vocabulary",
        f"{len(good):,}",
        f"{values + 2:,}",
    ] and values < len(good)
    total = int(cells["in all"][2].replace(",", ""))
    assert total == sum(
        int(row[2].replace(",", ""))
        for name, row in cells.items()
        if len(row) == 6 and name in FIELDS
    )
    assert cells["in all"][3:] == [
        *(f"{total * 64 * n / 2**20:.2f}" for n in (size, size + 8)),
        "100.0%",
    ]
    assert cells["shop"][5] == f"{1e6 / total:.1%}"


def test_the_command_ends_with_one_line(
    tmp_path: pathlib.Path,
    beam: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = make_data(tmp_path / "data", "csv")

    def failing(text: str, data_dir: pathlib.Path | str = data, **settings: object) -> None:
        settings = {"output_dir": str(tmp_path / "out"), **settings}
        with pytest.raises(SystemExit) as ended:
            run_command(data_dir, **settings)
        message = str(ended.value)
        assert message.startswith("error: ") and text in message and "\n" not in message

    failing("train-b.csv: row 7, column 'buy'", on_bad_row="raise", runner="DirectRunner")
    failing("shard_rows must be", shard_rows=0)
    failing("--data_dir must be given", data_dir="")
    failing("--run_dir and --output_dir must not both be given", run_dir=str(tmp_path))
    monkeypatch.delitem(sys.modules, "tafe_tf.engines.beam")
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as where the extra is not installed
    failing(
        "--runner=DirectRunner needs Apache Beam: pip install 'tafe_tf[beam]'",
        runner="DirectRunner",
    )
