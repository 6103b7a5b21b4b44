"""Preparation as a function, here and on Apache Beam: the source's rows, pandas's counts."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from preparation_data import FORMATS, SCHEMA, beam_engine, content, make_data, read, rows

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import LockError, locked
from tafe_tf.data.shards import write as shard_write
from tafe_tf.data.shards.job import ShardJob
from tafe_tf.engines import local
from tafe_tf.engines.driver import EngineError
from tafe_tf.engines.local import LocalEngine
from tafe_tf.engines.preparation import (
    Engine,
    VocabularyJob,
    build_vocabularies,
    prepare_shards,
)
from tafe_tf.features import vocabulary


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_write, "BLOCK_ROWS", 16)


@pytest.fixture
def beam(monkeypatch: pytest.MonkeyPatch) -> Engine:
    return beam_engine(monkeypatch)


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


def counted(values: list[Any], min_count: int) -> list[str]:
    """What a vocabulary has to hold, by pandas."""
    counts = pd.Series(values, dtype=object).value_counts()
    frame = pd.DataFrame({"count": counts.to_numpy(), "value": counts.index.map(str)})
    frame = frame[frame["count"] >= min_count]
    return list(frame.sort_values(["count", "value"], ascending=[False, True])["value"])


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
        rare = [value for value in values if str(value) not in expected]
        rows = [value if name in lists else [value] for value in good[name]]
        empty = sum(set(row) <= {"", -1} for row in rows)
        assert statistics["unseen"][name] == len(rare) / (len(values) + empty)
        assert statistics["missing"][name] == empty / (len(values) + empty)
        ties += len(expected) - len({values.count(value) for value in values})
    assert ties > 30
    labels = np.array(good["labels"])
    assert statistics["rows"] == 248
    assert statistics["rate"] == {"click": labels[:, 0].mean(), "buy": labels[:, 1].mean()}


def test_training_takes_the_vocabularies_of_the_shards(tmp_path: pathlib.Path) -> None:
    out = run(make_data(tmp_path / "data", "parquet"), tmp_path / "out")
    schema = schema_toml.load(out / "schema.toml")
    (tmp_path / "run").mkdir()
    assert vocabulary.reuse(find_files(out, "train"), schema, out, tmp_path / "run")
    again = vocabulary.build(find_files(out, "train"), schema, tmp_path / "again", BadRows())
    assert again == json.loads((out / "statistics.json").read_text())


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("extension", "format"),
    [
        ("csv", "tfrecord"),
        pytest.param("parquet", "parquet", marks=pytest.mark.slow),
    ],
)
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


def test_bad_rows_are_named_here_and_there(tmp_path: pathlib.Path, beam: Engine) -> None:
    data = make_data(tmp_path / "data", "csv")
    rule = "is 1 where the earlier step 'click' is 0. Received: 1"
    said = rf"^\S*train-b.csv: row 7, column 'buy': {rule}$"
    engines: list[tuple[str, Engine, type[Exception]]] = [
        ("local", LocalEngine(), BadRowError),
        ("beam", beam, EngineError),
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
            build_vocabularies(vocabularies, engine)
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


def test_a_value_that_no_vocabulary_holds_is_a_bad_row_on_beam_too(
    tmp_path: pathlib.Path, beam: Engine
) -> None:
    data = make_data(tmp_path / "data", "parquet")
    columns = rows(150, 0)
    columns["user"][:2] = ["a\nb", "c\rd"]
    write(data / "train-a.parquet", columns)
    said = r"row 1, column 'user': must be UTF-8 text without a line break; .*'a\\nb'"
    for name, engine in (("local", LocalEngine()), ("beam", beam)):
        with pytest.raises((BadRowError, EngineError), match=said):
            run(data, tmp_path / f"{name}-raise", engine, on_bad_row="raise")
    out = run(data, tmp_path / "local")
    assert content(out) == content(run(data, tmp_path / "beam", beam))
    assert "a\n" not in (out / "vocabulary" / "user.txt").read_text()
    assert json.loads((out / "prepared.json").read_text())["rows"]["train"]["dropped"] == 4


def test_a_job_that_drops_too_much_stops_on_beam_too(tmp_path: pathlib.Path, beam: Engine) -> None:
    data = make_data(tmp_path / "data", "parquet")
    said = r"^2 of .* rows are bad, and --max_bad_rows=1 allows 1: dropped 1 rows, .*row"
    for name, engine in (("local", LocalEngine()), ("beam", beam)):
        for _ in range(2):  # the second time all shards are there
            with pytest.raises(BadRowError, match=said):
                run(data, tmp_path / name, engine, max_bad_rows="1")
        run(data, tmp_path / name, engine, max_bad_rows="2")
    vocabularies = VocabularyJob(
        files=find_files(data, "train"),
        schema=schema_toml.load(data / "schema.toml"),
        directory=str(tmp_path / "vocabulary"),
        on_bad_row="drop",
        max_bad_rows="1",
    )
    for engine in (LocalEngine(), beam):
        with pytest.raises(BadRowError, match=said):
            build_vocabularies(vocabularies, engine)
        assert not (tmp_path / "vocabulary" / "statistics.json").exists()


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


def flip(path: pathlib.Path) -> None:
    """Damages a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
