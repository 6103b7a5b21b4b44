"""Preparation here and on Apache Beam: the same bytes, the source's rows, pandas's counts."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from absl import flags as absl_flags
from absl.testing import flagsaver

from tafe_tf import prepare, schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import find_files, read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards import write as shard_write
from tafe_tf.data.shards.job import EXTENSIONS, ShardJob
from tafe_tf.engines import local
from tafe_tf.engines.beam.pipeline import PipelineError
from tafe_tf.engines.local import LocalEngine
from tafe_tf.engines.preparation import Engine, VocabularyJob, prepare_shards
from tafe_tf.features import vocabulary
from tafe_tf.schema import SchemaError

FLAGS = absl_flags.FLAGS
SCHEMA = """
name = "shop"
group = "user"
time = "at"
[[tasks]]
name = "click"
[[tasks]]
name = "buy"
[[features]]
name = "city"
kind = "vocabulary"
min_count = 3
[[features]]
name = "user"
kind = "vocabulary"
[[features]]
name = "item"
kind = "vocabulary"
dtype = "int64"
min_count = 2
[[features]]
name = "shop"
kind = "hash"
buckets = 10
[[features]]
name = "hour"
kind = "integer"
size = 24
[[features]]
name = "price"
kind = "log_round"
[[features]]
name = "tags"
kind = "vocabulary"
max_length = 3
weights = "tag_weights"
"""
# Of the source and of the shards.
FORMATS = [("csv", "parquet"), ("parquet", "tfrecord"), ("tfrecord", "parquet")]
BAD = ("row 7, column 'buy'", "row 30, column 'hour'")


def rows(count: int, seed: int, bad: bool = False) -> dict[str, list[Any]]:
    """Rows with missing values, lists of any length, many scripts and many values of one count."""
    rng = np.random.default_rng(seed)
    tags = [[f"tag {t}" for t in rng.integers(0, 12, n)] for n in rng.integers(0, 6, count)]
    columns: dict[str, list[Any]] = {
        "city": [
            ["Köln", "東京", "Łódź", "a b", "", '"', "😀"][i % 7] or None
            for i in rng.integers(0, 50, count)
        ],
        "user": [f"ü{i}" for i in rng.integers(0, count // 3, count)],
        "item": [None if rng.random() < 0.1 else int(i) - 5 for i in rng.zipf(1.5, count) % 90],
        "shop": [f"s{i}" for i in rng.integers(0, 99, count)],
        "hour": rng.integers(0, 24, count).tolist(),
        "price": [
            None if rng.random() < 0.1 else float(p) for p in rng.lognormal(2, 2, count).round(3)
        ],
        "tags": list(tags),
        "tag_weights": [rng.uniform(0.1, 1, len(t)).round(3).tolist() for t in tags],
        "at": (1_700_000_000 + rng.integers(0, 10**6, count)).tolist(),
        "click": [int(i % 3 == 0) for i in range(count)],
        "buy": [int(i % 6 == 0) for i in range(count)],
    }
    if bad:
        columns["buy"][6], columns["click"][6] = 1, 0
        columns["hour"] = [str(hour) for hour in columns["hour"]]
        columns["hour"][29] = "noon"
    return columns


def make_data(directory: pathlib.Path, extension: str) -> pathlib.Path:
    """Two training files, the second with two bad rows, one of validation and one of test rows."""
    directory.mkdir(parents=True)
    (directory / "schema.toml").write_text(SCHEMA)
    write(directory / f"train-a.{extension}", rows(150, 0))
    write(directory / f"train-b.{extension}", rows(100, 1, bad=True))
    write(directory / f"valid.{extension}", rows(40, 2))
    write(directory / f"test.{extension}", rows(70, 3))
    return directory


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    if not FLAGS.is_parsed():
        FLAGS(["test"])
    monkeypatch.setattr(shard_write, "BLOCK_ROWS", 16)


@pytest.fixture
def beam(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Beam's workers run in this process, without a download of Prism."""
    pytest.importorskip("apache_beam")
    from apache_beam.runners.portability import prism_runner

    from tafe_tf.engines.beam.prepare import BeamEngine

    def refuse(*_: Any) -> None:
        raise RuntimeError("not in tests")

    monkeypatch.setattr(prism_runner.PrismRunner, "run_pipeline", refuse)
    return BeamEngine(["--runner=DirectRunner"])


