"""Drift of a small run: none where there is none, and planted shifts at their size."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_models
from absl import flags
from absl.testing import flagsaver
from scipy.spatial import distance
from tensorflow_serving.apis import prediction_log_pb2

from tafe_tf import drift
from tafe_tf.data.errors import DataError
from tafe_tf.data.record_framing import frame
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.insight.drift.compare import Drift, Thresholds
from tafe_tf.insight.drift.job import find_drift
from tafe_tf.insight.drift.observed import ClusteredCounts
from tafe_tf.serving.wire import tensors
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.run_dir import RunDir

ROWS = 3000
USER_COLUMNS = ("user", "hour")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of "shop", whose profile was made anew, since its weights were changed at its end."""
    made = small_models.make_run(tmp_path_factory.mktemp("drift"), "shop", count=ROWS)
    noted = json.loads((made.path / "profile.json").read_text())
    (made.path / "profile.json").unlink()
    find_drift(made.path, [train_file(made)])
    again = json.loads((made.path / "profile.json").read_text())
    assert {**again, "scores": noted["scores"]} == noted  # from the files as in training
    made.files.check("profile.json")
    return made


def train_file(run: RunDir) -> str:
    return str(run.path.parent / "data" / "train.parquet")


def quiet(text: str) -> None:
    """Hears what is left out, and says nothing."""


def test_training_rows_do_not_differ_from_themselves(run: RunDir) -> None:
    found = find_drift(run.path, [train_file(run)])
    assert (found.rows, found.training_rows) == (ROWS, ROWS)
    assert found.found == []
    assert [part.name for part in found.fields] == ["user", "item", "hour", "price", "tags"]
    for part in found.fields:
        assert all(one.distance == 0.0 for one in part.statistics.values())


def test_other_rows_of_the_same_kind_do_not_drift(run: RunDir, tmp_path: pathlib.Path) -> None:
    for count in (1, 5, 100, 2000):
        path = tmp_path / f"{count}.parquet"
        pq.write_table(pa.table(small_models.rows("shop", count, seed=9)), path)
        assert find_drift(run.path, [str(path)]).found == []


def shifted() -> dict[str, Any]:
    """Test rows: 40 % strangers, 30 % without an hour, higher prices, lists of one tag."""
    rows: dict[str, Any] = small_models.rows("shop", 2000, seed=1)
    rows["user"] = ["stranger" if i % 5 < 2 else user for i, user in enumerate(rows["user"])]
    rows["hour"] = [None if i % 10 < 3 else hour for i, hour in enumerate(rows["hour"])]
    rows["price"] = [None if price is None else 1000 * price for price in rows["price"]]
    for name in ("tags", "tag_weights"):
        rows[name] = [values[:1] for values in rows[name]]
    return rows


def test_planted_shifts_are_found_at_their_size(run: RunDir, tmp_path: pathlib.Path) -> None:
    rows = shifted()
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    found = find_drift(run.path, [str(tmp_path / "rows.parquet")])
    parts = {part.name: part.statistics for part in found.fields}
    assert parts["user"]["unseen"].value == 0.4
    assert parts["user"]["l_infinity"].value == 0.4
    assert "'stranger': more" in parts["user"]["l_infinity"].note
    assert (parts["hour"]["missing"].value, parts["hour"]["missing"].before) == (0.3, 0.0)
    train = pq.read_table(train_file(run)).to_pydict()
    noted = json.loads((run.path / "profile.json").read_text())["columns"]["price"]
    edges = [-np.inf, *np.nextafter(np.float32(noted["edges"]), np.float32(np.inf)), np.inf]
    prices = [np.array([p for p in of["price"] if p], np.float32) for of in (train, rows)]
    shares = [np.histogram(numbers, edges)[0] / len(numbers) for numbers in prices]
    expected = distance.jensenshannon(*shares, base=2) ** 2
    assert parts["price"]["jensen_shannon"].value == pytest.approx(expected, abs=1e-12)
    (of_user,) = [part.histogram for part in found.fields if part.name == "user"]
    assert ("stranger", 0.0, 0.4) in of_user
    for place in (1, 2):
        assert sum(float(row[place]) for row in of_user) == pytest.approx(1.0)
    lengths = [min(len(tags), 3) for tags in train["tags"]]
    assert parts["tags"]["lengths"].value == pytest.approx(1 - lengths.count(1) / ROWS)
    drifted = {(one.of, one.name) for one in found.found}
    assert drifted == {
        ("user", "unseen"),
        ("user", "l_infinity"),
        ("hour", "missing"),
        ("price", "jensen_shannon"),
        ("tags", "lengths"),
    }
    wide = Thresholds(missing=1, unseen=1, l_infinity=1, jensen_shannon=1, psi=99)
    assert find_drift(run.path, [str(tmp_path / "rows.parquet")], wide).found == []


