"""The cells of a comparison: one training run for each model and seed, each in a process and a directory of its own.

<run_dir>/common.flags           what all cells share
          prepared/              the schema and its vocabularies, built once
          cells/MODEL/seed-N/    a run directory, with predictions.npz once it is done
          cells/MODEL/seed-N.log what it printed
"""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tafe_tf import flags, schema, schema_toml
from tafe_tf.data.formats.read import find_files
from tafe_tf.features import vocabulary
from tafe_tf.training.run_dir import claim


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a column of `--models` asks for: `MODEL`, or `MODEL/FLAG=VALUE/...` for a variant.

    Attributes:
        text: as it was written; its name in all tables.
        model: the architecture's name.
        settings: flags that differ from the common ones.
    """

    text: str
    model: str
    settings: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, models: Sequence[str], flags: Sequence[str]) -> Spec:
        """Reads a spec.

        Raises:
            ValueError: if the model or a flag is unknown.
        """
        model, *pairs = text.split("/")
        if model not in models:
            raise ValueError(f"--models: must be some of {', '.join(models)}. Received: {model!r}")
        settings = {}
        for pair in pairs:
            flag, equals, value = pair.partition("=")
            if not equals or flag not in flags:
                raise ValueError(
                    f"--models: {text!r}: must be MODEL/FLAG=VALUE with a flag of training, not {pair!r}"
                )
            settings[flag] = value
        return cls(text, model, settings)

    @property
    def folder(self) -> str:
        """The text as the name of a folder."""
        return self.text.replace("/", "+")

    @property
    def arguments(self) -> list[str]:
        """What it adds to a command line."""
        return [
            f"--model={self.model}",
            *(f"--{flag}={value}" for flag, value in self.settings.items()),
        ]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        spec: the model.
        seed: of weights, shuffle and hold-out.
        path: the run's directory.
    """

    spec: Spec
    seed: int
    path: pathlib.Path

    @property
    def is_done(self) -> bool:
        """Whether it has left its predictions, which come last."""
        return (self.path / "predictions.npz").exists()

    @property
    def log(self) -> pathlib.Path:
        """What it printed."""
        return self.path.with_name(f"{self.path.name}.log")

    def run(self, arguments: Sequence[str]) -> str:
        """Trains it, or goes on with it; returns an empty text, or the last line of what went wrong."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        own = [f"--seed={self.seed}", f"--run_dir={self.path}", "--save_predictions"]
        command = [sys.executable, "-m", "tafe_tf.train", *arguments, *self.spec.arguments, *own]
        with open(self.log, "w", encoding="utf-8") as log:
            code = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            ).returncode
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "" if code == 0 else f"exit code {code}: {lines[-1] if lines else 'no output'}"


def run_all(cells: Sequence[Cell], arguments: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Runs the cells that are not done, one after the other, and says so; a cell that fails costs no other.

    Args:
        cells: in the order to run them.
        arguments: what each spec's command line begins with.

    Returns:
        What went wrong, by cell ("MODEL, seed N").
    """
    failed = {}
    for number, cell in enumerate(cells, start=1):
        name = f"{cell.spec.text}, seed {cell.seed}"
        if cell.is_done:
            continue
        print(f"{number}/{len(cells)}: {name}", flush=True)
        if error := cell.run(arguments[cell.spec.text]):
            failed[name] = error
            print(f"  failed, {error} (see {cell.log})", flush=True)
    return failed


def prepare(directory: pathlib.Path) -> tuple[schema.Schema, list[str]]:
    """Makes the directory this job's own and builds the vocabularies that its cells share.

    Returns:
        The dataset, and the beginning of every cell's command line.

    Raises:
        RunError: if the directory holds a job with other flags or another schema.
    """
    dataset = schema_toml.load(flags.schema_file())
    files = find_files(flags.DATA_DIR.value, "train")
    find_files(flags.DATA_DIR.value, "test")
    prepared, common = directory / "prepared", directory / "common.flags"
    prepared.mkdir(parents=True, exist_ok=True)
    texts = {
        common: flags.as_flagfile(but={"model", "seed", "schema"}),
        prepared / "schema.toml": pathlib.Path(flags.schema_file()).read_text(encoding="utf-8"),
    }
    claim(texts, "is of another job; give another --run_dir")
    if not (prepared / "statistics.json").exists():
        vocabulary.build(files, dataset, prepared, flags.bad_rows())
    return dataset, [f"--flagfile={common}", f"--schema={prepared / 'schema.toml'}"]
