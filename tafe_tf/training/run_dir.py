"""What a run leaves behind, and how to open it again.

<run_dir>/flags.txt              the settings that the weights depend on, a flagfile
          schema.toml            the dataset
          manifest.json          what the run's own files hold, see `noted_files`
          data.json              the files of held-out and test rows, what all files held, and what
                                 was done with bad rows
          vocabulary/*.txt       one value a line
          vocabulary/*.json      edges and scales of numbers, see `features.learned_numbers`
          vocabulary/*.age       runs since each value was seen
          statistics.json        rows and rates
          profile.json           what the columns and the scores are, for `tafe drift`
          warm_start.json        the run that a warm-started one went on from
          model.json             the model's class and arguments
          model.keras            the finished model, for Keras
          rows/                  the rows that were given in memory
          checkpoints/           the latest states of training
          best/                  the best weights so far
          history.json           validation metrics by epoch
          tensorboard/           the same as curves
          metrics.json           metrics of the test rows
          previous_metrics.json  of the model before, after a warm start
          slices.json            metrics of slices of the test rows, after an evaluation with --by
          importance.json        what the test metrics lose without each field, after `importance`
          tracking.json          the runs of trackers that --tracking asked for
          predictions.npz        the test rows' logits, if --save_predictions asked for them

In a store the files are the same. They are worked on in a copy on this machine's disk, and sent
whenever one of them begins to count: a checkpoint, or what `manifest.json` notes. What is in the
store at any moment is what a kill could have left on a disk.
"""

from __future__ import annotations

import contextlib
import filecmp
import functools
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import pyarrow as pa
import tensorflow as tf

from tafe_tf import models as _registered  # noqa: F401  (their classes, for Keras)
from tafe_tf import schema, schema_toml
from tafe_tf.data import lock, manifest
from tafe_tf.data.atomic import (
    read_json,
    read_text,
    remove_left_over,
    replacing,
    temporary_name,
    write_json,
    write_text,
)
from tafe_tf.data.formats.in_memory import write_parquet
from tafe_tf.features.graph import Features
from tafe_tf.storage.addresses import is_remote, join, named
from tafe_tf.storage.mirror import Mirror
from tafe_tf.training import identity
from tafe_tf.training.checkpoints import Checkpoints, newest_first
from tafe_tf.training.errors import RunError
from tafe_tf.training.noted_files import MEANING, PROFILE, WEIGHTS, NotedFiles
from tafe_tf.training.noted_rows import NotedRows

TREES = "trees"  # the folder of a run of boosted trees, which has no weights

# A start that failed is told by flags.txt, and a run that has trained by the index of a state.
_SENT_FIRST = ("flags.txt",)
_SENT_LAST = (
    *("*/ckpt-*.data-*", "*/ckpt-*.index", "*/checkpoint", "model.keras"),
    manifest.FILE,
)
_OF_TRAINING = ("checkpoints/*", "tensorboard/*")  # what nobody reads but who goes on


