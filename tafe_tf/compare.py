"""Trains models side by side on one dataset and says which is better, by how much, and how sure that is.

    python -m tafe_tf.compare --flagfile=flagfiles/steam.flags --run_dir=runs/compare \\
        --models=single_task,mmoe,tafe,tafe/dependence_weight=0 --seeds=5

All flags of `tafe_tf.train` hold for every model; MODEL/FLAG=VALUE makes a variant. Every model sees the same batches
in the same order and stops by the same rule. The same command goes on with what is missing; more models or seeds may
be asked for later. Leaves compare.json and compare.md in the run directory.
"""

from __future__ import annotations

import pathlib
import sys
import tomllib

from absl import app
from absl import flags as absl_flags
from absl.flags import adopt_module_key_flags

from tafe_tf import flags
from tafe_tf.comparison.runs import Cell, Spec, prepare, run_all
from tafe_tf.comparison.statistics import Comparison
from tafe_tf.comparison.tables import markdown, tables
from tafe_tf.data.atomic import write_json, write_text
from tafe_tf.models import BY_NAME
from tafe_tf.terminal import command
from tafe_tf.terminal.tables import show
from tafe_tf.training.run_dir import RunError

adopt_module_key_flags(flags)
_MODELS = absl_flags.DEFINE_list(
    "models", ["single_task", "shared_bottom", "mmoe", "ple", "aitm", "tafe"], "Models."
)
_SEEDS = absl_flags.DEFINE_integer(
    "seeds", 5, "Runs of each model, with --seed, --seed + 1, ...", lower_bound=1
)
_REPLICATES = absl_flags.DEFINE_integer("replicates", 400, "Bootstrap samples.", lower_bound=20)
_AGAINST = absl_flags.DEFINE_string(
    "against", "", "The model to test against; by default the best that is not TAFE."
)
_TUNED = absl_flags.DEFINE_string(
    "tuned", "", "A directory of `tafe_tf.tune`: MODEL.flags there hold for MODEL."
)
_PUBLISHED = absl_flags.DEFINE_string(
    "published", "", "A TOML file of a paper's metrics by model, to print beside."
)


def main(argv: list[str]) -> None:
    """Runs the comparison; what the user can mend, and a failed cell, end it with exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        failed = compare()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit(f"error: {len(failed)} cells failed; the same command tries them again")


def compare() -> dict[str, str]:
    """What `main` does, errors aside; returns what went wrong, by cell."""
    command.required(data_dir=flags.DATA_DIR.value, run_dir=flags.RUN_DIR.value)
    directory = pathlib.Path(flags.RUN_DIR.value)
    specs = [
        Spec.parse(text, list(BY_NAME), flags.names()) for text in dict.fromkeys(_MODELS.value)
    ]
    published = (
        tomllib.loads(pathlib.Path(_PUBLISHED.value).read_text()) if _PUBLISHED.value else {}
    )
    dataset, common = prepare(directory)
    arguments = {spec.text: common_arguments(common, spec) for spec in specs}
    seeds = range(flags.training_config().seed, flags.training_config().seed + _SEEDS.value)
    cells = [
        Cell(spec, seed, directory / "cells" / spec.folder / f"seed-{seed}")
        for seed in seeds
        for spec in specs
    ]
    failed = run_all(cells, arguments)
    comparison = Comparison(
        schema=dataset, replicates=_REPLICATES.value, against=_AGAINST.value, published=published
    )
    results = comparison.results(sorted(cells, key=lambda cell: specs.index(cell.spec)), failed)
    write_json(directory / "compare.json", results)
    write_text(directory / "compare.md", markdown(results, dataset))
    for table in tables(results, dataset):
        show(table)
    print(f"{directory}/compare.json and compare.md have more")
    return failed


def common_arguments(common: list[str], spec: Spec) -> list[str]:
    """The beginning of a cell's command line, with what was tuned for it."""
    if not _TUNED.value:
        return common
    tuned = pathlib.Path(_TUNED.value) / f"{spec.folder}.flags"
    if not tuned.exists():
        raise RunError(
            f"{tuned}: is missing; tune this model first: python -m tafe_tf.tune --models={spec.text} ..."
        )
    return [*common, f"--flagfile={tuned}"]


if __name__ == "__main__":
    command.run(main)
