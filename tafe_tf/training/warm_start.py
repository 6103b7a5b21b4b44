"""Training that goes on from an earlier run with the files of a new day.

Values of the earlier run's vocabularies keep their order, and so their rows; the new values of the new files follow.
Weights are the earlier run's best, the ones that an export of it serves, with gamma's step and the shifts of the
intercepts; the optimizer's moments and its count of steps are those of its last checkpoint, up to --patience epochs
later, which alone holds any. Rows of a table and of its moments are copied value by value, to the bit.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.data.atomic import write_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import vocabulary_file
from tafe_tf.features.value_counts import Kept, ValueCounts
from tafe_tf.models import FunnelModel
from tafe_tf.optimizers import LazyAdam
from tafe_tf.schema import FIRST, MISSING, UNSEEN, Feature, Schema
from tafe_tf.training.predecessor import NOTE
from tafe_tf.training.run_dir import RunDir, RunError

# A model's arguments that shape no weight which is copied, and change nothing that the copied ones have learned.
_FREE = {
    "name",
    "trainable",
    "dtype",
    "field_rows",
    "embedding_stddev",
    "gamma_start",
    "gamma_decay_steps",
}


class WarmStart:
    """What a new run takes from an earlier one.

    Args:
        previous: the earlier run, finished.
        run: the new one.
        retire_after: a value loses its row when it occurs in the training files of none of the last `retire_after`
            runs of the chain, the new one included; 0 keeps all.
        restart_gamma: gamma's schedule starts anew instead of going on.

    Raises:
        RunError: if the earlier run holds no weights or no moments.
    """

    def __init__(
        self, previous: RunDir, run: RunDir, *, retire_after: int = 0, restart_gamma: bool = False
    ) -> None:
        self.previous, self._run = previous, run
        self._retire_after, self._restart_gamma = retire_after, restart_gamma
        for folder in ("best", "checkpoints"):
            if tf.train.latest_checkpoint(str(previous.path / folder)) is None:
                raise RunError(
                    f"{previous.path}: no run to start from, it holds no checkpoint in {folder}/"
                )

    @property
    def iterations(self) -> int:
        """Steps that the optimizer had counted when the new run began."""
        return int(json.loads((self._run.path / NOTE).read_text(encoding="utf-8"))["iterations"])

    def check_schema(self, dataset: Schema) -> None:
        """Raises RunError, with all that differs, if the earlier run had another schema."""
        differing = _differences(_flat(self.previous.schema()), _flat(dataset))
        if differing:
            raise RunError(
                f"{self.previous.path}: --warm_start needs the same schema, but {'; '.join(differing)}"
            )

    def grow(self, files: list[str], dataset: Schema, bad_rows: BadRows) -> None:
        """Writes the new run's vocabularies and statistics, and notes what it grew from, unless it did already.

        Raises:
            DataError, SchemaError: as `vocabulary.build`.
        """
        if (self._run.path / NOTE).exists():
            return
        path = self.previous.path / "statistics.json"
        made_from = json.loads(path.read_text(encoding="utf-8"))["made_from"]
        with vocabulary.beside(self._run.path) as work:
            counted = vocabulary.count(files, dataset, work, bad_rows)
            features = vocabulary.vocabulary_features(dataset)
            kept = (
                (feature, self._grown(feature, counted.values[feature.name], work))
                for feature in features
            )
            vocabulary.publish(
                work, files, dataset, counted.rows, counted.positives, kept, [made_from]
            )
        steps = next(_stored(self.previous.path / "checkpoints", "optimizer"))
        write_json(
            self._run.path / NOTE,
            {"run": os.path.abspath(self.previous.path), "iterations": int(steps)},
        )

    def _grown(self, feature: Feature, counts: ValueCounts, work: pathlib.Path) -> Kept:
        """The earlier values but those retired, then the new ones; leaves their ages beside them."""
        known = vocabulary.read(self.previous.path, feature)
        counted = counts.keep(feature.min_count, frozenset(known))
        seen = {value for value, _ in counted.counts}
        age = {
            v: 0 if v in seen else a + 1
            for v, a in zip(known, _ages(self.previous.path, feature), strict=True)
        }
        first = [
            value for value in known if not self._retire_after or age[value] < self._retire_after
        ]
        kept = dataclasses.replace(counted, first=first)
        values = kept.values
        path = _age_file(work, feature)
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{age.get(value, 0)}\n" for value in values), encoding="utf-8")
        print(
            f"{feature.name}: {len(first):,} values kept, {len(values) - len(first):,} new, "
            f"{len(known) - len(first):,} retired"
        )
        return kept

    def load(self, model: FunnelModel, optimizer: LazyAdam) -> None:
        """Copies weights, moments and the count of steps.

        Args:
            model: the new run's, made under the strategy's scope.
            optimizer: built for the model's trainable variables.

        Raises:
            RunError: if the earlier run's model is another, with all that differs.
        """
        self._check_model(model)
        trainable = model.trainable_variables
        moments = optimizer.variables[
            -2 * len(trainable) :
        ]  # before them come the step and, if it is one, the rate
        tables = {id(layer.table) for layer in model.tables()}
        by_row = tables | {
            id(m)
            for i, v in enumerate(trainable)
            if id(v) in tables
            for m in moments[2 * i : 2 * i + 2]
        }
        rows = self._rows(self._run.schema())
        for folder, key, variables in (
            ("best", "weights", model.variables),
            ("checkpoints", "optimizer", moments),
        ):
            stored = _stored(self.previous.path / folder, key, last=len(variables))
            for variable, value in zip(variables, stored, strict=True):
                variable.assign(_moved(variable, value, rows) if id(variable) in by_row else value)
        optimizer.iterations.assign(self.iterations)
        if self._restart_gamma:
            for schedule in model.schedules():
                schedule.step.assign(0)

    def _check_model(self, model: keras.Model) -> None:
        there = json.loads((self.previous.path / "model.json").read_text(encoding="utf-8"))
        here = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
        there, here = _shaping(there), _shaping(here)
        if here["embedding_parts"] > 1:
            raise RunError(
                "--warm_start moves the rows of one table: it needs --embedding_parts=1, then and now"
            )
        differing = _differences(there, here)
        if differing:
            raise RunError(
                f"{self.previous.path}: --warm_start needs the same model, but {'; '.join(differing)}"
            )

    def _rows(self, dataset: Schema) -> np.ndarray:
        """For each row of the new table the earlier one's of the same value, or -1, [rows]."""
        rows, offset = [], 0
        for feature in dataset.features:
            size = feature.rows()
            own = np.arange(size)
            if feature.kind == "vocabulary":
                known, values = (
                    vocabulary.read(run.path, feature) for run in (self.previous, self._run)
                )
                place = {value: FIRST + i for i, value in enumerate(known)}
                own = np.array([UNSEEN, MISSING, *(place.get(value, -1) for value in values)])
                size = feature.rows(len(known))
            rows.append(np.where(own < 0, -1, own + offset))
            offset += size
        return np.concatenate(rows)


