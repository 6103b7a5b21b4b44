"""What a run notes of its rows: which were held out, what the files held, and what of bad rows."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tafe_tf import schema_toml
from tafe_tf.data import bad_row_limit, manifest
from tafe_tf.data.atomic import read_json, write_json
from tafe_tf.data.bad_rows import BadRows, Policy
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.times import from_json, to_json
from tafe_tf.data.blocks.maturity import Now
from tafe_tf.data.fingerprint import Fingerprint, changes, of_splits
from tafe_tf.schema import Schema
from tafe_tf.shown import shown
from tafe_tf.storage.addresses import absolute
from tafe_tf.storage.listing import exists
from tafe_tf.training.errors import RunError

EVALUATION_ROWS = 4096  # rows of a batch where nothing is learned from it


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_fingerprints(value: Any) -> bool:
    """Whether a value is a list of the fields of `Fingerprint` for each split."""
    if not isinstance(value, dict):
        return False
    size = len(Fingerprint._fields)
    for files in value.values():
        if not isinstance(files, list):
            return False
        if not all(isinstance(file, list) and len(file) == size for file in files):
            return False
    return True


# What data.json may hold under a key: the rule in words, and whether a value obeys it. A user may
# have corrected paths in it.
_FORM: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "files": ("a list of paths", _is_list_of_texts),
    "train_files": ("a list of paths", _is_list_of_texts),
    "test_files": ("a list of paths", _is_list_of_texts),
    "holdout": ("an object", lambda value: isinstance(value, dict)),
    "now": (
        "a number or a time",
        lambda value: value is None or isinstance(value, int | float | str),
    ),
    "on_bad_row": ('"raise" or "drop"', lambda value: value in ("raise", "drop")),
    "max_bad_rows": ("a text", lambda value: isinstance(value, str)),
    "inputs": ("a list of fingerprints for each split", _is_fingerprints),
    "accepted_changes": ("a list", lambda value: isinstance(value, list)),
    "run": ("a text", lambda value: isinstance(value, str)),
}


class NotedRows:
    """The rows of a run, by its `data.json`.

    Args:
        run_dir: The run's directory.
    """

    def __init__(self, run_dir: pathlib.Path) -> None:
        self._run_dir = run_dir

    def _schema(self) -> Schema:
        return schema_toml.load(self._run_dir / "schema.toml")

    def save(
        self,
        validation: FunnelData,
        splits: Mapping[str, Sequence[str]],
    ) -> None:
        """Notes which rows were held out, where the test rows are, and what all files held.

        Under "rows" stands how many rows of the training files were read, and how many of them were
        dropped; the others were used. "accepted_changes" lists, for each time that an interrupted
        run went on with other files, what had changed.

        Args:
            validation: The data whose "valid" part was held out.
            splits: The paths of the files by split: "train", "valid" and "test".
        """
        bad_rows = validation.bad_rows
        counted = self._read().get("rows", {})
        if bad_rows.seen:  # not where vocabularies were there already
            counted = {"read": bad_rows.seen, "dropped": bad_rows.count}
        inputs = of_splits(splits)
        accepted = self._read().get("accepted_changes", [])
        changed = self._changed(inputs)
        if changed:  # `check` has accepted them
            accepted = [*accepted, changed]
        noted = {
            "files": [absolute(file) for file in validation.paths],
            "holdout": dataclasses.asdict(validation.holdout),
            "now": to_json(validation.now),
            "train_files": [absolute(file) for file in splits["train"]],
            "test_files": [absolute(file) for file in splits["test"]],
            "on_bad_row": bad_rows.policy,
            "max_bad_rows": bad_rows.most,
            "rows": counted,
            "inputs": inputs,
            "accepted_changes": accepted,
            "run": self.identity or self._new_identity(),
        }
        write_json(self._run_dir / "data.json", noted)

    @property
    def identity(self) -> str:
        """What names this run in its states, 16 hexadecimal digits; "" where nothing was noted."""
        found: str = self._read().get("run", "")
        return found

    def _new_identity(self) -> str:
        """A text that is the same for runs of the same settings, rows and vocabularies alone."""
        digest = hashlib.sha256()
        for name in ("flags.txt", manifest.FILE):
            path = self._run_dir / name
            digest.update(path.read_bytes() if path.exists() else b"")
        return digest.hexdigest()[:16]

    def check(
        self,
        splits: Mapping[str, Sequence[str]],
        has_finished: bool,
        accept: bool = False,
    ) -> None:
        """Finds that the files hold what they held when the run was trained.

        Args:
            splits: The paths of the files by split.
            has_finished: Whether training came to its end; an error then offers a warm start.
            accept: Whether a run that has not finished goes on with changed files, which is then
                said. Default: False.

        Raises:
            RunError: Naming each file that is new, gone or another one, and what to do.
        """
        now = of_splits(splits)
        changed = self._changed(now)
        if not changed:
            return
        what = f"{self._run_dir}: was trained with other files: {', '.join(changed)}"
        if accept and not has_finished:
            print(f"{what}; training goes on with these (--accept_changed_input)", flush=True)
            return
        is_of_test = changed == self._changed({"test": now.get("test", [])})
        mend = (
            "Bring them back as they were, give another --run_dir, or go on with these by "
            "--accept_changed_input"
        )
        if has_finished and is_of_test:
            mend = f"`tafe evaluate --run_dir={self._run_dir}` takes other rows by --data_dir"
        elif has_finished:
            mend = (
                f"Give another --run_dir, and --warm_start={self._run_dir} if the new run "
                "shall go on from this one's weights"
            )
        raise RunError(f"{what}; nothing was done. {mend}.")

    def _changed(self, now: Mapping[str, Sequence[Fingerprint]]) -> list[str]:
        """What differs between the files of now and those that were noted.

        An earlier version of this package noted nothing, from which nothing differs.
        """
        return changes(self._read().get("inputs", {}), now)

    def is_test(self, files: Sequence[str]) -> bool:
        """Whether files are the run's test rows, or it has noted none."""
        has_none = not self._read().get("test_files")
        return has_none or not self._changed(of_splits({"test": files}))

    @property
    def now(self) -> Now | None:
        """As of when labels that mature were judged; None where none does, or nothing is noted."""
        return from_json(self._read().get("now"))

    def bad_rows(self) -> BadRows:
        """Does with bad rows what was done in training."""
        noted = self._read()
        policy: Policy = noted.get("on_bad_row", "raise")
        return BadRows(policy, noted.get("max_bad_rows", bad_row_limit.DEFAULT))

    def _read(self) -> dict[str, Any]:
        """What data.json notes; nothing if it is not there.

        Raises:
            RunError: If it is of another form, naming the key and its value.
        """
        path = self._run_dir / "data.json"
        noted: Any = read_json(path) if path.exists() else {}
        if not isinstance(noted, dict):
            raise RunError(f"{path}: must be a JSON object. Received: {shown(noted)}")
        for key, (rule, holds) in _FORM.items():
            if key in noted and not holds(noted[key]):
                raise RunError(f"{path}: {key} must be {rule}. Received: {shown(noted[key])}")
        return noted

    def held_out(self, batch_size: int = EVALUATION_ROWS) -> FunnelData:
        """The data whose "valid" part was held out of training.

        Raises:
            RunError: If the run does not say which, or its files are gone.
        """
        noted = self._noted("files")
        return FunnelData(
            files=noted["files"],
            schema=self._schema(),
            batch_size=batch_size,
            holdout=Holdout(**noted["holdout"]),
            now=self.now,
            bad_rows=self.bad_rows(),
            beside=self.train_files(),
        )

    def test(self, batch_size: int = EVALUATION_ROWS) -> FunnelData | None:
        """The test rows, if training found any.

        Raises:
            RunError: If the run does not say where, or its files are gone.
        """
        noted = self._noted("test_files")
        files = noted["test_files"]
        if not files:
            return None
        return FunnelData(
            files=files,
            schema=self._schema(),
            batch_size=batch_size,
            now=self.now,
            bad_rows=self.bad_rows(),
            beside=self.train_files(),
        )

    def train_files(self) -> list[str]:
        """The paths of the training files, be they still there or not."""
        files: list[str] = self._read().get("train_files", [])
        return files

    def test_files(self) -> list[str]:
        """The paths of the test files.

        Raises:
            RunError: If training found none, or they are gone.
        """
        files: list[str] = self._noted("test_files")["test_files"]
        if not files:
            raise RunError(f"{self._run_dir}: has no test rows; give --data_dir")
        return files

    def _noted(self, key: str) -> dict[str, Any]:
        path = self._run_dir / "data.json"
        noted = self._read()
        if not noted:
            raise RunError(f"{self._run_dir}: does not say which rows were held out (no data.json)")
        gone = [file for file in noted[key] if not exists(file)]
        if gone:
            raise RunError(
                f"{gone[0]}: is gone; bring the data back, or correct the paths in {path}"
            )
        return noted
