"""What rows are compared with: a run, or a version of an export, and what training noted in it."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.errors import DataError
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.features.profile import FILE, Profile
from tafe_tf.insight.served import Served, version_of
from tafe_tf.schema import Schema
from tafe_tf.training.errors import RunError
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.noted_files import PROFILE
from tafe_tf.training.run import Run, load
from tafe_tf.training.run_dir import RunDir
from tafe_tf.training.score_profile import ScoreProfile, of_rows

Columns = Mapping[str, np.ndarray]


class OfRun:
    """A run.

    Args:
        run: The run, with a profile.

    Attributes:
        schema: The dataset.
        profile: What training noted, see `tafe_tf.features.profile`.
        beside: The training files, which tell what columns TFRecord files may lack.
    """

    def __init__(self, run: Run) -> None:
        run.directory.files.check(PROFILE)
        self.schema = run.schema
        self.profile: dict[str, Any] = read_json(run.path / FILE)
        self.beside = run.directory.rows.train_files()
        self._run = run

    def count_fields(self, counts: FieldCounts, columns: Columns) -> None:
        """Adds the missing and the unseen values of rows, by their columns."""
        ids = self._run.features.counted_ids(self._run.features(columns))
        counts.add_ids(np.asarray(ids), self._run.features.counted_slots)

    def scores(self, columns: Columns) -> dict[str, np.ndarray]:
        """What the model answers for rows, by the names of the outputs."""
        return self._run.answer(columns)


class OfExport:
    """A version of an export.

    Args:
        path: Its directory.

    Attributes:
        schema: See `OfRun`.
        profile: See `OfRun`; the scores are those of the export, calibrated if it is.
        beside: None; the training files are not known.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._served = Served(path)
        self.schema = self._served.schema
        profile = self._served.profile_file
        if not profile.exists():
            raise DataError(
                f"{path}: has no {profile.relative_to(path)}, since an earlier version made it or "
                "its run has none; give the run, or export it again once `tafe drift` has made "
                f"its {FILE}"
            )
        self.profile: dict[str, Any] = read_json(profile)
        self.beside: list[str] = []

    def _ask(self, signature: str, columns: Columns) -> dict[str, np.ndarray]:
        answer = self._served.ask(signature, columns)
        return {name: values.numpy() for name, values in answer.items()}

    def count_fields(self, counts: FieldCounts, columns: Columns) -> None:
        """Adds the missing and the unseen values of rows, by their columns."""
        counts.add_rows(**self._ask("fields", columns))

    def scores(self, columns: Columns) -> dict[str, np.ndarray]:
        """What the model answers for rows, by the names of the outputs."""
        return self._ask("serving_default", columns)


Reference = OfRun | OfExport


def reference(path: str | os.PathLike[str]) -> Reference:
    """What stands in a folder: a run, a version of an export, or versions: then the highest one.

    A run of an earlier version, without a profile, gets one from its training rows, which is said.

    Raises:
        RunError: If it is none of these, or has no profile and its training files are gone.
        DataError: If an export has no profile.
    """
    directory = os.fspath(path)
    version = version_of(directory)
    if version is not None:
        return OfExport(version)
    run = load(directory)
    if not (run.path / FILE).exists():
        _make_profile(run)
    return OfRun(run)


def _make_profile(run: Run) -> None:
    """Writes the profile of a run that has none, in passes over its rows."""
    said = f"{run.directory}: has no {FILE}, as runs of earlier versions; makes it"
    print(said, file=sys.stderr, flush=True)  # the output may be JSON
    files = run.directory.rows.train_files()
    if not files:
        raise RunError(
            f"{run.directory}: has no {FILE}, and does not say which files it was trained on; "
            "train it again"
        )
    bad_rows = run.directory.rows.bad_rows()
    with run.directory.locked():
        profile = _counted(run.schema, files, BadRows(bad_rows.policy, bad_rows.most))
        statistics = run.directory.statistics()
        shares = {kind: statistics.get(kind, {}) for kind in ("missing", "unseen")}
        scores = _scores(run)
        write_json(run.path / FILE, {**profile, "fields": shares, **scores})  # whole or not at all
        run.directory.files.note(PROFILE)


def _counted(schema: Schema, files: list[str], bad_rows: BadRows) -> dict[str, Any]:
    counts = Profile(schema)
    rows = 0
    names = [column.name for column in schema.served_inputs]
    for block in read_blocks(files, schema, bad_rows=bad_rows, columns=names):
        counts.add(block.columns)
        rows += len(block.row)
    return {"rows": rows, "columns": counts.described()}


def _scores(run: Run) -> dict[str, Any]:
    """The scores of the test rows, or of those that were held out, as `write_scores` adds them."""
    rows: RunDir = run.directory
    scores = ScoreProfile(run.schema)
    evaluator = Evaluator(run.model, run.features)
    test = rows.rows.test()
    if test is not None:
        evaluator.predict(test, "all", scores.add)
    else:
        evaluator.predict(rows.rows.held_out(), "valid", scores.add)
    name = "held-out rows" if test is None else "test rows"
    return of_rows(scores.gathered(evaluator.cluster), name)
