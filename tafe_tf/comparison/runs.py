"""The runs of a comparison or a search: each in a process and a directory of its own.

<folder>/common.flags         the settings that all runs share
         prepared/            the schema, its vocabularies, built once, and what the files hold
<run>/                        a run directory, with predictions.npz once the run has finished
<run>.log                     what the run has printed
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tafe_tf import schema, schema_toml
from tafe_tf.comparison.folder import LAST_OF_A_RUN, RunsFolder
from tafe_tf.comparison.same_settings import differing
from tafe_tf.data.atomic import read_json, read_text, remove_left_over, write_json, write_text
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.fingerprint import changes, of_splits
from tafe_tf.data.formats.splits import Sources
from tafe_tf.features import vector_files, vocabulary
from tafe_tf.models import BY_NAME
from tafe_tf.storage.addresses import named
from tafe_tf.terminal import attended
from tafe_tf.training.errors import RunError
from tafe_tf.training.noted_files import METRICS, NotedFiles
from tafe_tf.training.run_dir import claim
from tafe_tf.training.schema_copy import text_of_copy
from tafe_tf.trees.config import NAME as TREES
from tafe_tf.trees.config import check_installed

_HINT = "Pass --help"  # what absl-py prints below a mistake in the flags
MODELS = (*BY_NAME, TREES)  # what can be compared


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model with settings of its own, as an element of `--models` asks for it.

    Attributes:
        text: `MODEL`, or `MODEL/FLAG=VALUE/...`; it is the variant's name in all tables.
        model: The architecture's name.
        settings: Values by flag of `tafe_tf.train`, for the flags that differ from the shared ones.
    """

    text: str
    model: str
    settings: Mapping[str, str]

    @classmethod
    def parse(
        cls,
        text: str,
        models: Sequence[str],
        flags: Sequence[str],
    ) -> Variant:
        """Reads an element of `--models`.

        Args:
            text: `MODEL`, or `MODEL/FLAG=VALUE/...`.
            models: Names of the models that there are.
            flags: Names of the flags that may be set.

        Raises:
            ValueError: If the model or a flag is unknown, or what the model needs is missing.
        """
        model, *pairs = text.split("/")
        if model not in models:
            raise ValueError(f"--models: must be some of {', '.join(models)}. Received: {model!r}")
        if model == TREES:
            check_installed()
        settings = {}
        for pair in pairs:
            flag, equals, value = pair.partition("=")
            if not equals or flag not in flags:
                rule = "must be MODEL/FLAG=VALUE with a flag of training"
                raise ValueError(f"--models: {text!r}: {rule}, not {pair!r}")
            settings[flag] = value
        return cls(text, model, settings)

    @property
    def folder(self) -> str:
        """The text as the name of a folder."""
        return self.text.replace("/", "+")

    @property
    def command(self) -> str:
        """The module that trains this variant."""
        return "tafe_tf.gbdt" if self.model == TREES else "tafe_tf.train"

    @property
    def arguments(self) -> list[str]:
        """The command-line arguments of its command that ask for this variant."""
        return [f"--model={self.model}", *arguments_of(self.settings)]


def arguments_of(settings: Mapping[str, Any]) -> list[str]:
    """Values by flag, as command-line arguments."""
    return [f"--{flag}={value}" for flag, value in settings.items()]