def run(
    data: pathlib.Path, output: pathlib.Path, engine: Engine | None = None, **settings: Any
) -> pathlib.Path:
    """Shards of two blocks and vocabularies, as a function; bad rows are left out."""
    text = (data / "schema.toml").read_text(encoding="utf-8")
    keys: dict[str, Any] = {"shard_rows": 32, "on_bad_row": "drop", **settings}
    job = ShardJob(
        data_dir=str(data),
        schema=schema_toml.load(data / "schema.toml"),
        schema_text=text,
        output=str(output),
        **keys,
    )
    prepare_shards(job, engine or LocalEngine())
    return output


def run_command(data: pathlib.Path | str, **settings: object) -> None:
    """The command, with bad rows left out and two blocks a shard."""
    keys = {"data_dir": str(data), "shard_rows": 32, "on_bad_row": "drop", **settings}
    with flagsaver.flagsaver(**keys):
        prepare.main(["prepare"])


def content(directory: pathlib.Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file()
    }


def read(directory: pathlib.Path, split: str) -> dict[str, list[Any]]:
    """All good rows of a split in order, texts as `str`."""

    def value(item: Any) -> Any:
        if isinstance(item, list):
            return [value(x) for x in item]
        return item.decode() if isinstance(item, bytes) else "NaN" if item != item else item

    schema = schema_toml.load(directory / "schema.toml")
    blocks = list(
        read_blocks(find_files(directory, split), schema, bad_rows=BadRows("drop"), block_rows=13)
    )
    columns = {
        c.name: [value(x) for b in blocks for x in b.columns[c.name].tolist()]
        for c in schema.columns
    }
    return columns | {"labels": [x for b in blocks for x in b.labels.tolist()]}


def counted(values: list[Any], min_count: int) -> list[str]:
    """What a vocabulary has to hold, by pandas."""
    counts = pd.Series(values, dtype=object).value_counts()
    frame = pd.DataFrame({"count": counts.to_numpy(), "value": counts.index.map(str)})
    frame = frame[frame["count"] >= min_count]
    return list(frame.sort_values(["count", "value"], ascending=[False, True])["value"])


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
    own = {"prepared.json", "schema.toml", "statistics.json", "vocabulary"}
    assert {path.name for path in local.iterdir()} == {*names, *own}
    prepared = json.loads((local / "prepared.json").read_text())
    assert prepared["rows"]["train"] == {"read": 250, "written": 248, "dropped": 2, "shards": 9}
    for split in ("train", "valid", "test"):
        assert read(local, split) == read(data, split)


def test_vocabularies_are_what_pandas_counts(tmp_path: pathlib.Path, beam: Engine) -> None:
    out = run(make_data(tmp_path / "data", "csv"), tmp_path / "out", beam)
    good = read(tmp_path / "data", "train")
    statistics = json.loads((out / "statistics.json").read_text())
    lists = {"tags": [tag for tags in good["tags"] for tag in tags]}
    ties = 0
    for name, min_count in (("city", 3), ("user", 1), ("item", 2), ("tags", 1)):
        values = [value for value in lists.get(name, good[name]) if value not in ("", -1)]
        expected = counted(values, min_count)
        assert (out / "vocabulary" / f"{name}.txt").read_text().splitlines() == expected
        assert statistics["vocabulary"][name] == len(expected)
        assert statistics["distinct"][name] == len(set(values))
        ties += len(expected) - len({values.count(value) for value in values})
    assert ties > 30
    labels = np.array(good["labels"])
    assert statistics["rows"] == 248
    assert statistics["rate"] == {"click": labels[:, 0].mean(), "buy": labels[:, 1].mean()}


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
    assert len(content(tmp_path / "local")) == 5
    assert said[0] == said[1] == said[2] and all(place in said[0] for place in BAD)


