"""What a run leaves behind, and how to open it again.

<run_dir>/flags.txt       the settings that the weights depend on, a flagfile
          schema.toml     the dataset data.json       the files of held-out and test rows
          vocabulary/     one value a line; statistics.json: rows and rates warm_start.json the run
          that a warm-started one went on from; vocabulary/*.age: runs since a value was seen
          model.json      the model's class and arguments; model.keras: the finished model, for
          Keras rows/           the rows that were given in memory checkpoints/    the latest states
          of training; best/: the best weights so far history.json    validation metrics by epoch;
          tensorboard/: the same as curves metrics.json    metrics of the test rows;
          previous_metrics.json: of the model before, after a warm start predictions.npz the test
          rows' logits, if --save_predictions asked for them
"""

from __future__ import annotations

import dataclasses
import filecmp
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import pyarrow as pa
import tensorflow as tf

from tafe_tf import models as _registered  # noqa: F401  (their classes, for Keras)
from tafe_tf import schema, schema_toml
from tafe_tf.data.atomic import read_json, write_json, write_text
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.formats.in_memory import write_parquet
from tafe_tf.features.graph import Features
from tafe_tf.training import identity

EVALUATION_ROWS = 4096  # rows of a batch where nothing is learned from it


class RunError(ValueError):
    """A run directory does not hold what was asked of it."""


def claim(texts: Mapping[pathlib.Path, str], otherwise: str) -> None:
    """Writes files, or finds that they say the same already.

    Raises:
        RunError: If one says something else: its path, `otherwise`, and the lines that differ.
    """
    for path, text in texts.items():
        known = path.read_text(encoding="utf-8") if path.exists() else text
        if known != text:
            lines = set(text.splitlines())
            known_lines = set(known.splitlines())
            differing = sorted(lines ^ known_lines)
            raise RunError(f"{path}: {otherwise}. Differing lines: {differing}")
        write_text(path, text)


def variables(owner: keras.Model | keras.optimizers.Optimizer) -> list[tf.Variable]:
    """All variables of a model or an optimizer.

    They include the seeds of random layers, which tf.train.Checkpoint does not find by itself.
    """
    return [variable.value for variable in owner.variables]