def variants_of(texts: Sequence[str], flags: Sequence[str]) -> list[Variant]:
    """Reads `--models`: each element once, in the order given.

    Args:
        texts: The elements.
        flags: Names of the flags that may be set.

    Raises:
        ValueError: See `Variant.parse`.
    """
    return [Variant.parse(text, MODELS, flags) for text in dict.fromkeys(texts)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shared:
    """What all runs of a comparison or a search have in common.

    Attributes:
        folder: Where the shared files and the runs are kept.
        settings: A flagfile of `tafe_tf.train` without the model, the seed and the schema.
        sources: Where the training and the test files are.
        schema_file: The path or URI of the data set's TOML file.
        bad_rows: What to do with bad rows while the vocabularies are built.
        tracking: What the command lines of the runs have for a tracker. Default: nothing.
    """

    folder: RunsFolder
    settings: str
    sources: Sources
    schema_file: str
    bad_rows: BadRows
    tracking: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """The command-line arguments of `tafe_tf.train` that every run starts with."""
        schema_file = self._prepared / "schema.toml"
        return [f"--flagfile={self._settings_file}", f"--schema={schema_file}", *self.tracking]

    @contextlib.contextmanager
    def prepared(self, needs_test: bool) -> Iterator[schema.Schema]:
        """Claims the directory for this process and builds the vocabularies that the runs share.

        Args:
            needs_test: Whether the runs are compared by test rows. If so there must be some, and
                they must stay what they are; if not, test files may come, change and go.

        Yields:
            The data set's schema.

        Raises:
            DataError: If there are no training files, or no test files although they are needed, or
                on a bad row.
            RunError: If the directory holds runs with other settings, another schema or other data.
            LockError: If another process works in the directory.
            StoreError: If the folder is in a store that cannot be read or does not take a file.
        """
        loaded = schema_toml.load(self.schema_file)
        files = {
            "train": self.sources.find_split("train"),
            "valid": self.sources.find_split("valid", required=False),
        }
        if needs_test:
            files["test"] = self.sources.find_split("test")
        of_vectors = vector_files.paths(loaded, self.schema_file)
        if of_vectors:
            files["pretrained"] = tuple(of_vectors)
        with self.folder.locked():
            self._prepared.mkdir(parents=True, exist_ok=True)
            for directory in (self.folder.path, self._prepared):
                remove_left_over(directory)
            self._claim(loaded)
            self._claim_inputs(files)
            if not (self._prepared / "statistics.json").exists():
                vocabulary.build(
                    list(files["train"]),
                    loaded,
                    self._prepared,
                    self.bad_rows,
                )
            yield loaded

    def _claim_inputs(self, files: Mapping[str, Sequence[str]]) -> None:
        """Notes what the files hold, or finds that they still do: runs on others do not compare."""
        path = self._prepared / "inputs.json"
        now = of_splits(files)
        if not path.exists():
            write_json(path, now)
        changed = changes(read_json(path), now)
        if changed:
            what = f"its runs were made with other files: {', '.join(changed)}"
            mend = "Bring them back as they were, or give another --run_dir"
            raise RunError(f"{self.folder.address}: {what}. {mend}")

    def _claim(self, loaded: schema.Schema) -> None:
        otherwise = "is of another job; give another --run_dir"
        if self._settings_file.exists():
            known = read_text(self._settings_file)
            lines = differing(known, self.settings)
            if lines:
                raise RunError(f"{self._settings_file}: {otherwise}. Differing lines: {lines}")
        else:
            write_text(self._settings_file, self.settings)
        schema_text = text_of_copy(loaded, self.schema_file)
        claim(self._prepared / "schema.toml", schema_text, otherwise)

    @property
    def _prepared(self) -> pathlib.Path:
        return self.folder.path / "prepared"

    @property
    def _settings_file(self) -> pathlib.Path:
        return self.folder.path / "common.flags"


@dataclasses.dataclass(frozen=True)
class ChildRun:
    """A run that is trained in a process of its own, so that a crash costs no other run.

    Attributes:
        variant: The model and its settings.
        seed: Seed of the weights, the shuffle and the hold-out.
        path: The run's directory.
    """

    variant: Variant
    seed: int
    path: pathlib.Path

    @property
    def name(self) -> str:
        """The run's name in messages."""
        return f"{self.variant.text}, seed {self.seed}"

    @property
    def is_done(self) -> bool:
        """Whether the run has written its predictions, which it does last, and all is as it was."""
        is_written = (self.path / LAST_OF_A_RUN).exists()
        return is_written and not NotedFiles(self.path).differences(*METRICS)

    @property
    def log(self) -> pathlib.Path:
        """The file with all that the run has printed."""
        return self.path.with_name(f"{self.path.name}.log")

    def train(self, arguments: Sequence[str]) -> str:
        """Trains the run, or resumes it, and waits for its end.

        Args:
            arguments: What the command line of `tafe_tf.train` begins with; the variant's settings
                come after these and win over them.

        Returns:
            An empty text, or the exit code and the last line that the run printed, its error.
        """
        own = [f"--seed={self.seed}", f"--run_dir={self.path}", "--save_predictions"]
        training = [*arguments, *self.variant.arguments, *own]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "w", encoding="utf-8") as log:
            child = attended.start(self.variant.command, training, output=log)
            try:
                code = child.wait()
            finally:  # whoever ends this process ends the run too, which saves what it has
                child.terminate()
                child.wait()
        if code == 0:
            return ""
        printed = self.log.read_text(encoding="utf-8", errors="replace").strip()
        lines = [line for line in printed.splitlines() if not line.startswith(_HINT)]
        last_line = lines[-1] if lines else "no output"
        return f"exit code {code}: {last_line}"


def train_all(
    runs: Sequence[ChildRun],
    arguments: Mapping[str, Sequence[str]],
    on_end: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Trains the runs that are not done, one after the other; a failed run costs no other.

    Args:
        runs: All runs, in the order in which to train them.
        arguments: By a variant's text, what the command lines of its runs begin with.
        on_end: Is called after each run. Default: nothing is.

    Returns:
        What went wrong, by the run's name.
    """
    failed = {}
    for number, run in enumerate(runs, start=1):
        if run.is_done:
            continue
        print(f"{number}/{len(runs)}: {run.name}", flush=True)
        error = run.train(arguments[run.variant.text])
        on_end()
        if error:
            failed[run.name] = error
            print(f"  failed, {error} (see {named(str(run.log))})", flush=True)
    return failed