def test_training_takes_the_vocabularies_of_the_shards(tmp_path: pathlib.Path) -> None:
    out = run(make_data(tmp_path / "data", "parquet"), tmp_path / "out")
    schema = schema_toml.load(out / "schema.toml")
    (tmp_path / "run").mkdir()
    assert vocabulary.reuse(find_files(out, "train"), schema, out, tmp_path / "run")
    again = vocabulary.build(find_files(out, "train"), schema, tmp_path / "again", BadRows())
    assert again == json.loads((out / "statistics.json").read_text())


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("extension", "format"), [("csv", "tfrecord"), ("parquet", "parquet")])
def test_wherever_it_stops_either_goes_on(
    tmp_path: pathlib.Path,
    beam: Engine,
    monkeypatch: pytest.MonkeyPatch,
    extension: str,
    format: str,
) -> None:
    data = make_data(tmp_path / "data", extension)
    expected = content(run(data, tmp_path / "whole", format=format))
    rename = os.replace
    for stop in (0, 1, 5, 12, 27, 30):
        calls = iter(range(10**6))

        def replace(
            source: Any, target: Any, calls: Iterator[int] = calls, stop: int = stop
        ) -> None:
            if next(calls) == stop:
                raise Killed
            rename(source, target)

        out = tmp_path / f"out{stop}"
        monkeypatch.setattr("os.replace", replace)
        with pytest.raises(Killed):
            run(data, out, format=format)
        monkeypatch.setattr("os.replace", rename)
        recorded = {path.stem for path in (out / ".prepare").glob("t*.json")}
        whole = {
            path: path.stat().st_mtime_ns
            for path in out.glob("*-*")
            if path.name.split(".")[0] in recorded
        }
        run(data, out, beam if stop in (1, 12, 30) else None, format=format)
        assert content(out) == expected
        assert {
            path: path.stat().st_mtime_ns for path in whole
        } == whole  # what is done is not done again


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
    assert content(run(data, out)) == content(run(data, tmp_path / "whole"))


def test_bad_rows_are_named_here_and_there(tmp_path: pathlib.Path, beam: Engine) -> None:
    data = make_data(tmp_path / "data", "csv")
    rule = "is 1 where the earlier step 'click' is 0. Received: 1"
    said = rf"^\S*train-b.csv: row 7, column 'buy': {rule}$"
    engines: list[tuple[str, Engine, type[Exception]]] = [
        ("local", LocalEngine(), BadRowError),
        ("beam", beam, PipelineError),
    ]
    for name, engine, error in engines:
        with pytest.raises(error, match=said):
            run(data, tmp_path / name, engine, on_bad_row="raise")
        assert not (tmp_path / name / "prepared.json").exists()
        vocabularies = VocabularyJob(
            files=find_files(data, "train"),
            schema=schema_toml.load(data / "schema.toml"),
            directory=str(tmp_path / f"v{name}"),
        )
        with pytest.raises(error, match=said):
            engine.build_vocabularies(vocabularies)
    out = run(data, tmp_path / "local")  # the job that stopped goes on with what it was told
    for _ in range(2):
        with pytest.raises(
            BadRowError, match=r"out: was prepared without some rows: .* row 7, column 'buy'"
        ):
            run(data, out.rename(tmp_path / "out"), on_bad_row="raise")
        out = (tmp_path / "out").rename(tmp_path / "local")


def test_texts_that_no_shard_takes_are_bad_rows(tmp_path: pathlib.Path, beam: Engine) -> None:
    data = make_data(tmp_path / "data", "tfrecord")
    columns = rows(60, 5)
    write(
        data / "train-a.tfrecord",
        columns | {"shop": ["Ångström" if i == 44 else "s" for i in range(60)]},
    )
    records = [bytes(r.numpy()) for r in tf.data.TFRecordDataset(str(data / "train-a.tfrecord"))]
    with tf.io.TFRecordWriter(str(data / "train-a.tfrecord")) as writer:
        for record in records:
            writer.write(record.replace("Ångström".encode(), b"\xff" * 10))
    said = r"train-a.tfrecord: row 45, column 'shop': must be UTF-8 text. Received: b'(\\xff){10}'$"
    with pytest.raises(BadRowError, match=said):
        run(data, tmp_path / "raise", on_bad_row="raise")
    out = run(data, tmp_path / "local")
    assert content(out) == content(run(data, tmp_path / "beam", beam))
    prepared = json.loads((out / "prepared.json").read_text())
    assert prepared["rows"]["train"] == {"read": 160, "written": 157, "dropped": 3, "shards": 6}


