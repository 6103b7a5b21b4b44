"""Batch scoring: the model's own scores, keys and shards; bad rows and bad files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_models
import tensorflow as tf
from marks import all_slow_but
from scoring_jobs import ROWS, bad_csv, job, mkdir, parts, scores, stamps
from small_files import EXTENSIONS

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel
from tafe_tf.serving.batch import block_scores, scoring
from tafe_tf.serving.batch.job import Job
from tafe_tf.serving.batch.settings import JobError
from tafe_tf.training.run_dir import RunDir


def python_scores(run: RunDir, file: pathlib.Path) -> dict[str, np.ndarray]:
    """The Keras model's scores of a file: sigmoids of the least logit so far, and quotients."""
    schema = run.schema()
    names = [column.name for column in schema.inputs]
    (block,) = read_blocks([str(file)], schema, bad_rows=BadRows(), columns=names)
    columns = {name: tf.constant(values) for name, values in block.columns.items()}
    logits = np.array(run.load_best()(run.features()(columns)), np.float64)
    least = np.minimum.accumulate(logits, axis=1)
    steps = 1 / (1 + np.exp(-least))
    given_previous = steps[:, 1:] / steps[:, :-1]
    found = dict(zip(schema.step_names, steps.T, strict=True))
    found |= zip(schema.conditional_names, given_previous.T, strict=True)
    return found


@pytest.mark.parametrize("funnel", all_slow_but({"shop"}, small_models.SCHEMAS))
def test_every_format_gives_the_models_scores(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, funnel: str
) -> None:
    columns = small_models.rows(funnel, ROWS, seed=7)
    for label in ("click", "buy", "view", "apply", "fund"):
        columns.pop(label, None)  # what is scored has no labels yet
    run = small_models.run_of(exports[funnel])
    found = {}
    for extension in EXTENSIONS:
        path = mkdir(tmp_path / "in") / f"{extension.replace('.', '_')}.{extension}"
        write(path, columns)
        task = job(
            exports[funnel],
            path,
            output=extension,
            keys=("item",),
            rows_per_shard=100,
            batch_size=32,
        )
        summary = scoring.run(task)
        assert (summary["rows"], summary["dropped"], len(parts(task))) == (ROWS, 0, 3)
        found[extension] = scores(task)
    first = found["parquet"]
    names = [*run.schema().step_names, *run.schema().conditional_names]
    assert list(first) == ["item", "row", *names]
    assert first["row"] == list(range(1, ROWS + 1)) and first["item"] == columns["item"]
    assert all(other == first for other in found.values())
    expected = python_scores(run, tmp_path / "in" / "parquet.parquet")
    for name in names:
        np.testing.assert_allclose(first[name], expected[name], rtol=0, atol=1e-6)
        assert np.std(first[name]) > 1e-3  # rows differ, so a row's score in another's place shows


