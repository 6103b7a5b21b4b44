"""Exports: every signature, calibration, storage, the gate and rollback, on untrained tiny funnels."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import small_models
import tensorflow as tf
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from tafe_tf.export import calibration, model_card, saved_model, warmup
from tafe_tf.export.check import ExportError, check, probe_rows
from tafe_tf.export.rollback import rollback
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import examples
from tafe_tf.export.table_storage import StoredTable, embeddings
from tafe_tf.training.run_dir import RunDir, RunError

FUNNELS = sorted(small_models.SCHEMAS)


def run_of(path: pathlib.Path) -> RunDir:
    """The run that a shared export was made from."""
    return RunDir(path.parents[1] / "run")


@pytest.fixture(params=FUNNELS)
def served(
    request: pytest.FixtureRequest, exports: dict[str, pathlib.Path]
) -> Iterator[tuple[RunDir, SessionModel]]:
    """One export after the other, in a session."""
    run, path = run_of(exports[request.param]), exports[request.param]
    model = SessionModel(path)
    yield run, model
    model.close()


def in_numpy(run: RunDir, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The served probabilities in float64, from the logits of the model in Python."""
    model, features = run.load_best(), run.features()
    logits = np.array(
        model(features({name: tf.constant(values) for name, values in rows.items()})), np.float64
    )
    f = expit(np.minimum.accumulate(logits, axis=1))
    schema = features.schema
    steps = dict(zip(schema.step_names, f.T, strict=True))
    return {**steps, **dict(zip(schema.conditional_names, (f[:, 1:] / f[:, :-1]).T, strict=True))}


@pytest.mark.parametrize("size", [1, 33])
def test_every_signature_is_the_model(served: tuple[RunDir, SessionModel], size: int) -> None:
    run, model = served
    schema = run.schema()
    rows = probe_rows(schema, run.path / "vocabulary", size, seed=3)
    expected = in_numpy(run, rows)
    names = {"serving_default", "examples", *schema.step_names, *schema.conditional_names}
    if schema.user_inputs:
        names.add("rank")
    assert set(model.signatures) == names
    asked = {name: rows for name in names - {"examples", "rank"}}
    asked["examples"] = {"examples": examples(schema, rows)}
    for name, inputs in asked.items():
        outputs = model(inputs, name)
        assert set(outputs) == ({name} if name in expected else set(expected))
        for output, values in outputs.items():
            np.testing.assert_allclose(
                values, expected[output], rtol=0, atol=3e-6
            )  # logits of probes are large
    if "rank" in names:
        user = {name: rows[name][:1] for name in schema.user_inputs}
        everybody = {
            **rows,
            **{name: np.repeat(values, size, axis=0) for name, values in user.items()},
        }
        expected = in_numpy(run, everybody)
        for output, values in model({**rows, **user}, "rank").items():
            np.testing.assert_allclose(values, expected[output], rtol=0, atol=3e-6)


def test_only_tables_are_variables(served: tuple[RunDir, SessionModel]) -> None:
    run, model = served
    functions = model.graph.as_graph_def().library.function
    nodes = [n for f in functions if "traced_save" not in f.signature.name for n in f.node_def]
    assert {"ResourceGather", "Const"} <= {n.op for n in nodes}
    assert not [n.name for n in nodes if n.op == "ReadVariableOp"]  # dense weights are constants
    shapes = [
        shape
        for name, shape in tf.train.list_variables(str(model.path / "variables" / "variables"))
        if shape
    ]
    assert shapes == [[sum(run.features().rows), 4]]


def test_warmup_asks_every_signature(served: tuple[RunDir, SessionModel]) -> None:
    run, model = served
    asked = [request.model_spec.signature_name for request in warmup.read(model.path)]
    assert sorted(asked) == sorted(list(model.signatures) * len(warmup.SIZES))
    first = next(
        r for r in warmup.read(model.path) if r.model_spec.signature_name == "serving_default"
    )
    item = int(tf.make_ndarray(first.inputs["item"])[0])
    assert item in small_models.rows(run.schema().name, 600)["item"]  # a real row