def write_log(path: pathlib.Path, rows: dict[str, Any], size: int, signature: str = "") -> None:
    """Writes rows as calls of so many rows each, with the types that a signature takes."""
    absent = {"user": b"", "item": -1, "hour": -1, "price": np.nan}
    records = []
    for start in range(0, len(rows["item"]), size):
        log = prediction_log_pb2.PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = signature
        for name, nothing in absent.items():
            values = [nothing if x is None else x for x in rows[name][start : start + size]]
            if signature == "rank" and name in USER_COLUMNS:
                values = values[:1]
            kinds = {"user": object, "price": np.float32}
            tensors.encode(np.array(values, kinds.get(name, np.int64)), request.inputs[name])
        lists = rows["tags"][start : start + size]
        longest = max(map(len, lists))
        tags = [[*texts, *[b""] * (longest - len(texts))] for texts in lists]
        tensors.encode(np.array(tags, object), request.inputs["tags"])
        weights = np.ones((len(lists), longest), np.float32)
        tensors.encode(weights, request.inputs["tag_weights"])
        records.append(frame(log.SerializeToString()))
    path.write_bytes(b"".join(records))


def values(found: Drift) -> dict[str, dict[str, float]]:
    """All values by field and statistic."""
    return {
        part.name: {name: one.value for name, one in part.statistics.items()}
        for part in found.fields
    }


def test_a_log_of_rows_says_what_their_file_says(run: RunDir, tmp_path: pathlib.Path) -> None:
    rows = shifted()
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    of_file = find_drift(run.path, [str(tmp_path / "rows.parquet")])
    (tmp_path / "log").mkdir()
    write_log(tmp_path / "log" / "requests-1.tfrecord", rows, 40)
    of_log = find_drift(run.path, [str(tmp_path / "log")])
    assert values(of_log) == values(of_file)
    assert of_log.rows == 2000 and of_log.outputs == []  # no response, no scores
    assert [part.name for part in of_file.outputs] == ["ctr", "ctcvr", "cvr"]


def test_rows_of_few_users_are_few(run: RunDir, tmp_path: pathlib.Path) -> None:
    """Calls for one user each: nothing is known of users from two calls, but of items."""
    rows = small_models.rows("shop", 2000, seed=3)
    write_log(tmp_path / "two", rows, 1000, "rank")
    write_log(tmp_path / "many", rows, 10, "rank")
    two = find_drift(run.path, [str(tmp_path / "two")])
    many = find_drift(run.path, [str(tmp_path / "many")])
    assert two.found == many.found == []
    independent = {part.name: part.independent for part in many.fields}
    assert independent["user"] == pytest.approx(200, rel=0.05)
    assert independent["item"] > 1500
    assert values(two)["user"]["l_infinity"] > 0.4  # which so few calls do by chance


def test_independent_values_of_clusters() -> None:
    chance = np.random.default_rng(0)
    drawn = chance.integers(0, 5, (400, 20))
    alone, repeated = ClusteredCounts(), ClusteredCounts()
    for values_of_call in drawn:
        names, counts = np.unique(values_of_call, return_counts=True)
        alone.add_cluster(dict(zip(names.tolist(), counts.tolist(), strict=True)))
        repeated.add_cluster({int(values_of_call[0]): 20})
    assert alone.effective() == pytest.approx(8000, rel=0.1)
    assert repeated.effective() == pytest.approx(400, rel=0.01)
    single = ClusteredCounts()
    single.add_cluster({"a": 1000})
    assert single.effective() == 1.0


