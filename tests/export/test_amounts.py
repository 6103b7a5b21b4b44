"""The outputs of an amount and the score of an export, against NumPy and the trained model."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from amount_runs import COLUMNS, SCORE, TEST, make_run
from scipy.special import expit
from twins import amounts as twin

from tafe_tf.data.formats.write import write
from tafe_tf.export.first_rows import score_first_rows
from tafe_tf.export.gate import check
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.session_model import SessionModel
from tafe_tf.training.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("amounts"))


@pytest.fixture(scope="module")
def version(run: Run, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    export = tmp_path_factory.mktemp("export")
    return publish(run.directory, export / "models", ExportConfig(version=1))


@pytest.fixture(scope="module")
def served(version: pathlib.Path) -> Iterator[SessionModel]:
    with contextlib.closing(SessionModel(version)) as model:
        yield model


def in_numpy(run: Run) -> dict[str, np.ndarray]:
    """All outputs in float64, from what the model in Python gives."""
    inputs = run.features({name: tf.constant(values) for name, values in COLUMNS.items()})
    outputs = np.array(run.model(inputs), np.float64)
    f = expit(np.minimum.accumulate(outputs[:, :2], axis=1))
    given = twin.means(outputs[:, 2], outputs[:, 3])
    return {
        "ctr": f[:, 0],
        "ctcvr": f[:, 1],
        "cvr": f[:, 1] / f[:, 0],
        "amount_given_conversion": given,
        "expected_amount": f[:, 1] * given,
    }


def test_served_amounts_are_the_trained_ones(run: Run, served: SessionModel) -> None:
    expected = in_numpy(run)
    outputs = served(COLUMNS)
    assert set(outputs) == set(expected)
    predicted = run.predict(COLUMNS)
    for name, values in expected.items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5)
        np.testing.assert_allclose(predicted[name], values, rtol=1e-5)
    for name in ("amount_given_conversion", "expected_amount"):
        alone = served(COLUMNS, name)
        assert set(alone) == {name}
        np.testing.assert_array_equal(alone[name], outputs[name])


def test_the_score_is_the_formula(run: Run, served: SessionModel) -> None:
    expected = in_numpy(run)
    bid = np.linspace(0.0, 3.0, 500, dtype=np.float32)
    wanted = (
        expected["ctcvr"] * np.sqrt(expected["amount_given_conversion"]) * bid.astype(float) ** 2
    )
    found = served({**COLUMNS, "bid": bid}, "score")
    assert set(found) == {"score"}
    np.testing.assert_allclose(found["score"], wanted, rtol=1e-5)
    assert "bid" not in served.signatures["serving_default"].inputs


def test_rank_score_scores_the_items_for_the_one_user(served: SessionModel) -> None:
    bid = np.full(500, 2.0, np.float32)
    one_user = {**COLUMNS, "field_0": COLUMNS["field_0"][:1], "bid": bid}
    same_user = {**COLUMNS, "field_0": np.repeat(COLUMNS["field_0"][:1], 500), "bid": bid}
    ranked = served(one_user, "rank_score")["score"]
    np.testing.assert_allclose(ranked, served(same_user, "score")["score"], rtol=1e-6)


def test_the_card_tells_of_amounts_and_the_score(version: pathlib.Path) -> None:
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    assert card["outputs"]["amounts"] == ["amount_given_conversion", "expected_amount"]
    assert card["score"] == dict(SCORE.powers)
    assert "bid" not in [column["name"] for column in card["inputs"]]


def test_the_gate_tells_that_an_amount_is_no_probability(version: pathlib.Path) -> None:
    found = check(version)
    assert any("probabilities add up" in line for line in found)


def test_the_first_rows_show_amounts(version: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.parquet"
    write(path, {name: values.tolist() for name, values in TEST.items()})
    table = score_first_rows(version.parent, path, 3)
    assert [str(column.header) for column in table.columns][-3:] == [
        "amount_given_conversion",
        "expected_amount",
        "reached",
    ]


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_calibrated_steps_leave_the_amount_given_them(
    run: Run, tmp_path: pathlib.Path, kind: str
) -> None:
    config = ExportConfig(version=1, calibration=kind)  # type: ignore[arg-type]
    version = publish(run.directory, tmp_path / "models", config)
    with contextlib.closing(SessionModel(version)) as model:
        found = model(COLUMNS)
    given = in_numpy(run)["amount_given_conversion"]
    np.testing.assert_allclose(found["amount_given_conversion"], given, rtol=1e-5)
    np.testing.assert_allclose(found["expected_amount"], found["ctcvr"] * given, rtol=1e-5)
