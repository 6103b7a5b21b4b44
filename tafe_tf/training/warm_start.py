"""Training that goes on from an earlier run with the files of a new day.

The values of the earlier run's vocabularies keep their order, and so their rows of the embedding
table; the new values of the new files follow. Edges of quantiles and scales of numbers stay as they
are, since the weights have been learned under them.

The weights are the earlier run's best ones, which an export of it serves, with gamma's step and the
shifts of the intercepts. The optimizer's moments and its count of steps come from the earlier run's
last checkpoint, since no other holds them; it is up to `patience` epochs later. Rows of the table
and of its moments are copied value by value, to the bit.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tafe_tf.data.atomic import read_json, read_text, write_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.maturity import Now
from tafe_tf.features import vocabulary
from tafe_tf.features.learned_numbers import scaled_features
from tafe_tf.features.value_counts import Kept
from tafe_tf.models import FunnelModel
from tafe_tf.optimizers import LazyAdam
from tafe_tf.schema import FIRST, MISSING, UNSEEN, Feature, Schema
from tafe_tf.storage.addresses import absolute
from tafe_tf.training.checkpoints import newest_first
from tafe_tf.training.delays import Delays
from tafe_tf.training.errors import RunError
from tafe_tf.training.noted_files import MEANING, MOMENTS, WEIGHTS
from tafe_tf.training.predecessor import NOTE
from tafe_tf.training.run_dir import RunDir

# Arguments of a model that shape no weight which is copied, and change nothing of what the copied
# ones have learned.
_FREE = {
    "name",
    "trainable",
    "dtype",
    "field_rows",
    "embedding_stddev",
    "embedding_l2",
    "gamma_start",
    "gamma_decay_steps",
}


class WarmStart:
    """What a new run takes from an earlier one.

    Args:
        previous: The earlier run, finished.
        run: The new one.
        retire_after: Number of runs in a row, the new one the last, whose training files a value
            must be missing from to lose its row. The default, 0, keeps all values.
        restart_gamma: Whether gamma's schedule starts anew instead of going on. The default is
            False.

    Raises:
        RunError: If the earlier run holds no weights or no moments.
        ManifestError: If its files are not those that it ended with.
    """

    def __init__(
        self,
        previous: RunDir,
        run: RunDir,
        *,
        retire_after: int = 0,
        restart_gamma: bool = False,
    ) -> None:
        self.previous = previous
        self._run = run
        self._retire_after = retire_after
        self._restart_gamma = restart_gamma
        for folder in ("best", "checkpoints"):
            if not newest_first(previous.path / folder):
                raise RunError(
                    f"{previous}: no run to start from, it holds no checkpoint in {folder}/"
                )
        previous.files.check(*MEANING, *WEIGHTS, *MOMENTS)

    @property
    def iterations(self) -> int:
        """Number of steps that the optimizer had counted when the new run began."""
        return int(read_json(self._run.path / NOTE)["iterations"])

    def bad_rows(self, asked_for: BadRows) -> BadRows:
        """What to do with bad rows: they are dropped if either run drops them.

        Args:
            asked_for: What the new run was asked to do.
        """
        earlier = self.previous.rows.bad_rows()
        return BadRows(earlier.policy, asked_for.most) if earlier.policy == "drop" else asked_for

    def check_schema(self, schema: Schema) -> None:
        """Raises RunError, with all that differs, if the earlier run had another schema.

        What only says when labels are known, how much they count and how rows start may differ.
        """
        there = _flat(_without_knowledge(self.previous.schema()))
        here = _flat(_without_knowledge(schema))
        differing = _differences(there, here)
        if differing:
            raise RunError(
                f"{self.previous}: --warm_start needs the same schema, but " + "; ".join(differing)
            )

    def grow(
        self,
        files: list[str],
        schema: Schema,
        bad_rows: BadRows,
        now: Now | None = None,
    ) -> None:
        """Writes the new run's vocabularies and statistics, and notes what it grew from.

        Does nothing if they are there already.

        Raises:
            DataError: As `vocabulary.build`.
        """
        if (self._run.path / NOTE).exists():
            return
        made_from = read_json(self.previous.path / "statistics.json")["made_from"]
        with vocabulary.beside(self._run.path) as work:
            counted = vocabulary.count(files, schema, work, bad_rows, now)
            kept = (
                (feature, self._grown(feature, counted, work))
                for feature in vocabulary.vocabulary_features(schema)
            )
            vocabulary.publish(
                work,
                files,
                schema,
                counted.rows,
                kept,
                [made_from],
                numbers_of=self.previous.path,
            )
        for feature in scaled_features(schema):
            stay = "the edges of its numbers stay those"
            if feature.kind != "quantile":
                stay = "the scale of its numbers stays that"
            print(f"{feature.name}: {stay} of {self.previous}")
        of_optimizer = _stored(self.previous.path / "checkpoints", "optimizer")
        note = {
            "run": absolute(self.previous.address),
            "iterations": int(next(of_optimizer)),
        }
        write_json(self._run.path / NOTE, note)

    def _grown(
        self,
        feature: Feature,
        counted: vocabulary.Counted,
        work: pathlib.Path,
    ) -> Kept:
        """The earlier values that stay, then the new ones; leaves their ages beside them."""
        known = vocabulary.read(self.previous.path, feature)
        occurring = counted.keep(feature, frozenset(known))
        seen = {value for value, _ in occurring.counts}
        ages_before = _ages(self.previous.path, feature)
        age = {}
        for value, age_before in zip(known, ages_before, strict=True):
            age[value] = 0 if value in seen else age_before + 1
        stays = known
        if self._retire_after:
            stays = [value for value in known if age[value] < self._retire_after]
        kept = dataclasses.replace(occurring, first=stays)
        ages = [age.get(value, 0) for value in kept.values]
        path = _age_file(work, feature)
        path.parent.mkdir(exist_ok=True)
        text = "".join(f"{runs}\n" for runs in ages)
        path.write_text(text, encoding="utf-8")
        print(
            f"{feature.name}: {len(stays):,} values kept, {len(ages) - len(stays):,} new, "
            f"{len(known) - len(stays):,} retired"
        )
        return kept

    def load(self, model: FunnelModel, optimizer: LazyAdam) -> None:
        """Copies weights, moments and the count of steps.

        Args:
            model: The new run's, made under the strategy's scope.
            optimizer: Built for the model's trainable variables.

        Raises:
            RunError: If the earlier run's model is another, with all that differs.
        """
        self._check_model(model)
        trainable = model.trainable_variables
        # Before the moments come the count of steps and, if it is a variable, the learning rate.
        moments = optimizer.variables[-2 * len(trainable) :]
        by_row: dict[int, np.ndarray] = {}  # the earlier rows of a table and of its moments
        for layer, fields in zip(model.tables(), model.fields_of_tables(), strict=True):
            by_row[id(layer.table)] = self._rows(self._run.schema(), fields)
        for i, variable in enumerate(trainable):
            if id(variable) in by_row:
                first, second = moments[2 * i : 2 * i + 2]
                by_row[id(first)] = by_row[id(second)] = by_row[id(variable)]
        copied = [
            ("best", "weights", model.variables),
            ("checkpoints", "optimizer", moments),
        ]
        for folder, key, variables in copied:
            stored = _stored(
                self.previous.path / folder,
                key,
                last=len(variables),
            )
            for variable, value in zip(variables, stored, strict=True):
                if id(variable) in by_row:
                    value = _moved(variable, value, by_row[id(variable)])
                variable.assign(value)
        optimizer.iterations.assign(self.iterations)
        if self._restart_gamma:
            for schedule in model.schedules():
                schedule.step.assign(0)

    def load_delays(self, delays: Delays) -> None:
        """Copies how long steps take to be seen, if the earlier run has learned it.

        Args:
            delays: The new run's, made under the strategy's scope.
        """
        stored = list(_stored(self.previous.path / "checkpoints", "delays"))
        if not stored:
            return
        for variable, value in zip(delays.variables, stored, strict=True):
            variable.assign(value)

    def _check_model(self, model: keras.Model) -> None:
        there = _shaping(self.previous.model_config())
        serialized = keras.saving.serialize_keras_object(model)
        as_stored = json.loads(json.dumps(serialized))
        here = _shaping(as_stored)
        if here["embedding_parts"] > 1:
            raise RunError(
                "--warm_start moves the rows of one table: it needs --embedding_parts=1, "
                "then and now"
            )
        differing = _differences(there, here)
        if differing:
            raise RunError(
                f"{self.previous}: --warm_start needs the same model, but " + "; ".join(differing)
            )

    def _rows(self, schema: Schema, fields: Sequence[int]) -> np.ndarray:
        """For each row of a new table the earlier row of the same value, or -1, [rows].

        Args:
            schema: The run's.
            fields: The places of the fields that read the table.
        """
        parts = []
        offset = 0  # of the field's rows in the earlier table
        for field in fields:
            feature = schema.id_features[field]
            if feature.shares:  # it has no rows of its own
                continue
            size = feature.rows()
            own = np.arange(size)
            if feature.kind == "vocabulary":
                known = vocabulary.read(self.previous.path, feature)
                place = {value: FIRST + i for i, value in enumerate(known)}
                values = vocabulary.read(self._run.path, feature)
                places = [place.get(value, -1) for value in values]
                own = np.array([UNSEEN, MISSING, *places])
                size = feature.rows(len(known))
            parts.append(np.where(own < 0, -1, own + offset))
            offset += size
        return np.concatenate(parts)


def _shaping(description: Mapping[str, Any]) -> dict[str, Any]:
    """What two serialized models must share: the class and the arguments that are not free."""
    config = {}
    for key, value in description["config"].items():
        if key not in _FREE:
            config[key] = value
    config.setdefault("amount", False)  # models that know of none were saved without it
    config["embedding_dtype"] = config["embedding_dtype"] or "float32"  # the type of all weights
    return {"model": description["class_name"], **config}


def _moved(
    variable: keras.Variable,
    earlier: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """The variable's value, in which each row that has an earlier one is replaced by it."""
    value = keras.ops.convert_to_numpy(variable).copy()
    has_earlier = rows >= 0
    value[has_earlier] = earlier[rows[has_earlier]]
    return value


