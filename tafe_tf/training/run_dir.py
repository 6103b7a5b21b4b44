"""What a run leaves behind, and how to open it again.

<run_dir>/flags.txt       the settings that the weights depend on, a flagfile
          schema.toml     the dataset data.json       the files of held-out and test rows, what
          all files held, and what was done with bad rows
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

import contextlib
import fcntl
import filecmp
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import pyarrow as pa
import tensorflow as tf

from tafe_tf import models as _registered  # noqa: F401  (their classes, for Keras)
from tafe_tf import schema, schema_toml
from tafe_tf.data.atomic import read_json, write_json, write_text
from tafe_tf.data.formats.in_memory import write_parquet
from tafe_tf.features.graph import Features
from tafe_tf.training import identity
from tafe_tf.training.checkpoints import Checkpoints, newest_first
from tafe_tf.training.errors import RunError
from tafe_tf.training.noted_rows import NotedRows


def claim(path: pathlib.Path, text: str, otherwise: str) -> None:
    """Writes a file, or finds that it says the same already.

    Raises:
        RunError: If it says something else: its path, `otherwise`, and the lines that differ.
    """
    known = path.read_text(encoding="utf-8") if path.exists() else text
    if known != text:
        known_lines = set(known.splitlines())
        differing = sorted(known_lines ^ set(text.splitlines()))
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

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training in this directory; a killed one locks nothing.

        Raises:
            RunError: If another process trains in it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / ".lock"
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"{self.path}: another process trains in this directory; wait until it has "
                    "ended, or give another --run_dir"
                ) from None
            except OSError:  # a file system without locks
                pass
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def claim(
        self,
        lines: Mapping[str, str],
        model: str,
        schema_text: str,
        files: Mapping[str, Sequence[str]],
    ) -> None:
        """Makes the directory this run's own, or finds that it already is.

        A number of epochs that was raised is the same run, which goes on.

        Args:
            lines: The settings that the weights depend on, see `identity.lines_of`.
            model: The model's name.
            schema_text: The schema as TOML.
            files: The paths of the files by split; a split whose rows are in memory has none.

        Raises:
            RunError: If the directory holds a run with other settings, another schema, or of other
                files.
        """
        path = self.path / "flags.txt"
        otherwise = "this directory holds another run; give another --run_dir or remove it"
        known = path.read_text(encoding="utf-8") if path.exists() else None
        if known is not None:
            different = identity.differing(known, lines, model)
            if different and not identity.has_more_epochs(known, lines, different):
                raise RunError(f"{path}: {otherwise}. Differing lines: {different}")
        self.path.mkdir(parents=True, exist_ok=True)
        claim(self.path / "schema.toml", schema_text, otherwise)
        if self.has_trained:
            self.rows.check(files, self.has_finished)
        write_text(path, identity.as_text(lines))

    @property
    def has_trained(self) -> bool:
        """Whether there is a checkpoint, be it whole or damaged."""
        return any(newest_first(self.path / folder) for folder in ("checkpoints", "best"))

    @property
    def has_finished(self) -> bool:
        """Whether training came to its end at least once."""
        return (self.path / "model.keras").exists()

    def forget_failed_start(self, schema_file: str) -> None:
        """Removes what a start has left that failed before the first checkpoint.

        Args:
            schema_file: The user's schema, which stays even if it lies in this directory.
        """
        flags = self.path / "flags.txt"
        if not flags.exists() or self.has_trained:
            return
        own_schema = self.path / "schema.toml"
        is_users = bool(schema_file) and own_schema.exists() and own_schema.samefile(schema_file)
        for folder in ("vocabulary", "rows", "tensorboard"):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for file in ("statistics.json", "warm_start.json", "data.json", "model.json"):
            (self.path / file).unlink(missing_ok=True)
        if not is_users:
            own_schema.unlink(missing_ok=True)
        flags.unlink()  # last: without it nothing in the directory is known to be a start's

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

    @property
    def rows(self) -> NotedRows:
        """What the run notes of its rows."""
        return NotedRows(self.path)

    def save_model_config(self, model: keras.Model) -> None:
        """Writes the model's class and arguments."""
        write_json(self.path / "model.json", keras.saving.serialize_keras_object(model))

    def checkpoints(self, **state: Any) -> Checkpoints:
        """The states of training, each a variable or a list; the last two are kept."""
        return Checkpoints(
            self.path / "checkpoints",
            keep=2,
            **state,
        )

    def best(self, model: keras.Model) -> Checkpoints:
        """The best weights; one state is kept."""
        return Checkpoints(
            self.path / "best",
            keep=1,
            weights=variables(model),
        )

    def check_trained(self) -> None:
        """Raises RunError if the run has not finished an epoch."""
        if not newest_first(self.path / "best"):
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
        self.best(model).restore()
        return model


def _text_of(path: pathlib.Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
