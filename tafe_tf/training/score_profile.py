"""What a model's scores are on rows that it was not trained on, against which later ones are held.

They stand under "scores" in the run's `profile.json`, see `tafe_tf.features.profile`.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np

from tafe_tf.data.atomic import read_json, write_text
from tafe_tf.data.batches.batch import Batch
from tafe_tf.distributed.cluster import Cluster
from tafe_tf.features.number_counts import NumberCounts
from tafe_tf.features.profile import deciles
from tafe_tf.probabilities import probabilities
from tafe_tf.schema import Schema


class ScoreProfile:
    """Counts the scores of rows, as an export would answer them.

    Args:
        schema: Of the rows.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._counts = {name: NumberCounts() for name in schema.output_names}

    def add(self, outputs: np.ndarray, batch: Batch) -> bool:
        """Counts a batch; always true, so that `Evaluator.predict` goes on."""
        for name, scores in probabilities(outputs, self._schema).items():
            self._counts[name].add(keras.ops.convert_to_numpy(scores))
        return True

    def gathered(self, cluster: Cluster) -> dict[str, Any]:
        """The deciles of each output, by its name; see `profile.deciles`.

        Args:
            cluster: The processes whose rows count together.
        """
        found = {}
        for name, own in self._counts.items():
            arrays = {"numbers": own.numbers, "counts": own.counts}
            of_all = cluster.gather(arrays)
            counts = NumberCounts()
            counts.add_counted(of_all["numbers"], of_all["counts"])
            found[name] = deciles(counts)
        return found


def write_scores(path: pathlib.Path, scores: dict[str, Any], rows: str) -> None:
    """Adds scores to a profile, if there is one; vocabularies made earlier have none.

    Args:
        path: The profile's file.
        scores: See `ScoreProfile.gathered`.
        rows: What the rows are called, "test rows" or "held-out rows".
    """
    if not path.exists():
        return
    profile = read_json(path) | of_rows(scores, rows)
    write_text(path, json.dumps(profile) + "\n")


def of_rows(scores: dict[str, Any], rows: str) -> dict[str, Any]:
    """Scores as a profile holds them; see `write_scores`."""
    return {"scores_of": rows, "scores": scores}