def _shaping(description: Mapping[str, Any]) -> dict[str, Any]:
    """What two serialized models must share: the class and the arguments that are not free."""
    config = {key: value for key, value in description["config"].items() if key not in _FREE}
    config["embedding_dtype"] = config["embedding_dtype"] or "float32"  # the type of all weights
    return {"model": description["class_name"], **config}


def _moved(variable: keras.Variable, earlier: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The variable's value with each row that has an earlier one replaced by it."""
    value = keras.ops.convert_to_numpy(variable).copy()
    value[rows >= 0] = earlier[rows[rows >= 0]]
    return value


def _stored(directory: pathlib.Path, key: str, last: int | None = None) -> Iterator[np.ndarray]:
    """The `last` variables, or all, of a list in the newest checkpoint, see `RunDir.checkpoints`."""
    reader = tf.train.load_checkpoint(str(directory))
    count = sum(name.startswith(f"{key}/") for name in reader.get_variable_to_shape_map())
    for i in range(0 if last is None else count - last, count):
        yield reader.get_tensor(f"{key}/{i}/.ATTRIBUTES/VARIABLE_VALUE")


def _age_file(directory: pathlib.Path, feature: Feature) -> pathlib.Path:
    """For each value of a vocabulary the number of runs since the last one whose training files had it, one a line."""
    return vocabulary_file(directory, feature).with_suffix(".age")


def _ages(directory: pathlib.Path, feature: Feature) -> list[int]:
    path = _age_file(directory, feature)
    if not path.exists():  # a run that started cold has just seen all of its values
        return [0] * len(vocabulary.read(directory, feature))
    return [int(line) for line in path.read_text(encoding="utf-8").split()]


def _flat(dataset: Schema) -> dict[str, Any]:
    """Every key of a schema by a name that tells where it stands."""
    table = dataclasses.asdict(dataset)
    for kind in ("features", "tasks"):
        for place, item in enumerate(table.pop(kind)):
            where = f"{kind[:-1]} {item['name']!r}"
            table |= {f"the place of {where}": place} | {
                f"{key} of {where}": value for key, value in item.items()
            }
    return table


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    return [f"{key} is {there.get(key)!r} there and {here.get(key)!r} here" for key in keys]
