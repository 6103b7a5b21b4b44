"""Buckets by quantiles, from a file of training rows to ids, against NumPy."""

import json
import math
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.data.manifest import ManifestError
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.schema import FIRST, MISSING, Feature, Schema, SchemaError, Task

PRICE = Feature(name="price", kind="quantile", buckets=8)
AGE = Feature(name="age", kind="quantile")
SIZES = Feature(name="sizes", kind="quantile", buckets=4, max_length=2, pooling="sum")
SAME = Feature(name="same", kind="quantile", buckets=5)
NONE = Feature(name="none", kind="quantile", buckets=3)
HOUR = Feature(name="hour", kind="integer", size=24)
SCHEMA = Schema(
    name="t",
    features=(PRICE, HOUR, AGE, SIZES, SAME, NONE),
    tasks=(Task(name="click"), Task(name="buy")),
    missing=("", "-999"),
)
ROWS = 500
EDGES = {"price": 7, "age": 63, "sizes": 3}


def columns() -> dict[str, list[Any]]:
    rng = np.random.default_rng(5)
    price = rng.lognormal(3, 2, ROWS).astype(np.float32).tolist()
    sizes = [rng.integers(0, 9, n).astype(float).tolist() for n in rng.integers(0, 4, ROWS)]
    return {
        "price": [
            None if i % 11 == 0 else -999.0 if i % 13 == 0 else p for i, p in enumerate(price)
        ],
        "hour": rng.integers(0, 24, ROWS).tolist(),
        "age": rng.normal(40, 12, ROWS).tolist(),
        "sizes": sizes,
        "same": [3.5] * ROWS,
        "none": [None if i else -999.0 for i in range(ROWS)],
        "click": [0] * ROWS,
        "buy": [0] * ROWS,
    }