def test_a_damaged_shard_is_noticed_and_written_again(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    format: str,
) -> None:
    data = make_data(tmp_path / "data", "csv")
    whole = run(data, tmp_path / "whole", format=format)
    expected = content(whole)
    out = tmp_path / "out"
    plain = shard_write.convert

    def convert(job: Any, piece: Any) -> Iterator[int]:
        yield from plain(job, piece)
        if piece.split == "train" and piece.file == 1:
            flip(next(out.glob("train-00000-00002.*")))

    monkeypatch.setattr(local, "convert", convert)
    damage = r"train-00000-00002.\S+ holds other bytes \(sha256 \S+ and not \S+\); "
    with pytest.raises(DataError, match=f"^{out}: {damage}run the job again$"):
        run(data, out, format=format)
    monkeypatch.setattr(local, "convert", plain)
    capsys.readouterr()
    run(data, out, format=format)
    assert re.search(f"^{out}: {damage}it is written again$", capsys.readouterr().out, re.MULTILINE)
    assert content(out) == expected
    for name in ("vocabulary/user.txt", next(out.glob("test-00000-00000.*")).name):
        flip(out / name)
        with pytest.raises(
            DataError, match=rf"out: {name} holds other bytes .* Empty it to begin again"
        ):
            run(data, out, format=format)
        flip(out / name)
    run(data, out, format=format)
    assert content(out) == expected


def test_another_file_of_the_same_size_is_another_source(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(tmp_path / "data", "csv")
    out = run(data, tmp_path / "out")
    monkeypatch.setattr(local, "convert", lambda job, piece: iter(()))
    with pytest.raises(DataError, match="is missing; run the job again"):
        run(data, tmp_path / "begun")
    text = (data / "train-a.csv").read_text()
    header, *lines = text.splitlines(keepends=True)
    (data / "train-a.csv").write_text(header + "".join(reversed(lines)))
    assert (data / "train-a.csv").stat().st_size == len(text.encode())
    said = "from another train-a.csv, which had the same size; take another directory, or empty it"
    with pytest.raises(DataError, match=f"out: was prepared {said}"):
        run(data, out)
    with pytest.raises(DataError, match=f"begun: is being prepared {said}"):
        run(data, tmp_path / "begun")


def test_one_process_prepares_into_a_folder(tmp_path: pathlib.Path) -> None:
    data = make_data(tmp_path / "data", "csv")
    with (
        locked(tmp_path / "out"),
        pytest.raises(LockError, match=r"out: process \d+ on .* writes in this directory"),
    ):
        run(data, tmp_path / "out")
    assert content(tmp_path / "out") == {}


@pytest.mark.parametrize(("source", "format"), FORMATS)
def test_an_empty_part_among_full_ones_gives_no_shard(
    source: str, format: str, tmp_path: pathlib.Path, beam: Engine
) -> None:
    data = make_data(tmp_path / "data", source)
    write(data / f"train-c.{source}", {name: [] for name in rows(3, 0)})
    (data / "train").mkdir()
    (data / "train" / "_SUCCESS").write_text("")
    out = run(data, tmp_path / "out", format=format)
    assert content(run(data, tmp_path / "beam", beam, format=format)) == content(out)
    counts = json.loads((out / "prepared.json").read_text())["rows"]["train"]
    assert (counts["read"], counts["written"], counts["dropped"]) == (250, 248, 2)
    os.remove(data / f"train-a.{source}")
    os.remove(data / f"train-b.{source}")
    with pytest.raises(DataError, match="no row of the 'train' files is good; they hold no rows"):
        run(data, tmp_path / "none", format=format)


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
def test_labels_as_people_have_them_in_shards(
    tmp_path: pathlib.Path, beam: Engine, format: str
) -> None:
    data = make_data(tmp_path / "data", "parquet")
    spelled = SCHEMA.replace(
        'name = "click"', 'name = "click"\npositive = ["yes"]\nnegative = ["no"]'
    ).replace('name = "buy"', 'name = "buy"\nwhen = "present"')
    expected = {}
    for split, count, seed in (("train-a", 150, 0), ("train-b", 100, 1), ("test", 70, 3)):
        columns = rows(count, seed)
        bought = columns["buy"]
        for i in (7, 8, 40):  # sold without a click
            bought[i], columns["click"][i] = 1, 0
        expected[split] = [max(pair) for pair in zip(columns["click"], bought, strict=True)]
        columns["click"] = ["yes" if click else "no" for click in columns["click"]]
        columns["buy"] = ["2024-02-29" if buy else None for buy in bought]
        write(data / f"{split}.parquet", columns)
    (data / "valid.parquet").unlink()
    (data / "schema.toml").write_text('order = "repair"\n' + spelled)
    settings: dict[str, Any] = {"format": format, "on_bad_row": "raise"}
    out = run(data, tmp_path / "out", **settings)
    assert content(run(data, tmp_path / "beam", beam, **settings)) == content(out)
    prepared = json.loads((out / "prepared.json").read_text())
    assert prepared["bad_rows"] == []
    rule = "is 1 where the earlier step 'click' is 0. Received: 1"
    for split in ("train-a", "train-b", "test"):
        first = f"{data / split}.parquet: row 8, column 'buy': {rule}"
        assert f"repaired 3 rows, the first: {first}" in prepared["reasons"]
    run(data, tmp_path / "out", **settings)  # it is finished, and nothing is refused
    for split, files in (("train", ("train-a", "train-b")), ("test", ("test",))):
        raw = read(data, split)["labels"]
        assert read(out, split)["labels"] == raw
        clicks = [click for file in files for click in expected[file]]
        assert [click for click, _ in raw] == clicks

    (data / "schema.toml").write_text('order = "drop"\n' + spelled)
    out = run(data, tmp_path / "dropped", **settings)
    prepared = json.loads((out / "prepared.json").read_text())
    assert prepared["bad_rows"] == []
    assert {name: counts["dropped"] for name, counts in prepared["rows"].items()} == {
        "train": 6,
        "test": 3,
    }
    run(data, tmp_path / "dropped", **settings)