def claim(path: pathlib.Path, text: str, otherwise: str) -> None:
    """Writes a file, or finds that it says the same already.

    Raises:
        RunError: If it says something else: its path, `otherwise`, and the lines that differ.
    """
    known = read_text(path) if path.exists() else text
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
        path: The directory, made on the first write; or the URI of one in a store.

    Attributes:
        address: The path or URI.
        path: Where the files are on this machine: the directory itself, or the copy of one in a
            store.

    Raises:
        StoreError: If the store cannot be read.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self._mirror: Mirror | None = None
        if not is_remote(path):
            self.path = pathlib.Path(path)
            self.address = str(self.path)
            return
        self.address = str(path).rstrip("/")
        self._mirror = _mirror_of(self.address, os.getpid())
        if not self._mirror.is_held:
            self._mirror.fetch(but=_OF_TRAINING)
        self.path = self._mirror.directory

    def __str__(self) -> str:
        return self.address

    @property
    def is_remote(self) -> bool:
        """Whether the directory is in a store."""
        return self._mirror is not None

    @property
    def is_there(self) -> bool:
        """Whether there is a directory."""
        return any(self.path.glob("*")) if self.is_remote else self.path.exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing in this directory; a killed one locks nothing.

        What killed processes have left half-written is removed first.

        Raises:
            LockError: If another process writes in it.
            StoreError: If it is in a store that does not take files.
        """
        with lock.locked(self.address, "wait until it has ended, or give another --run_dir"):
            self.fetch()
            for folder in (self.path, self.path / "rows"):
                remove_left_over(folder)
            self._hold(True)
            try:
                yield
            except ValueError as error:
                error.args = tuple(named(it) if isinstance(it, str) else it for it in error.args)
                raise
            finally:
                self._hold(False)

    def _hold(self, is_held: bool) -> None:
        if self._mirror is not None:
            self._mirror.is_held = is_held

    def fetch(self) -> None:
        """Brings all files of a directory in a store, those of training too."""
        if self._mirror is not None and not self._mirror.is_held:
            self._mirror.fetch()

    def send(self) -> None:
        """Sends what has changed to the store, if the directory is in one and this process's."""
        if self._mirror is not None and self._mirror.is_held:
            self._mirror.send()

    def send_file(self, path: pathlib.Path) -> str:
        """Sends what has changed, and says where a file lies for others: its path or URI."""
        if not self.is_remote:
            return str(path)
        self.send()
        return join(self.address, path.relative_to(self.path).as_posix())

    def claim(
        self,
        lines: Mapping[str, str],
        model: str,
        schema_text: str,
        files: Mapping[str, Sequence[str]],
        accept_changed_input: bool = False,
    ) -> None:
        """Makes the directory this run's own, or finds that it already is.

        A number of epochs that was raised is the same run, which goes on.

        Args:
            lines: The settings that the weights depend on, see `identity.lines_of`.
            model: The model's name.
            schema_text: The schema as TOML.
            files: The paths of the files by split; a split whose rows are in memory has none.
            accept_changed_input: Whether an interrupted run goes on with files that have changed.
                Default: False.

        Raises:
            RunError: If the directory holds a run with other settings, another schema, or of other
                files.
        """
        path = self.path / "flags.txt"
        otherwise = "this directory holds another run; give another --run_dir or remove it"
        known = read_text(path) if path.exists() else None
        if known is None and self.has_trained:
            raise RunError(
                f"{path}: is gone, and {self.path} holds trained weights; bring it back, or give "
                "another --run_dir"
            )
        if known is not None:
            different = identity.differing(known, lines, model)
            if different and not identity.has_more_epochs(known, lines, different):
                raise RunError(f"{path}: {otherwise}. Differing lines: {different}")
        self.path.mkdir(parents=True, exist_ok=True)
        claim(self.path / "schema.toml", schema_text, otherwise)
        if self.has_trained:
            self.files.check(*MEANING, *WEIGHTS)
            self.rows.check(files, self.has_finished, accept_changed_input)
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
        is_local = bool(schema_file) and not is_remote(schema_file)
        is_users = is_local and own_schema.exists() and own_schema.samefile(schema_file)
        for folder in ("vocabulary", "rows", "tensorboard"):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        made = ("statistics.json", PROFILE, "warm_start.json", "data.json", "model.json")
        for file in (*made, manifest.FILE):
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
        again = temporary_name(path)
        try:
            write_parquet(again, table)
            is_same = filecmp.cmp(path, again, shallow=False)
        finally:
            again.unlink(missing_ok=True)
        if not is_same:
            raise RunError(
                f"{path}: holds other rows than those given; give another run_dir or remove it"
            )

    def schema(self) -> schema.Schema:
        """The run's dataset."""
        if not (self.path / "schema.toml").exists():
            raise RunError(f"{self.path}: holds no run (no schema.toml)")
        self.files.check("schema.toml")
        return schema_toml.load(self.path / "schema.toml")

    def statistics(self) -> dict[str, Any]:
        """What was counted of the training rows, see `vocabulary.publish`; empty if nothing was."""
        path = self.path / "statistics.json"
        return dict(read_json(path)) if path.exists() else {}

    def features(self) -> Features:
        """The run's feature graph with its vocabularies.

        Raises:
            ManifestError: If they are not those that the run was made with.
        """
        self.files.check(*MEANING)
        return Features(self.schema(), self.path)

    @property
    def files(self) -> NotedFiles:
        """What the run notes of its own files."""
        return NotedFiles(self.path, self.send)

    @property
    def rows(self) -> NotedRows:
        """What the run notes of its rows."""
        return NotedRows(self.path)

    def save_model_config(self, model: keras.Model) -> None:
        """Writes the model's class and arguments."""
        write_json(self.path / "model.json", keras.saving.serialize_keras_object(model))

    def model_config(self) -> dict[str, Any]:
        """The model's class, "class_name", and arguments, "config", as Keras serializes them."""
        found: dict[str, Any] = read_json(self.path / "model.json")
        return found

    def checkpoints(self, **state: Any) -> Checkpoints:
        """The states of training, each a variable or a list; the last two are kept."""
        return Checkpoints(
            self.path / "checkpoints",
            keep=2,
            on_save=self.send,
            **state,
        )

    def best(self, model: keras.Model) -> Checkpoints:
        """The best weights; one state is kept."""
        return Checkpoints(
            self.path / "best",
            keep=1,
            on_save=self.send,
            weights=variables(model),
        )

    def save_best(self, model: keras.Model) -> None:
        """Makes a model's weights the run's best ones, which an export of it serves."""
        self.files.forget(*WEIGHTS)
        self.best(model).save()
        self.files.note(*WEIGHTS)

    def check_trained(self) -> None:
        """Raises RunError if the run has not finished an epoch, or is one of trees."""
        if (self.path / TREES).is_dir():
            raise RunError(
                f"{self.path}: holds boosted trees, which only tafe_tf.report without --html and "
                "tafe_tf.compare show; this takes the run of a network"
            )
        if not newest_first(self.path / "best"):
            raise RunError(f"{self.path}: holds no trained model; run tafe_tf.train first")

    def save_keras(self, model: keras.Model) -> None:
        """Writes a model as `model.keras`, which `keras.saving.load_model` opens.

        The file appears whole or not at all.
        """
        with replacing(self.path / "model.keras") as temporary:
            model.save(temporary)

    def load_best(self) -> keras.Model:
        """The trained model with its best weights; it computes in float32, however it was trained.

        Raises:
            RunError: If the run has not finished an epoch, or its weights are damaged.
            ManifestError: If they are not those that the run ended with.
        """
        self.check_trained()
        self.files.check(*WEIGHTS)
        description = self.model_config()
        description["config"]["dtype"] = "float32"
        model = keras.saving.deserialize_keras_object(description)
        self.best(model).restore()
        return model


@functools.cache
def _mirror_of(uri: str, process: int) -> Mirror:
    """The one copy of a directory of a store that a process has."""
    return Mirror(uri, first=_SENT_FIRST, last=_SENT_LAST)