class RunDir:
    """A run directory.

    Args:
        path: The directory; made on the first write.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self.path = pathlib.Path(path)

    def claim(
        self,
        lines: Mapping[str, str],
        model: str,
        schema_text: str,
    ) -> None:
        """Makes the directory this run's own, or finds that it already is.

        Args:
            lines: The settings that the weights depend on, see `identity.lines_of`.
            model: The model's name.
            schema_text: The schema as TOML.

        Raises:
            RunError: If the directory holds a run with other settings or another schema.
        """
        otherwise = "this directory holds another run; give another --run_dir or remove it"
        path = self.path / "flags.txt"
        if path.exists():
            different = identity.differing(
                path.read_text(encoding="utf-8"),
                lines,
                model,
            )
            if different:
                raise RunError(f"{path}: {otherwise}. Differing lines: {different}")
        self.path.mkdir(parents=True, exist_ok=True)
        claim({self.path / "schema.toml": schema_text}, otherwise)
        if not path.exists():
            write_text(path, identity.as_text(lines))

    def keep_table(self, path: pathlib.Path, table: pa.Table, is_used: bool) -> None:
        """Keeps rows that were given in memory as a Parquet file.

        Args:
            path: The file.
            table: The rows.
            is_used: Whether something in the directory was made from the rows that lie there.

        Raises:
            RunError: If the file is there and holds other rows that were used.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.exists() and is_used):
            write_parquet(path, table)
            return
        with tempfile.TemporaryDirectory(dir=path.parent) as directory:
            again = pathlib.Path(directory) / path.name
            write_parquet(again, table)
            if not filecmp.cmp(path, again, shallow=False):
                raise RunError(
                    f"{path}: holds other rows than those given; give another run_dir or remove it"
                )

    def schema(self) -> schema.Schema:
        """The run's dataset."""
        if not (self.path / "schema.toml").exists():
            raise RunError(f"{self.path}: holds no run (no schema.toml)")
        return schema_toml.load(self.path / "schema.toml")

    def statistics(self) -> dict[str, Any]:
        """What was counted of the training rows, see `vocabulary.publish`; empty if nothing was."""
        path = self.path / "statistics.json"
        return dict(read_json(path)) if path.exists() else {}

    def features(self) -> Features:
        """The run's feature graph with its vocabularies."""
        return Features(self.schema(), self.path)

    def save_data(self, validation: FunnelData, test_files: list[str]) -> None:
        """Notes which rows were held out and where the test rows are.

        Args:
            validation: The data whose "valid" part was held out.
            test_files: Paths of the test rows.
        """
        noted = {
            "files": [os.path.abspath(file) for file in validation.paths],
            "holdout": dataclasses.asdict(validation.holdout),
            "test_files": [os.path.abspath(file) for file in test_files],
        }
        write_json(self.path / "data.json", noted)

    def held_out(self, batch_size: int = EVALUATION_ROWS) -> FunnelData:
        """The data whose "valid" part was held out of training.

        Raises:
            RunError: If the run does not say which, or its files are gone.
        """
        noted = self._noted("files")
        return FunnelData(
            files=noted["files"],
            schema=self.schema(),
            batch_size=batch_size,
            holdout=Holdout(**noted["holdout"]),
        )

    def test(self, batch_size: int = EVALUATION_ROWS) -> FunnelData | None:
        """The test rows, if training found any.

        Raises:
            RunError: If the run does not say where, or its files are gone.
        """
        files = self._noted("test_files")["test_files"]
        if not files:
            return None
        return FunnelData(
            files=files,
            schema=self.schema(),
            batch_size=batch_size,
        )

    def _noted(self, key: str) -> dict[str, Any]:
        path = self.path / "data.json"
        if not path.exists():
            raise RunError(f"{self.path}: does not say which rows were held out (no data.json)")
        noted: dict[str, Any] = read_json(path)
        gone = [file for file in noted[key] if not os.path.exists(file)]
        if gone:
            raise RunError(
                f"{gone[0]}: is gone; bring the data back, or correct the paths in {path}"
            )
        return noted

    def save_model_config(self, model: keras.Model) -> None:
        """Writes the model's class and arguments."""
        write_json(self.path / "model.json", keras.saving.serialize_keras_object(model))

    def checkpoints(self, **state: Any) -> tf.train.CheckpointManager:
        """Manages the states of training, each a variable or a list; the last two are kept."""
        return tf.train.CheckpointManager(
            tf.train.Checkpoint(**state),
            str(self.path / "checkpoints"),
            max_to_keep=2,
        )

    def best(self, model: keras.Model) -> tf.train.CheckpointManager:
        """Manages the best weights; one state is kept."""
        weights = tf.train.Checkpoint(weights=variables(model))
        return tf.train.CheckpointManager(
            weights,
            str(self.path / "best"),
            max_to_keep=1,
        )

    def check_trained(self) -> None:
        """Raises RunError if the run has not finished an epoch."""
        if not (self.path / "best" / "checkpoint").exists():
            raise RunError(f"{self.path}: holds no trained model; run tafe_tf.train first")

    def save_keras(self, model: keras.Model) -> None:
        """Writes a model as `model.keras`, which `keras.saving.load_model` opens.

        The file appears whole or not at all.
        """
        path = self.path / "model.keras"
        with tempfile.TemporaryDirectory(dir=self.path) as directory:
            written = pathlib.Path(directory) / path.name
            model.save(written)
            written.replace(path)

    def load_best(self) -> keras.Model:
        """The trained model with its best weights; it computes in float32, however it was trained.

        Raises:
            RunError: If the run has not finished an epoch.
        """
        self.check_trained()
        description = read_json(self.path / "model.json")
        description["config"]["dtype"] = "float32"
        model = keras.saving.deserialize_keras_object(description)
        manager = self.best(model)
        manager.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        return model