def test_folders_that_hold_values_are_keys(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    for day in (1, 2):
        folder = tmp_path / "in" / f"dt=2026-11-0{day}"
        folder.mkdir(parents=True)
        write(folder / "part-0.csv", small_models.rows("loans", ROWS, seed=day))
        (folder / "_SUCCESS").touch()
    path = tmp_path / "in"
    task = job(exports["loans"], path, keys=("dt", "item"), rows_per_shard=200)
    assert scoring.run(task)["rows"] == 2 * ROWS
    stems = ("dt=2026-11-01+part-0", "dt=2026-11-02+part-0")
    assert [part.name for part in parts(task)] == [
        f"{stem}-{number:05d}.parquet" for stem in stems for number in range(2)
    ]
    for day, stem in enumerate(stems, start=1):
        alone = tmp_path / "alone" / f"day{day}.csv"
        alone.parent.mkdir(exist_ok=True)
        write(alone, small_models.rows("loans", ROWS, seed=day))
        expected = job(
            exports["loans"], alone, output=f"out{day}", keys=("item",), rows_per_shard=200
        )
        scoring.run(expected)
        found = scores(task, stem)
        assert found.pop("dt") == [f"2026-11-0{day}"] * ROWS
        assert found == scores(expected)


def test_the_scores_are_those_of_the_session(loans: Job) -> None:
    scoring.run(loans)
    schema = loans.schema
    blocks = read_blocks(
        [loans.inputs[0].path],
        schema,
        bad_rows=BadRows(),
        columns=[c.name for c in schema.inputs],
        block_rows=64,
    )
    model = SessionModel(loans.model, native=loans.native)
    for path, block in zip(parts(loans), blocks, strict=True):
        table = pq.read_table(path)
        for start in range(0, len(block.row), 16):
            rows = slice(start, start + 16)
            for name, values in model({n: x[rows] for n, x in block.columns.items()}).items():
                assert table.schema.field(name).type == pa.float32()
                np.testing.assert_array_equal(table[name].to_numpy()[rows], values)


def test_one_signature_gives_one_column(loans: Job) -> None:
    scoring.run(loans)
    one = dataclasses.replace(loans, signature="p_fund", output=loans.output + "-one")
    scoring.run(one)
    assert list(scores(one)) == ["id", "row", "p_fund"]
    np.testing.assert_allclose(scores(one)["p_fund"], scores(loans)["p_fund"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("extension", ["csv", "parquet", "tfrecord"])
def test_keys_come_through(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, extension: str
) -> None:
    columns = small_models.rows("loans", 4) | {
        "user": ["u 1", "é", None, "new"],
        "item": [7, None, -1, 2**53 + 1],
        "request": ["r1", "r 2", "x", "r4"],
        "number": [2**53 + 1, 5, 6, 7],
    }
    path = mkdir(tmp_path / "in") / f"a.{extension}"
    write(path, columns)
    task = job(exports["loans"], path, keys=("request", "user", "number", "item"))
    scoring.run(task)
    found = scores(task)
    assert list(found)[:5] == ["request", "user", "number", "item", "row"]
    assert found["user"] == [
        "u 1",
        "é",
        None,
        "new",
    ]  # the schema knows it: text, null where missing
    assert found["item"] == [7, None, -1, 2**53 + 1]
    requests = [
        text.encode() if extension == "tfrecord" else text for text in ("r1", "r 2", "x", "r4")
    ]
    assert found["request"] == requests  # as the file has it
    assert found["number"] == [str(n) if extension == "csv" else n for n in columns["number"]]
    types = {field.name: field.type for field in pq.read_schema(parts(task)[0])}
    assert (types["user"], types["item"], types["row"]) == (pa.string(), pa.int64(), pa.int64())


def test_types_of_parquet_keys(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    times = pa.array([1, None, 3], pa.timestamp("ms"))
    kinds = pa.array(["a", None, "a"]).dictionary_encode()
    table = pa.table(small_models.rows("loans", 3))
    table = table.append_column("at", times).append_column("kind", kinds)
    pq.write_table(table, mkdir(tmp_path / "in") / "a.parquet")
    task = job(exports["loans"], tmp_path / "in" / "a.parquet", keys=("at", "kind"))
    scoring.run(task)
    written = pq.read_table(parts(task)[0])
    assert written["at"].combine_chunks() == times
    assert written["kind"].to_pylist() == ["a", None, "a"]


@pytest.mark.parametrize("extension", ["csv", "parquet", "tfrecord"])
def test_files_and_shards(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path, extension: str
) -> None:
    counts = {"a": 128, "b": 64, "c": 65, "d": 1}  # exact multiples of a shard, and one row more
    inputs = mkdir(tmp_path / "in")
    for seed, (stem, count) in enumerate(counts.items()):
        write(inputs / f"{stem}.{extension}", small_models.rows("numbers", count, seed))
    (inputs / f".e.{extension}").write_text("begun by a writer")
    task = job(exports["numbers"], inputs / "*", keys=("item",), rows_per_shard=64)
    assert [pathlib.Path(source.path).stem for source in task.inputs] == list(counts)
    summary = scoring.run(task)
    names = ["a-00000", "a-00001", "b-00000", "c-00000", "c-00001", "d-00000"]
    assert [path.stem for path in parts(task)] == names
    assert summary == json.loads((pathlib.Path(task.output) / "_SUCCESS.json").read_text())
    assert summary["rows"] == sum(counts.values())
    rows = {pathlib.Path(path).stem: item["rows"] for path, item in summary["inputs"].items()}
    assert rows == counts
    for seed, (stem, count) in enumerate(counts.items()):
        assert scores(task, stem)["row"] == list(range(1, count + 1))
        assert scores(task, stem)["item"] == small_models.rows("numbers", count, seed)["item"]
    origin = json.loads(pq.read_metadata(parts(task)[4]).metadata[b"tafe_tf"])
    assert origin["input"]["path"] == str(inputs / f"c.{extension}")
    assert origin["model"] == str(exports["numbers"])
    assert (origin["part"], origin["rows"], origin["last"]) == (1, 1, True)
    before = stamps(parts(task))
    assert scoring.run(task) == summary  # nothing left to do
    assert stamps(parts(task)) == before


def test_bad_rows_stop_the_job_or_are_dropped(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = bad_csv(mkdir(tmp_path / "in") / "a.csv")
    task = job(exports["loans"], path, rows_per_shard=64, keys=("item",))
    rule = r"a.csv: row 140, column 'item': must be an integer. Received: 'seven'"
    with pytest.raises(BadRowError, match=rule):
        scoring.run(task)
    names = [part.name for part in parts(task)]
    assert names == ["a-00000.parquet", "a-00001.parquet"]  # what came before the bad row stands
    before = stamps(parts(task))
    dropping = dataclasses.replace(task, on_bad_row="drop")
    with pytest.raises(BadRowError, match="2 of 200 rows are bad, and --max_bad_rows=1 allows 1: "):
        scoring.run(dataclasses.replace(dropping, max_bad_rows="1"))
    assert not (pathlib.Path(task.output) / "_SUCCESS.json").exists()
    summary = scoring.run(dropping)["inputs"][str(path)]
    assert stamps(before) == before
    assert (summary["parts"], summary["rows"], summary["dropped"]) == (4, 198, 2)
    assert (
        summary["reasons"][0].startswith("dropped 1 rows, the first: ")
        and "row 140" in summary["reasons"][0]
    )
    assert "row 150: must have 5 cells. Received: " in summary["reasons"][1]
    assert scores(task)["row"] == [row for row in range(1, 201) if row not in (140, 150)]
    parts(task)[3].unlink()
    assert (
        scoring.run(dropping)["inputs"][str(path)] == summary
    )  # drops of parts done before are counted too
    with pytest.raises(
        BadRowError, match=f"a-00002.parquet: was scored without some rows; .*{rule}"
    ):
        scoring.run(task)


def test_a_bad_file_is_mended_and_the_job_goes_on(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    inputs = mkdir(tmp_path / "in")
    write(inputs / "a.csv", small_models.rows("loans", 10))
    (inputs / "b.csv").write_text("user\nu 1\n")
    rule = "column 'item' is missing; the columns are user"
    with pytest.raises(DataError, match=f"b.csv: {rule}"):
        scoring.run(job(exports["loans"], inputs / "*"))
    before = parts(job(exports["loans"], inputs / "*"))
    assert [part.name for part in before] == ["a-00000.parquet"]
    (inputs / "b.csv").write_text("user,item\nu 1,1\n")
    assert scoring.run(job(exports["loans"], inputs / "*"))["rows"] == 11


def test_an_empty_part_among_full_ones_is_scored_as_one(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    inputs = mkdir(tmp_path / "in")
    write(inputs / "a.csv", small_models.rows("loans", 10))
    (inputs / "b.csv").write_text("")
    (inputs / "c.csv").write_text("user,item\n")
    (inputs / "_SUCCESS").write_text("")
    task = job(exports["loans"], inputs / "*")
    summary = scoring.run(task)
    assert [item["rows"] for item in summary["inputs"].values()] == [10, 0, 0]
    assert scores(task)["row"] == list(range(1, 11))
    assert scoring.run(task) == summary  # nothing is left to do
    (inputs / "a.csv").unlink()
    empty = job(exports["loans"], inputs / "*.csv", output="empty")
    with pytest.raises(JobError, match=r"b.csv, .*c.csv: holds no rows"):
        scoring.run(empty)


def test_the_summary_tells_which_values_are_missing_and_unseen(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    columns = small_models.rows("shop", 250)
    columns["user"] = [f"new {i}" if i % 4 == 0 else user for i, user in enumerate(columns["user"])]
    columns["hour"] = [None if i % 10 == 0 else hour for i, hour in enumerate(columns["hour"])]
    write(mkdir(tmp_path / "in") / "a.parquet", columns)
    task = job(exports["shop"], tmp_path / "in" / "a.parquet", rows_per_shard=64, batch_size=30)
    summary = scoring.run(task)
    run = small_models.run_of(exports["shop"])
    known = set((run.path / "vocabulary" / "user.txt").read_text().splitlines())
    unseen = [user for user in columns["user"] if user not in known]
    tags = [tag for row in columns["tags"] for tag in row[:3]]  # type: ignore[index]
    fields = summary["fields"]
    assert fields["unseen"]["user"] == len(unseen) / 250 > 0.2
    assert fields["missing"]["hour"] == 0.1
    assert fields["missing"]["price"] == columns["price"].count(None) / 250
    assert fields["values"] == {
        "user": 250,
        "item": 250,
        "hour": 250,
        "price": 250,
        "tags": len(tags),
    }
    statistics = json.loads((run.path / "statistics.json").read_text())
    assert summary["training"] == {kind: statistics[kind] for kind in ("missing", "unseen")}


def test_a_model_that_does_not_tell_scores_all_the_same(
    old_export: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    write(mkdir(tmp_path / "in") / "a.parquet", small_models.rows("numbers", 20))
    summary = scoring.run(job(old_export, tmp_path / "in" / "a.parquet"))
    assert (summary["rows"], summary["fields"]) == (20, None)


def test_fields_are_counted_only_where_they_are_asked_for(loans: Job) -> None:
    path = loans.inputs[0].path
    columns = [column.name for column in loans.schema.inputs]
    (block,) = read_blocks([path], loans.schema, bad_rows=BadRows(), columns=columns)
    asked: list[str] = []

    class Counting(SessionModel):
        def __call__(
            self,
            columns: Mapping[str, Any],
            signature: str = DEFAULT_SIGNATURE,
            *,
            stock: bool = False,
        ) -> dict[str, np.ndarray]:
            asked.append(signature)
            return super().__call__(columns, signature, stock=stock)

    model = Counting(loans.model)
    with contextlib.closing(model), ThreadPoolExecutor(1) as workers:
        found, fields = block_scores.score_block(model, loans, block, workers)
        assert fields is not None and asked.count("fields") == asked.count("serving_default")
        del asked[:]
        again, none = block_scores.score_block(model, loans, block, workers, counts_fields=False)
    assert none is None and set(asked) == {"serving_default"}
    for name, values in found.items():
        np.testing.assert_array_equal(again[name], values)