def test_a_line_break_in_a_vocabulary_is_refused_on_beam_too(
    tmp_path: pathlib.Path, beam: Engine
) -> None:
    data = make_data(tmp_path / "data", "parquet")
    write(data / "train-a.parquet", rows(150, 0) | {"user": ["a\nb"] * 150})
    said = r"feature 'user': a value holds a line break; .*'a\\nb'"
    for name, engine in (("local", LocalEngine()), ("beam", beam)):
        with pytest.raises(SchemaError, match=said):
            run(data, tmp_path / name, engine)
        assert not (tmp_path / name / "prepared.json").exists()


def test_a_directory_of_another_job_is_refused(tmp_path: pathlib.Path) -> None:
    data = make_data(tmp_path / "data", "csv")
    out = run(data, tmp_path / "out")
    before = content(out)
    run(data, out)
    assert content(out) == before  # nothing left to do

    def refused(message: str, output: pathlib.Path = out, **settings: Any) -> None:
        with pytest.raises(DataError, match=message):
            run(data, output, **settings)

    refused(
        r"out: was prepared with shard_rows 32; take another directory, or empty it. Received: 64",
        shard_rows=64,
    )
    refused("was prepared with format 'parquet'; .* Received: 'tfrecord'", format="tfrecord")
    refused(
        r"shard_rows must be a multiple of 65536, or 1 to that. Received: 65537", shard_rows=65537
    )
    refused(r"data: holds \S+, which is no shard of this job; take another directory", output=data)
    (data / "schema.toml").write_text(SCHEMA + "# more\n")
    refused("was prepared with schema ")
    (data / "schema.toml").write_text(SCHEMA)
    shutil.move(out / "train-00000-00001.parquet", tmp_path)
    refused("out: had 9 train shards when it was prepared; empty it to begin again. Received: 8")
    shutil.move(tmp_path / "train-00000-00001.parquet", out)
    assert content(run(data, out)) == before
    write(data / "valid.csv", rows(41, 2))
    refused(r"was prepared with valid.csv \d+; .* Received: \d+")
    (data / "valid.csv").unlink()
    refused("was prepared with files 4; .* Received: 3")


def test_what_goes_wrong_on_the_way_is_noticed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(tmp_path / "data", "csv")
    plain = shard_write.convert

    def then(act: Callable[[], object]) -> Callable[..., Iterator[int]]:
        def convert(job: Any, piece: Any) -> Iterator[int]:
            yield from plain(job, piece)
            act()

        return convert

    out = tmp_path / "out"
    lost = out / "train-00000-00001.parquet"
    monkeypatch.setattr(local, "convert", then(lambda: lost.unlink(missing_ok=True)))
    with pytest.raises(
        DataError, match=r"train-00000-00001.parquet: is missing; run the job again"
    ):
        run(data, out)
    monkeypatch.setattr(local, "convert", then(lambda: write(data / "valid.csv", rows(41, 2))))
    with pytest.raises(DataError, match=r"out: was begun with valid.csv \d+; .* Received: \d+"):
        run(data, out)
    monkeypatch.setattr(local, "convert", plain)
    write(data / "valid.csv", {name: values[6:7] for name, values in rows(40, 2, bad=True).items()})
    with pytest.raises(
        DataError,
        match=r"no row of the 'valid' files is good; dropped 1 rows, .* row 1, column 'buy'",
    ):
        run(data, tmp_path / "none")
    monkeypatch.setattr(shard_write, "read_blocks", lambda *_, **__: [])
    with pytest.raises(OSError, match=r"holds 0 rows of 32"):
        run(data, tmp_path / "unread")


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


FIELDS = ("city", "user", "item", "shop", "hour", "price", "tags")


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
    monkeypatch.delitem(sys.modules, "tafe_tf.engines.beam.prepare")
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as where the extra is not installed
    failing("--runner needs Apache Beam: pip install 'tafe_tf[beam]'", runner="DirectRunner")
