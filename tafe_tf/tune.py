"""Searches each model's settings with the same budget, so that a comparison is fair.

    python -m tafe_tf.tune --flagfile=flagfiles/steam.flags --run_dir=runs/tuned --models=mmoe,tafe --trials=12
    python -m tafe_tf.compare --flagfile=flagfiles/steam.flags --models=mmoe,tafe --tuned=runs/tuned --run_dir=...

Optuna proposes (extra `[tune]`): by a grid if every flag has a list of values, otherwise by its TPE sampler. A trial is
a training run judged by its best validation score, never by test rows. Leaves MODEL.flags, a flagfile of the best
trial, and tune.json. The same command goes on with what is missing.
"""

from __future__ import annotations

import itertools
import json
import math
import pathlib
import sys
from typing import Any

import optuna
from absl import app
from absl import flags as absl_flags
from absl.flags import adopt_module_key_flags
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.distributions import CategoricalDistribution as Categorical
from optuna.storages.journal import JournalFileBackend

from tafe_tf import flags, schema
from tafe_tf.comparison.runs import Cell, Spec, prepare
from tafe_tf.data.atomic import write_json, write_text
from tafe_tf.models import BY_NAME
from tafe_tf.terminal import command
from tafe_tf.training.early_stopping import goodness, monitored

Space = dict[str, BaseDistribution]

adopt_module_key_flags(flags)
_MODELS = absl_flags.DEFINE_list(
    "models", ["single_task", "shared_bottom", "mmoe", "ple", "aitm", "tafe"], "Models."
)
_TRIALS = absl_flags.DEFINE_integer(
    "trials", 12, "Runs of each model; at most as many as a grid has.", lower_bound=1
)
_SEARCH = absl_flags.DEFINE_list(
    "search",
    ["learning_rate=5e-4:5e-3:log", "dropout=0:0.3"],
    "What to search: FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C of the flags of training.",
)


def main(argv: list[str]) -> None:
    """Runs the search; what the user can mend ends it with one line and exit code 1."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        tune()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def tune() -> None:
    """What `main` does, errors aside."""
    command.required(data_dir=flags.DATA_DIR.value, run_dir=flags.RUN_DIR.value)
    directory = pathlib.Path(flags.RUN_DIR.value)
    space = dict(distribution(text, flags.names()) for text in _SEARCH.value)
    specs = [
        Spec.parse(text, list(BY_NAME), flags.names()) for text in dict.fromkeys(_MODELS.value)
    ]
    dataset, common = prepare(directory)
    results = {spec.text: search(spec, space, directory, common, dataset) for spec in specs}
    write_json(directory / "tune.json", results)


def distribution(text: str, names: list[str]) -> tuple[str, BaseDistribution]:
    """A flag and what it is drawn from.

    Raises:
        ValueError: if the text is not as the flag's help says.
    """
    flag, _, values = text.partition("=")
    parts = values.split(":")
    try:
        if flag not in names or not values:
            raise ValueError
        if len(parts) == 1:
            return flag, Categorical(values.split("|"))
        if len(parts) > 3 or parts[2:] not in ([], ["log"]):
            raise ValueError
        return flag, FloatDistribution(float(parts[0]), float(parts[1]), log=parts[2:] == ["log"])
    except ValueError:
        raise ValueError(
            f"--search must be FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C. Received: {text}"
        ) from None


def search(
    spec: Spec,
    space: Space,
    directory: pathlib.Path,
    common: list[str],
    dataset: schema.Schema,
) -> dict[str, Any]:
    """Runs what is missing of one model's trials and writes its flagfile; returns the best trial and all scores."""
    journal = JournalFileBackend(str(directory / f"{spec.folder}.journal"))
    study = optuna.create_study(
        study_name=spec.text,
        storage=optuna.storages.JournalStorage(journal),
        sampler=optuna.samplers.TPESampler(seed=flags.training_config().seed),
        direction="maximize",
        load_if_exists=True,
    )
    for stale in study.get_trials(
        states=[optuna.trial.TrialState.RUNNING]
    ):  # of a search that was killed
        study.tell(stale.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(stale.params)
    if math.isfinite(_grid_size(space)):
        choices = [d.choices for d in space.values() if isinstance(d, Categorical)]
        for point in itertools.product(*choices):
            study.enqueue_trial(dict(zip(space, point, strict=True)), skip_if_exists=True)
    done = [optuna.trial.TrialState.COMPLETE]
    while len(study.get_trials(states=done)) < min(_TRIALS.value, _grid_size(space)):
        trial = study.ask(space)
        cell = Cell(
            spec,
            flags.training_config().seed,
            directory / "trials" / spec.folder / f"trial-{trial.number}",
        )
        asked = [f"--{flag}={value}" for flag, value in trial.params.items()]
        if error := cell.run([*common, *asked]):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise ValueError(f"{spec.text}, {' '.join(asked)}: {error} (see {cell.log})")
        value = best(cell.path, dataset)
        study.tell(trial, goodness(value, flags.training_config().monitor))
        print(
            f"{spec.text}, trial {trial.number}: {' '.join(asked)}: validation {value:.4f}",
            flush=True,
        )
    write_text(
        directory / f"{spec.folder}.flags",
        "".join(f"--{flag}={value}\n" for flag, value in study.best_params.items()),
    )
    trials = [
        {"params": each.params, "score": each.value} for each in study.get_trials(states=done)
    ]
    return {"best": study.best_params, "score": study.best_value, "trials": trials}


def _grid_size(space: Space) -> float:
    """How many points there are: infinite unless every flag has a list of values."""
    return math.prod(
        len(d.choices) if isinstance(d, Categorical) else math.inf for d in space.values()
    )


def best(path: pathlib.Path, dataset: schema.Schema) -> float:
    """The best validation value of a run, of the metric it was stopped by."""
    history, monitor = (
        json.loads((path / "history.json").read_text(encoding="utf-8")),
        flags.training_config().monitor,
    )
    values = [monitored(epoch, monitor, dataset.step_names) for epoch in history]
    return max(values, key=lambda value: goodness(value, monitor))


if __name__ == "__main__":
    command.run(main)