def test_card(served: tuple[RunDir, SessionModel]) -> None:
    run, model = served
    written = json.loads((model.path / model_card.FILE).read_text())
    assert written["test_metrics"] == json.loads((run.path / "metrics.json").read_text())
    assert written["columns"] == [
        {"name": c.name, "dtype": c.dtype, "list": c.max_length > 0} for c in run.schema().inputs
    ]
    assert set(written["signatures"]) == set(model.signatures)
    assert (
        written["data_hash"] == json.loads((run.path / "statistics.json").read_text())["made_from"]
    )
    assert (written["calibration"], written["embedding_storage"]) == ("none", "float32")


@pytest.mark.slow
def test_two_exports_differ_in_time_stamps_only(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    run = run_of(exports["numbers"])
    command = [
        sys.executable,
        "-m",
        "tafe_tf.export.saved_model",
        f"--run_dir={run.path}",
        f"--export_dir={tmp_path}",
    ]
    contents = []
    for version in (1, 2):
        subprocess.run([*command, f"--version={version}"], check=True, capture_output=True)
        files = sorted(p for p in (tmp_path / str(version)).rglob("*") if p.is_file())
        contents.append(
            {str(p.relative_to(tmp_path / str(version))): p.read_bytes() for p in files}
        )
    cards = [json.loads(files.pop(str(model_card.FILE))) for files in contents]
    for written in cards:
        assert written.pop("created").endswith("+00:00")
    assert cards[0] == cards[1]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("kind", calibration.KINDS)
@pytest.mark.parametrize("stored", [pytest.param("float16", marks=pytest.mark.slow), "int8"])
def test_calibrated_and_stored_in_fewer_bits(
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    kind: calibration.Kind,
    stored: str,
) -> None:
    run = small_models.make_run(
        tmp_path, "shop", seed=9
    )  # weights whose logits happen to rise with the labels
    path = saved_model.export(run, tmp_path / "export", 1, calibrate=kind, stored=stored)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert "600 test rows: trained, and as exported" in out and "AUC" in out
    written = json.loads((path / model_card.FILE).read_text())
    assert written["calibration"]["kind"] == kind and written["embedding_storage"] == stored
    dtypes = {name: dtype.name for name, dtype in variables(path).items()}
    assert stored in dtypes.values()
    held_out = next(run.held_out(10_000).evaluation_batches("valid"))
    outputs, labels = SessionModel(path)(held_out.inputs), held_out.labels
    assert np.all(outputs["ctcvr"] <= outputs["ctr"])
    assert outputs["ctr"].sum() == pytest.approx(labels[:, 0].sum(), rel=1e-4)


def variables(path: pathlib.Path) -> dict[str, tf.DType]:
    reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    return dict(reader.get_variable_to_dtype_map())


def test_stored_tables(exports: dict[str, pathlib.Path]) -> None:
    (layer,) = embeddings(run_of(exports["shop"]).load_best())
    table = layer.table.numpy()
    rows = np.array([[0, 5], [7, 5]])
    for stored, bound, size in (("float32", 0.0, 16), ("float16", 2**-11, 8), ("int8", 1 / 254, 8)):
        small = StoredTable(layer.table, stored)  # type: ignore[arg-type]
        scale = np.abs(table[rows]).max(axis=-1, keepdims=True)
        assert np.all(np.abs(small(rows).numpy() - table[rows]) <= bound * scale * (1 + 1e-6))
        assert sum(part.numpy().nbytes for part in small.variables) == len(table) * size
    layer.table.assign(np.zeros_like(table))
    np.testing.assert_array_equal(StoredTable(layer.table, "int8")(rows), np.zeros((2, 2, 4)))


def test_platt_is_the_logistic_regression_of_scikit_learn() -> None:
    logits, labels, weights = drawn(5000)
    curves = calibration.fit("platt", logits, labels, weights)
    calibrated = curves(tf.constant(logits)).numpy()
    for i in range(2):
        model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
        model.fit(logits[:, i : i + 1], labels[:, i], weights)
        np.testing.assert_allclose(
            calibrated[:, i], model.decision_function(logits[:, i : i + 1]), atol=1e-4
        )


def test_isotonic_follows_scikit_learn_and_keeps_the_order() -> None:
    logits, labels, weights = drawn(20_000)
    curves = calibration.fit("isotonic", logits, labels, weights)
    calibrated = expit(curves(tf.constant(logits)).numpy().astype(np.float64))
    for i in range(2):
        expected = (
            IsotonicRegression().fit(logits[:, i], labels[:, i], weights).predict(logits[:, i])
        )
        assert np.abs(calibrated[:, i] - expected).mean() < 0.01
        assert (weights * calibrated[:, i]).sum() == pytest.approx(
            (weights * labels[:, i]).sum(), rel=1e-5
        )
        order = np.argsort(logits[:, i])
        assert np.all(np.diff(calibrated[order, i]) >= -1e-7)
        assert (
            np.abs(calibrated[:, i] - truth(logits)[:, i]).mean()
            < np.abs(expit(logits) - truth(logits))[:, i].mean()
        )


def test_calibration_needs_both_labels_and_rising_logits() -> None:
    logits, labels, weights = drawn(200)
    with pytest.raises(
        calibration.CalibrationError,
        match=r"step 2: its held-out labels are all equal \(200 rows\)",
    ):
        calibration.fit("isotonic", logits, labels * [1, 0], weights)
    with pytest.raises(
        calibration.CalibrationError, match="step 1: its held-out labels fall where its logits rise"
    ):
        calibration.fit("platt", np.minimum(-logits, 0), labels, weights)


def truth(logits: np.ndarray) -> np.ndarray:
    return np.asarray(expit(0.6 * logits.astype(np.float64) - 0.5))


def drawn(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits that are off by a known line, labels and weights; exact to float32's rounding."""
    rng = np.random.default_rng(0)
    first = rng.normal(-1.0, 1.5, n)
    logits = np.stack([first, first - rng.exponential(1.0, n)], axis=1).astype(np.float32)
    uniform = rng.random(
        (n, 1)
    )  # one draw for both steps: a later one happens only after the earlier
    return (
        logits,
        (uniform < truth(logits)).astype(np.float32),
        rng.uniform(0.1, 2.0, n).astype(np.float32),
    )


def test_the_gate_finds_what_is_wrong(
    exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    path = shutil.copytree(exports["numbers"], tmp_path / "1")
    assert len(check(path)) == 4
    file = path / warmup.FILE
    good = file.read_bytes()
    file.write_bytes(good[:-3])
    with pytest.raises(ExportError, match="warm-up: "):
        check(path)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(b"\xff" * 9)
    with pytest.raises(ExportError, match="record 1 is no PredictionLog"):
        check(path)
    file.write_bytes(good)
    (path / "saved_model.pb").unlink()
    with pytest.raises(ExportError, match="the session loader cannot load it"):
        check(path)


def test_rollback(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> None:
    with pytest.raises(ExportError, match=r"holds 0 version\(s\), so there is none to go back to"):
        rollback(tmp_path)
    for version in (1, 2, 3):
        shutil.copytree(exports["numbers"], tmp_path / str(version))
    assert rollback(tmp_path) == [tmp_path / "withdrawn-3"]
    with pytest.raises(ExportError, match="7: is no version; there are 1, 2"):
        rollback(tmp_path, 7)
    (tmp_path / "1" / "saved_model.pb").unlink()
    with pytest.raises(ExportError, match="cannot load it"):
        rollback(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "withdrawn-3"]


def test_a_run_whose_data_is_gone(tmp_path: pathlib.Path) -> None:
    run = small_models.make_run(tmp_path, "numbers", count=50)
    (tmp_path / "data" / "train.parquet").unlink()
    with pytest.raises(
        RunError,
        match=r"train.parquet: is gone; bring the data back, or correct the paths in .*data",
    ):
        saved_model.export(run, tmp_path / "export", 1)
    (run.path / "data.json").unlink()
    with pytest.raises(RunError, match="does not say which rows were held out"):
        saved_model.export(run, tmp_path / "export", 1)


def test_logits_of_a_calibration_are_exact_at_its_knots() -> None:
    curve = calibration.Curve(np.array([-1.0, 0.0, 2.0]), logit(np.array([0.1, 0.2, 0.9])))
    at = tf.constant([-9.0, -1.0, -0.5, 0.0, 2.0, 9.0])
    middle = (logit(0.1) + logit(0.2)) / 2
    expected = [logit(0.1), logit(0.1), middle, logit(0.2), logit(0.9), logit(0.9)]
    np.testing.assert_allclose(curve(at), expected, rtol=1e-6)
