"""Distances against closed forms, SciPy and TensorFlow Data Validation; noise against draws."""

from __future__ import annotations

import json
import math
import os
import pathlib
import subprocess

import numpy as np
import pytest
from scipy.spatial import distance
from scipy.stats import chi2

from tafe_tf.insight.drift import distances

CASES = [
    ([10, 20, 70], [30, 30, 40]),
    ([1, 0, 0], [0, 1, 0]),
    ([5, 5], [500, 500]),
    ([1, 2, 3, 4, 0, 90], [40, 0, 30, 20, 10, 0]),
    (list(range(1, 21)), list(range(20, 0, -1))),
]


@pytest.mark.parametrize(("first", "second"), CASES)
def test_distances_are_those_of_their_definitions(first: list[int], second: list[int]) -> None:
    p, q = np.array(first) / sum(first), np.array(second) / sum(second)
    a, b = np.array(first), np.array(second)
    root = distance.jensenshannon(p, q, base=2)
    assert distances.jensen_shannon(a, b) == pytest.approx(root**2, abs=1e-12)
    assert distances.l_infinity(a, b) == distance.chebyshev(p, q)


def test_the_stability_index_of_two_cells() -> None:
    found = distances.population_stability(np.array([3e7, 1e7]), np.array([1e7, 3e7]))
    assert found == pytest.approx(0.5 * math.log(3) * 2, rel=1e-6)
    empty = distances.population_stability(np.array([10, 0]), np.array([0, 10]))
    assert empty == pytest.approx(2 * (10 / 11) * math.log(10.5 / 0.5))


def test_noise_holds_for_draws() -> None:
    """At a chance of 5 %, at most about 5 % of the samples are beyond the bound."""
    chance = np.random.default_rng(0)
    shares = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    bound = distances.share_noise(0.25, 6, 300, 0.05)
    of_entropy = distances.entropy_noise(6, 300, 0.05)
    of_index = distances.stability_noise(6, 300, 0.05)
    samples = chance.multinomial(300, shares, 2000)
    beyond = np.zeros(3)
    for sample in samples:
        beyond[0] += distances.l_infinity(sample, shares) > bound
        beyond[1] += distances.jensen_shannon(sample, shares) > of_entropy
        beyond[2] += distances.population_stability(sample, 1e9 * shares) > of_index
    assert (beyond / 2000 <= 0.05).all()
    exact = chi2.ppf(0.95, 5)
    assert exact < of_index * 300 < 2 * exact  # and is no idle bound


VALIDATE = """
import json, sys
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

RULES = {
    "numbers": 'type: FLOAT drift_comparator { jensen_shannon_divergence { threshold: 0 } }',
    "texts": 'type: BYTES drift_comparator { infinity_norm { threshold: 0 } }',
}


def statistics(counts):
    found = statistics_pb2.DatasetFeatureStatisticsList()
    of_rows = found.datasets.add(num_examples=sum(counts))
    numbers = of_rows.features.add(name="numbers", type=statistics_pb2.FeatureNameStatistics.FLOAT)
    numbers.num_stats.common_stats.num_non_missing = sum(counts)
    histogram = numbers.num_stats.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    texts = of_rows.features.add(name="texts", type=statistics_pb2.FeatureNameStatistics.STRING)
    texts.string_stats.common_stats.num_non_missing = sum(counts)
    for i, count in enumerate(counts):
        histogram.buckets.add(low_value=i, high_value=i + 1, sample_count=count)
        texts.string_stats.rank_histogram.buckets.add(label=str(i), sample_count=count)
    return found


text = "".join('feature { name: "%s" %s }' % item for item in RULES.items())
schema = text_format.Parse(text, schema_pb2.Schema())
answers = []
for first, second in json.loads(sys.argv[1]):
    anomalies = tfdv.validate_statistics(
        statistics(first), schema, previous_statistics=statistics(second)
    )
    found = {}
    for info in anomalies.drift_skew_info:
        (measurement,) = info.drift_measurements
        found[info.path.step[0]] = measurement.value
    answers.append([found["numbers"], found["texts"]])
print(json.dumps({"version": tfdv.__version__, "answers": answers}))
"""


@pytest.mark.slow
def test_tensorflow_data_validation_finds_the_same() -> None:
    """Its Python, of an environment of its own, is named by TFDV_PYTHON."""
    python = os.environ.get("TFDV_PYTHON", "")
    if not pathlib.Path(python or "/nowhere").exists():
        pytest.skip("TFDV_PYTHON names no Python with tensorflow-data-validation 1.16")
    asked = subprocess.run(
        [python, "-c", VALIDATE, json.dumps(CASES)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer = json.loads(asked.stdout.splitlines()[-1])
    assert answer["version"].startswith("1.16.")
    for (first, second), (of_numbers, of_texts) in zip(CASES, answer["answers"], strict=True):
        a, b = np.array(first), np.array(second)
        assert distances.jensen_shannon(a, b) == pytest.approx(of_numbers, abs=1e-9)
        assert distances.l_infinity(a, b) == pytest.approx(of_texts, abs=1e-9)
