"""What selectors do, against NumPy's twin of the model and scikit-learn's principal components."""

from __future__ import annotations

import pathlib
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from twins import tafe as twin

from tafe_tf.insight.figures import charts
from tafe_tf.insight.figures.selector import (
    EMBEDDINGS,
    Probe,
    Selection,
    SelectionCounts,
    by_rate,
    has_selectors,
    plane,
    reading,
    smooth_steps,
)
from tafe_tf.layers import GammaSchedule
from tafe_tf.models import AITM, TAFE


@pytest.fixture(scope="module")
def model() -> TAFE:
    """A TAFE whose selectors are in part open, in part closed."""
    settings: dict[str, Any] = {"embedding_dim": 4, "num_inducing": 6, "num_layers": 2}
    model = TAFE(field_rows=[20, 30, 10], num_tasks=2, embedding_stddev=1.0, **settings)
    model.gamma.step.assign(48_000)  # gamma is 0.4
    return model


def ids(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, [20, 30, 10], (count, 3))


def twin_z(model: TAFE, h: np.ndarray) -> np.ndarray:
    """z of each block by NumPy, [B, L, K]."""
    p = twin.values(twin.variables(model))
    gamma = max(10 - 2e-4 * 48_000, 1e-3)
    found = []
    y = h
    for i in range(2):
        of_block = twin.of_layer(p, f"block{i}")
        found.append(twin.select(of_block, y, gamma))
        y = twin.block(of_block, y, gamma, 2, "query" if i == 0 else "input")
    return np.stack(found, axis=1)


def test_z_and_embeddings_are_those_of_the_twin(model: TAFE) -> None:
    rows = ids(200)
    probe = Probe(model)
    outputs, z, embeddings = probe.split(np.asarray(probe(rows)))
    np.testing.assert_array_equal(outputs, np.asarray(model(rows)))
    h = np.asarray(model.embed(rows, False)).astype(np.float64)
    np.testing.assert_allclose(embeddings, h.reshape(200, -1), atol=1e-6)
    expected = twin_z(model, h)
    np.testing.assert_allclose(z, expected, atol=2e-5)
    assert (expected == 0).any() and (expected == 1).any()

    counts = SelectionCounts(2, 6)
    counts.add(z[:90], embeddings[:90])
    counts.add(z[90:], embeddings[90:])
    selection = counts.result()
    np.testing.assert_allclose(selection.openings, expected.mean(axis=2), atol=1e-5)
    assert np.abs(selection.rates - (expected > 0).mean(axis=2)).mean() < 0.01
    np.testing.assert_allclose(selection.unit_means, expected.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(selection.unit_deviations, expected.std(axis=0), atol=1e-5)
    is_hard = (expected == 0) | (expected == 1)
    np.testing.assert_allclose(selection.hard, is_hard.mean(axis=(0, 2)), atol=0.01)
    np.testing.assert_array_equal(selection.embeddings, embeddings)


def test_only_tafe_with_its_blocks_has_selectors(model: TAFE) -> None:
    assert has_selectors(model)
    assert not has_selectors(TAFE(field_rows=[9], num_tasks=2, num_layers=1, use_asrg=False))
    assert not has_selectors(AITM(field_rows=[9], num_tasks=2))


def test_a_sample_of_the_embeddings_is_kept() -> None:
    counts = SelectionCounts(1, 1)
    for start in range(0, 50_000, 5000):
        numbers = np.arange(start, start + 5000, dtype=np.float32)
        counts.add(np.zeros((5000, 1, 1), np.float32), numbers[:, None])
    kept = counts.result()
    assert EMBEDDINGS <= len(kept.sampled) <= 2 * EMBEDDINGS
    np.testing.assert_array_equal(kept.embeddings[:, 0], kept.sampled)
    assert len(set(np.diff(kept.sampled).tolist())) == 1
    assert len(kept.rates) == 50_000


def of_z(z: np.ndarray) -> Selection:
    counts = SelectionCounts(z.shape[1], z.shape[2])
    counts.add(z.astype(np.float32), np.arange(len(z) * 2, dtype=np.float32).reshape(-1, 2))
    return counts.result()


@pytest.mark.parametrize(
    ("kind", "hardness", "difference", "collapse"),
    [
        ("hard", "hard: 100.0%", "differs between rows", "no: 0 of 8 units"),
        ("soft", "soft: 0.0%", "treats all rows alike", "no: 0 of 8 units"),
        ("closed", "hard: 100.0%", "treats all rows alike", "collapsed: all units"),
        ("fixed", "hard: 100.0%", "treats all rows alike", "nearly constant: 3 of 8 units"),
        ("half", "partly hard: 50.0%", "differs between rows", "no: 4 of 8 units"),
    ],
)
def test_the_plain_reading(kind: str, hardness: str, difference: str, collapse: str) -> None:
    rng = np.random.default_rng(0)
    z = {
        "hard": rng.integers(0, 2, (100, 1, 8)),
        "soft": np.full((100, 1, 8), 0.4) + 0.001 * rng.random((100, 1, 8)),
        "closed": np.zeros((100, 1, 8)),
        "fixed": np.broadcast_to((np.arange(8) > 2).astype(float), (100, 1, 8)),
        "half": np.concatenate([np.zeros((100, 1, 4)), rng.uniform(0.2, 0.8, (100, 1, 4))], axis=2),
    }[kind]
    said = reading(of_z(z), 0)
    assert said.hardness.startswith(hardness)
    assert said.difference.startswith(difference)
    assert said.collapse.startswith(collapse)


def test_rows_with_high_middle_and_low_rates() -> None:
    rng = np.random.default_rng(0)
    open_units = rng.permutation(1000) % 11
    z = (np.arange(10) < open_units[:, None]).astype(float)[:, None, :]
    groups = by_rate(of_z(z), 0)
    assert [len(groups[name]) for name in ("high", "middle", "low")] == [10, 10, 10]
    assert set(open_units[groups["high"]]) == {10}
    assert set(open_units[groups["low"]]) == {0}
    assert set(open_units[groups["middle"]]) == {5}


def test_the_plane_is_that_of_principal_components() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 7)) @ rng.normal(size=(7, 7))
    places, shown = plane(vectors)
    reference = PCA(n_components=2).fit(vectors)
    np.testing.assert_allclose(np.abs(places), np.abs(reference.transform(vectors)), atol=1e-9)
    assert shown == pytest.approx(reference.explained_variance_ratio_.sum())
    flat, shown = plane(np.ones((5, 1)))
    assert flat.shape == (5, 2) and shown == 1.0