def _stored(
    directory: pathlib.Path,
    key: str,
    last: int | None = None,
) -> Iterator[np.ndarray]:
    """The `last` variables, or all, of a list in the newest checkpoint."""
    newest, *_ = newest_first(directory)
    reader = tf.train.load_checkpoint(str(directory / newest))
    names = reader.get_variable_to_shape_map()
    count = sum(name.startswith(f"{key}/") for name in names)
    first = 0 if last is None else count - last
    for i in range(first, count):
        yield reader.get_tensor(f"{key}/{i}/.ATTRIBUTES/VARIABLE_VALUE")


def _age_file(directory: pathlib.Path, feature: Feature) -> pathlib.Path:
    """Holds for each value the number of runs since the last one whose files had it, one a line."""
    return vocabulary.vocabulary_file(directory, feature).with_suffix(".age")


def _ages(directory: pathlib.Path, feature: Feature) -> list[int]:
    path = _age_file(directory, feature)
    if not path.exists():  # a run that started cold has just seen all of its values
        return [0] * len(vocabulary.read(directory, feature))
    lines = read_text(path).split()
    if not all(line.isdigit() for line in lines):
        raise RunError(f"{path}: is damaged: every line must be a number; bring back a copy of it")
    return [int(line) for line in lines]


def _without_knowledge(schema: Schema) -> Schema:
    """The schema without when labels are known and how much they count, and how rows start."""
    tasks = [
        dataclasses.replace(task, may_be_unknown=False, matures_after="", weight_column="")
        for task in schema.tasks
    ]
    amount = schema.amount
    if amount is not None:
        amount = dataclasses.replace(amount, may_be_unknown=False)
    features = [dataclasses.replace(feature, pretrained="") for feature in schema.features]
    return dataclasses.replace(
        schema,
        time="",
        tasks=tuple(tasks),
        features=tuple(features),
        amount=amount,
        score=None,
    )


def _flat(schema: Schema) -> dict[str, Any]:
    """Every key of a schema, by a name that tells where it stands."""
    flat = dataclasses.asdict(schema)
    for kind in ("features", "tasks"):
        for place, item in enumerate(flat.pop(kind)):
            where = f"{kind.removesuffix('s')} {item['name']!r}"
            flat[f"the place of {where}"] = place
            flat |= {f"{key} of {where}": value for key, value in item.items()}
    return flat


def _differences(
    there: Mapping[str, Any],
    here: Mapping[str, Any],
) -> list[str]:
    """What differs between two mappings, a text for each key."""
    found = []
    for key in {**there, **here}:
        earlier = there.get(key)
        now = here.get(key)
        if earlier != now:
            found.append(f"{key} is {earlier!r} there and {now!r} here")
    return found