@pytest.fixture
def built(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the training file and what was learned of it."""
    write(tmp_path / "train.parquet", columns())
    vocabulary.build([str(tmp_path / "train.parquet")], SCHEMA, tmp_path, BadRows())
    return tmp_path


def edges_of(values: list[float], buckets: int) -> np.ndarray:
    """By NumPy."""
    numbers = np.array(values, np.float32)
    shares = np.arange(1, buckets) / buckets
    edges: np.ndarray = np.unique(np.quantile(numbers, shares, method="inverted_cdf"))
    below: np.ndarray = edges[edges < numbers.max()]
    return below


def known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None and value != -999.0]


def test_edges_and_ids_are_numpys(built: pathlib.Path) -> None:
    table = columns()
    features = Features(SCHEMA, built)
    assert features.rows == (2 + 8, 2 + 24, 2 + 64, 2 + 4, 2 + 5, 2 + 3)
    (block,) = read_blocks([str(built / "train.parquet")], SCHEMA, bad_rows=BadRows())
    ids = features(block.columns)["ids"].numpy()
    for feature, place in ((PRICE, 0), (AGE, 2), (SAME, 5)):
        edges = edges_of(known(table[feature.name]), feature.buckets)
        text = (built / "vocabulary" / f"{feature.name}.json").read_text()
        assert json.loads(text) == {"edges": edges.astype(np.float64).tolist()}
        for value, i in zip(table[feature.name], ids[:, place], strict=True):
            if value is None or value == -999.0:
                assert i == MISSING
            else:
                assert i == FIRST + (edges < np.float32(value)).sum()
    held = np.bincount(ids[:, 2], minlength=2 + 64)[FIRST:]
    assert held.min() >= ROWS // 64 and held.max() <= ROWS // 64 + 1
    assert (ids[:, 5] == FIRST).all() and (ids[:, 6] == MISSING).all()


def test_lists_of_numbers(built: pathlib.Path) -> None:
    table = columns()
    edges = edges_of([size for sizes in table["sizes"] for size in sizes[:2]], 4)
    (block,) = read_blocks([str(built / "train.parquet")], SCHEMA, bad_rows=BadRows())
    made = Features(SCHEMA, built)(block.columns)
    ids, weights = made["ids"].numpy()[:, 3:5], made["weights"].numpy()[:, 3:5]
    for sizes, of_row, own_weights in zip(table["sizes"], ids, weights, strict=True):
        want = [FIRST + (edges < size).sum() for size in sizes[:2]]
        assert of_row.tolist() == want + [MISSING] * (2 - len(want))
        assert own_weights.tolist() == ([1.0] * len(want) + [0.0, 0.0])[:2] or not want


def test_requests_with_extreme_numbers(built: pathlib.Path) -> None:
    """At the edges, beside them, at both ends, and where devices lose the smallest numbers."""
    schema = Schema(name="t", features=(AGE, PRICE), tasks=SCHEMA.tasks)
    features = Features(schema, built)
    edges = edges_of(columns()["age"], 64)
    beside = [np.nextafter(edges, np.float32(side)) for side in (-np.inf, np.inf)]
    ends = np.array([np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 1e-45, -1e-45], np.float32)
    values = np.concatenate([edges, *beside, ends])
    run = tf.function(features.__call__, input_signature=[features.signature])
    found = run({"age": tf.constant(values), "price": tf.zeros_like(values)})["ids"].numpy()
    want = FIRST + (edges[None, :] < values[:, None]).sum(axis=1)
    np.testing.assert_array_equal(found[:, 0], want)
    nothing = run({"age": tf.constant([math.nan]), "price": tf.constant([math.nan])})
    assert nothing["ids"].numpy().tolist() == [[MISSING, MISSING]]


def test_a_number_around_zero_is_told_apart_from_the_smallest_alike_everywhere(
    tmp_path: pathlib.Path,
) -> None:
    schema = Schema(name="t", features=(PRICE,), tasks=SCHEMA.tasks)
    write(tmp_path / "t.parquet", {"price": [-1.0, 0.0, 1.0], "click": [0] * 3, "buy": [0] * 3})
    vocabulary.build([str(tmp_path / "t.parquet")], schema, tmp_path, BadRows())
    features = Features(schema, tmp_path)
    smallest = tf.constant([0.0, 1e-45, -1e-45, -0.0])
    assert features({"price": smallest})["ids"].numpy().tolist() == [[FIRST + 1]] * 4


def test_infinite_numbers_lie_in_the_outer_buckets_and_make_no_edges(
    tmp_path: pathlib.Path,
) -> None:
    schema = Schema(name="t", features=(PRICE,), tasks=SCHEMA.tasks)
    prices = [1.0, math.inf, 2.0, -math.inf]
    write(tmp_path / "t.parquet", {"price": prices, "click": [0] * 4, "buy": [0] * 4})
    vocabulary.build([str(tmp_path / "t.parquet")], schema, tmp_path, BadRows())
    assert json.loads((tmp_path / "vocabulary" / "price.json").read_text()) == {"edges": [1.0]}
    ids = Features(schema, tmp_path)({"price": tf.constant(prices)})["ids"]
    assert ids.numpy()[:, 0].tolist() == [FIRST, FIRST + 1, FIRST + 1, FIRST]


def test_the_same_bytes_for_other_files_and_blocks(built: pathlib.Path) -> None:
    table = columns()
    half = ROWS // 2
    parts = [{k: v[:half] for k, v in table.items()}, {k: v[half:] for k, v in table.items()}]
    files = []
    for i, part in enumerate(reversed(parts)):
        write(built / f"part-{i}.csv", part)
        files.append(str(built / f"part-{i}.csv"))
    vocabulary.build(files, SCHEMA, built / "other", BadRows())
    for feature in (PRICE, AGE, SIZES, SAME, NONE):
        name = f"vocabulary/{feature.name}.json"
        assert (built / "other" / name).read_bytes() == (built / name).read_bytes()


def test_edges_are_reused_if_they_are_as_they_were_built(built: pathlib.Path) -> None:
    files = [str(built / "train.parquet")]
    assert vocabulary.reuse(files, SCHEMA, built, built / "run")
    path = built / "vocabulary" / "price.json"
    assert (built / "run" / "vocabulary" / "price.json").read_bytes() == path.read_bytes()
    path.write_text(path.read_text().replace("]", ", 1e30]"))
    with pytest.raises(ManifestError, match=r"vocabulary/price.json h.* and not "):
        vocabulary.reuse(files, SCHEMA, built, built / "run")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "JSONDecodeError"),
        ("{}", "KeyError"),
        ("[]", "TypeError"),
        ('{"edges": [2.0, 1.0]}', "ascending"),
        ('{"edges": [1.0, 1.0]}', "ascending"),
        ('{"edges": [1.0, NaN]}', "ascending"),
        ('{"edges": ["a"]}', "ValueError"),
        ('{"edges": [1, 2, 3, 4, 5, 6, 7, 8]}', "8 buckets have fewer edges than 8"),
    ],
)
def test_a_damaged_file_names_itself(built: pathlib.Path, text: str, what: str) -> None:
    (built / "vocabulary" / "price.json").write_text(text)
    with pytest.raises(SchemaError, match=rf"price\.json: is damaged: .*{what}.*; build it again$"):
        Features(SCHEMA, built)


def test_a_missing_file_names_itself(built: pathlib.Path) -> None:
    (built / "vocabulary" / "price.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"price\.json: feature 'price' needs .*tafe_tf.prepare"
    ):
        Features(SCHEMA, built)