def test_f_d_at_steps_of_a_run() -> None:
    gamma = GammaSchedule(start=4.0, end=0.5, decay_steps=100)
    gamma.step.assign(50)
    z, curves = smooth_steps(gamma, points=41)
    widths = {"step 0, gamma 4 (start)": 4.0, "step 25, gamma 3": 3.0}
    widths |= {"step 50, gamma 2 (this model)": 2.0, "step 75, gamma 1 (to come)": 1.0}
    widths |= {"step 100, gamma 0.5 (to come)": 0.5}
    assert list(curves) == list(widths)
    for name, width in widths.items():
        np.testing.assert_allclose(curves[name], twin.smooth_step(z, width), atol=1e-12)


def test_figures_are_files(model: TAFE, tmp_path: pathlib.Path) -> None:
    probe = Probe(model)
    _, z, embeddings = probe.split(np.asarray(probe(ids(300))))
    counts = SelectionCounts(2, 6)
    counts.add(z, embeddings)
    selection = counts.result()
    figures = charts.figure_5(model.gamma)
    figures |= charts.figure_7a(selection) | charts.figure_7b(selection)
    names = charts.write_figures(tmp_path / "new" / "folder", figures)
    assert "figure_7b_block_2.svg" in names
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)
    for name in names:
        ElementTree.fromstring((tmp_path / "new" / "folder" / name).read_text())
    assert [row[0] for row in charts.readings(selection, 0.4).rows] == ["block 1", "block 2"]
    drawn = figures["figure_7a"].table().rows
    assert sum(float(row[2] or 0) for row in drawn) == pytest.approx(2.0)