def test_what_is_no_call_of_this_model_is_said(run: RunDir, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    rows = small_models.rows("shop", 50)
    write_log(folder / "requests-1.tfrecord", rows, 10)
    write_log(folder / "requests-2.tfrecord", rows, 25, "describe")
    whole = (folder / "requests-1.tfrecord").read_bytes()
    (folder / "requests-3.tfrecord").write_bytes(whole[:-5])
    (folder / ".requests-4.tfrecord.open").write_bytes(whole)
    said: list[str] = []
    found = find_drift(run.path, [str(folder)], say=said.append)
    assert found.rows == 90
    assert said == [
        f"{folder}: files that are not complete are left out: 1, which are being written or were "
        "left by a process that was killed; name one to read it",
        f"{folder}/requests-3.tfrecord: ends inside record 5, which is left out",
        "2 calls are left out: of signature 'describe', which scores no columns",
    ]
    open_file = str(folder / ".requests-4.tfrecord.open")
    assert find_drift(run.path, [open_file]).rows == 50
    assert find_drift(run.path, [str(folder / "requests-[13].*")], say=quiet).rows == 90
    only_open = tmp_path / "begun"
    only_open.mkdir()
    (only_open / ".requests-1.tfrecord.open").write_bytes(whole)
    with pytest.raises(DataError, match="begun: no file of the log is complete yet; wait"):
        find_drift(run.path, [str(only_open)], say=quiet)
    with pytest.raises(DataError, match="holds no call for rows of this model"):
        find_drift(run.path, [str(folder / "requests-2.tfrecord")], say=quiet)


@pytest.mark.slow
def test_an_export_compares_as_its_run(run: RunDir, tmp_path: pathlib.Path) -> None:
    exported = publish(run, tmp_path / "export", ExportConfig(version=1, embedding_storage="int8"))
    pq.write_table(pa.table(shifted()), tmp_path / "rows.parquet")
    sources = [str(tmp_path / "rows.parquet")]
    of_run, of_export = find_drift(run.path, sources), find_drift(exported, sources)
    of_highest = find_drift(exported.parent, sources)
    assert of_highest.as_json() == of_export.as_json()
    assert [part.as_json() for part in of_export.fields] == [
        part.as_json() for part in of_run.fields
    ]
    test_rows = [str(run.path.parent / "data" / "test.parquet")]
    for part in find_drift(exported, test_rows).outputs:  # those of int8
        assert part.statistics["psi"].value < 1e-3
    scores = [json.loads(path.read_text())["scores"] for path in profiles(run, exported)]
    assert scores[0]["ctr"]["edges"] != scores[1]["ctr"]["edges"]
    (exported / "assets.extra" / "profile.json").unlink()
    with pytest.raises(DataError, match=r"has no assets\.extra/profile\.json"):
        find_drift(exported, sources)


def profiles(run: RunDir, exported: pathlib.Path) -> list[pathlib.Path]:
    return [run.path / "profile.json", exported / "assets.extra" / "profile.json"]


def test_the_command_says_by_its_code_whether_there_is_drift(
    run: RunDir, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"same": small_models.rows("shop", 500, seed=4), "shifted": shifted()}
    for name, table in rows.items():
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")

    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])

    def called(*arguments: str, **given: Any) -> Any:
        """The exit code, 0 without one; for an error its message."""
        with flagsaver.flagsaver(**given):
            try:
                drift.main(["drift", *arguments])
            except SystemExit as end:
                return end.code
        return 0

    same, moved = (str(tmp_path / f"{name}.parquet") for name in rows)
    assert called(str(run.path), same) == 0
    assert "no drift beyond the thresholds" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert called(str(run.path), moved, html=str(page)) == drift.DRIFT == 3
    said = "40.00% unseen, 0.00% in training"
    assert f"drift: field 'user': {said}" in capsys.readouterr().out
    assert said in page.read_text() and "stranger" in page.read_text()
    for path, count in ((same, 0), (moved, 5)):
        called(str(run.path), path, json=True)
        assert len(json.loads(capsys.readouterr().out)["drift"]) == count
    rule = "two arguments or more must be given: a run or an export, and rows. Received: "
    for arguments, start in (
        ([str(run.path)], rule),
        ([str(run.path), "/nowhere/rows.csv"], "/nowhere/rows.csv"),
        (["/nowhere/run", "x.csv"], "/nowhere/run"),
    ):
        error = called(*arguments)
        assert error.startswith(f"error: {start}") and "\n" not in error


def test_a_profile_is_made_whole_or_not_at_all(
    run: RunDir, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    (copy / "profile.json").unlink()

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Evaluator, "predict", killed)
        with pytest.raises(KeyboardInterrupt):
            find_drift(copy, [train_file(run)])
    assert not (copy / "profile.json").exists()
    assert [part.name for part in find_drift(copy, [train_file(run)]).outputs]


def test_a_run_without_profile_and_rows_says_so(run: RunDir, tmp_path: pathlib.Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / "run")
    (copy / "profile.json").unlink()
    noted = json.loads((copy / "data.json").read_text())
    (copy / "data.json").write_text(json.dumps({**noted, "train_files": ["/nowhere/t.csv"]}))
    with pytest.raises((OSError, ValueError), match=r"/nowhere/t\.csv"):
        find_drift(copy, [train_file(run)])


def write_calls(path: pathlib.Path, *calls: prediction_log_pb2.PredictionLog) -> None:
    path.write_bytes(b"".join(frame(call.SerializeToString()) for call in calls))


def call_of(
    inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray] | None = None
) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    for name, values in inputs.items():
        tensors.encode(values, log.predict_log.request.inputs[name])
    for name, values in (outputs or {}).items():
        tensors.encode(values, log.predict_log.response.outputs[name])
    return log


def shop_inputs(count: int) -> dict[str, np.ndarray]:
    """Inputs of "shop" as its signature takes them; users and tags hold zero bytes."""
    return {
        "user": np.array([b"u\x00 1", b"\x00\xff"] * count, object)[:count],
        "item": np.arange(count),
        "hour": np.arange(count) % 24,
        "price": np.linspace(1, 9, count, dtype=np.float32),
        "tags": np.full((count, 2), b"t\x001", object),
        "tag_weights": np.ones((count, 2), np.float32),
    }


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"item": np.arange(3, dtype=np.int32)}, "input 'item' is of another type or shape"),
        ({"price": np.arange(3)}, "input 'price' is of another type or shape"),
        ({"hour": np.zeros((3, 1), np.int64)}, "input 'hour' is of another type or shape"),
        ({"user": np.arange(3)}, "input 'user' is of another type or shape"),
        ({"ctr": np.zeros((3, 1), np.float32)}, "output 'ctr' is of another type or shape"),
        ({"ctr": np.array([b"a", b"b", b"c"], object)}, "output 'ctr' is of another type or shape"),
    ],
)
def test_calls_of_another_model_with_the_same_names_are_left_out(
    run: RunDir, tmp_path: pathlib.Path, changed: dict[str, np.ndarray], reason: str
) -> None:
    inputs = {**shop_inputs(3), **{k: v for k, v in changed.items() if k != "ctr"}}
    outputs = {k: v for k, v in changed.items() if k == "ctr"}
    fitting = {"ctr": np.full(3, 0.25, np.float32)}
    path = tmp_path / "log.tfrecord"
    write_calls(path, call_of(shop_inputs(3), fitting), call_of(inputs, outputs))
    said: list[str] = []
    assert find_drift(run.path, [str(path)], say=said.append).rows == 3
    assert said == [f"1 call is left out: {reason}"]


def test_a_pattern_may_name_logs_and_a_folder_may_hold_other_files(
    run: RunDir, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    write_calls(folder / "b.tfrecord", call_of(shop_inputs(3)))
    write_calls(folder / "c.tfrecord", call_of(shop_inputs(4)))
    (folder / "a.tfrecord").write_bytes(b"")  # of a writer that had nothing to write
    (folder / "notes.txt").write_text("of Tuesday")
    assert find_drift(run.path, [str(folder)]).rows == 7
    assert find_drift(run.path, [f"{folder}/[bc].tfrecord"]).rows == 7
    assert find_drift(run.path, [f"{folder}/b*", train_file(run)]).rows == 3 + ROWS


def test_json_stands_alone(
    run: RunDir, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.tfrecord"
    write_calls(path, call_of(shop_inputs(3)), call_of({}))
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    with flagsaver.flagsaver(json=True):
        drift.main(["drift", str(run.path), str(path)])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rows"] == 3
    assert "1 call is left out: no Predict calls" in printed.err


def test_a_log_with_long_histories_has_the_drift_of_their_file(tmp_path: pathlib.Path) -> None:
    made = small_models.make_run(tmp_path, "stories")  # histories of up to 8, of which 4 are read
    rows = small_models.rows("stories", 400, seed=5)
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    lists: dict[str, np.ndarray] = {}
    for name, dtype, absent in (("history", object, b""), ("history_age", np.float32, np.nan)):
        filled = np.full((400, 9), absent, dtype)  # filled up behind the end, as a client does
        for number, texts in enumerate(rows[name]):
            filled[number, : len(texts)] = texts  # type: ignore[arg-type]
        lists[name] = filled
    calls = []
    for number in range(400):
        inputs = {name: filled[[number]] for name, filled in lists.items()}
        for name in ("user", "hour"):
            inputs[name] = np.array(rows[name][number : number + 1], np.int64)
        inputs["item"] = np.array(rows["item"][number : number + 1], object)
        calls.append(call_of(inputs))
    write_calls(tmp_path / "log.tfrecord", *calls)
    of_file = find_drift(made.path, [str(tmp_path / "rows.parquet")])
    of_log = find_drift(made.path, [str(tmp_path / "log.tfrecord")])
    assert values(of_log) == values(of_file)
