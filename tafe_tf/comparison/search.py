"""A search for good settings with Optuna, whose trials are runs in processes of their own."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from tafe_tf.comparison.runs import ChildRun, Shared, Variant
from tafe_tf.data.atomic import read_json, write_json, write_text
from tafe_tf.insight.tracking.together import Together
from tafe_tf.metrics import goodness, monitored
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import named
from tafe_tf.training.noted_files import NotedFiles

Space = dict[str, BaseDistribution]  # what each flag is drawn from


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """How to search.

    Attributes:
        shared: What all runs have in common.
        spaces: What each flag is drawn from, by a variant's text.
        trials: Number of trials for each model; all of the grid if that has fewer.
        seed: Seed of every trial's run and of the sampler.
        monitor: The validation metric that a trial is judged by.
        tracking: The address of a tracker that is told of all runs, see `Tracking`. Default: "",
            none.
    """

    shared: Shared
    spaces: Mapping[str, Space]
    trials: int
    seed: int
    monitor: str
    tracking: str = ""


def tune(search: Search, variants: list[Variant]) -> None:
    """Searches each model's settings, and writes the flagfiles and tune.json.

    Args:
        search: How to search.
        variants: The models.

    Raises:
        DataError: On a bad file or row.
        RunError: If the directory is another job's.
        ValueError: If a trial fails.
    """
    results = {}
    folder = search.shared.folder
    with search.shared.prepared() as schema:
        together = Together(search.tracking, folder.path, "tune", schema.name)
        shared = dataclasses.replace(search.shared, tracking=together.arguments)
        search = dataclasses.replace(search, shared=shared)
        for variant in variants:
            try:
                results[variant.text] = tune_model(search, variant, schema)
            finally:
                folder.send()
        write_json(folder.path / "tune.json", results)
        best = [folder.path / f"{variant.folder}.flags" for variant in variants]
        together.finish([folder.path / "tune.json", *best])


def distribution(
    text: str,
    names: Collection[str],
    whole: Collection[str],
) -> tuple[str, BaseDistribution]:
    """Reads an element of `--search`.

    Args:
        text: FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C.
        names: The flags that may be searched.
        whole: Those of them that have whole numbers: a range of theirs is one of whole numbers.

    Returns:
        The flag, and what its values are drawn from.

    Raises:
        ValueError: If the text has another form, the flag is unknown, or a range is empty.
    """
    flag, _, values = text.partition("=")
    try:
        if flag not in names or not values:
            raise ValueError
        if ":" not in values:
            return flag, CategoricalDistribution(values.split("|"))
        low, high, is_log = _range(values.split(":"))
        if flag in whole:
            return flag, IntDistribution(int(low), int(high), log=is_log)
        if not math.isfinite(float(high) - float(low)):
            raise ValueError
        return flag, FloatDistribution(float(low), float(high), log=is_log)
    except ValueError:
        forms = "FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C"
        of_low = "LOW at most HIGH, and above 0 on a logarithmic scale"
        numbers = "whole numbers" if flag in whole else "numbers"
        raise ValueError(
            f"--search must be {forms}, with a flag of training, and {numbers}, {of_low}, in a "
            f"range. Received: {text}"
        ) from None


def _range(parts: list[str]) -> tuple[str, str, bool]:
    """LOW and HIGH as they are written, and whether the scale is logarithmic."""
    low, high, *scale = parts
    if scale not in ([], ["log"]):
        raise ValueError
    return low, high, scale == ["log"]


def space_of(
    variant: Variant,
    space: Space,
    read: Collection[str],
) -> Space:
    """The part of a search that concerns a model: trials of other flags would all be the same.

    So would be those of the seed, and of a flag that the variant sets itself.

    Args:
        variant: The model and its settings.
        space: What each flag is drawn from.
        read: The flags that the model reads.

    Raises:
        ValueError: If there is no such flag, or one is set by the variant or is the seed.
    """
    for flag in space:
        if flag == "seed" or flag in variant.settings:
            rule = "must not have a flag that is the same in all trials"
            raise ValueError(f"--search {rule} of {variant.text}. Received: {flag}")
    found = {flag: each for flag, each in space.items() if flag in read}
    if not found:
        raise ValueError(
            f"--search must have a flag that {variant.model} reads, which are "
            f"{', '.join(sorted(read))}. Received: {', '.join(space)}"
        )
    return found


def tune_model(
    search: Search,
    variant: Variant,
    schema: Schema,
) -> dict[str, Any]:
    """Makes the missing trials of one model and writes its flagfile.

    The first trial has the settings as they are given, so that a search never ends with settings
    that are worse on the held-out rows than none would have been.

    Args:
        search: How to search.
        variant: The model.
        schema: The data set's schema.

    Returns:
        The best settings ("best"), their score, and all trials. Where the settings as they are
        given are the best, "best" is empty, and so is the flagfile.

    Raises:
        ValueError: If a trial fails.
    """
    study = _study(search, variant)
    tried = [trial.params for trial in _finished(study)]
    if {} not in tried:
        _try_as_given(search, variant, study, schema)

    space = search.spaces[variant.text]
    grid = _grid(space)
    if grid is not None:
        for point in itertools.islice(grid, search.trials):
            if point not in tried:
                study.enqueue_trial(point)
                _try(search, variant, study, schema)
    else:
        searched = sum(params != {} for params in tried)
        for number in range(searched, search.trials):
            # A sampler of its own: a search that goes on must not draw the same once more.
            study.sampler = optuna.samplers.TPESampler(seed=_seed(search.seed, number))
            _try(search, variant, study, schema)

    best = study.best_params
    flagfile = "".join(f"--{flag}={value}\n" for flag, value in best.items())
    write_text(search.shared.folder.path / f"{variant.folder}.flags", flagfile)
    trials = [
        {
            "params": each.params,
            "score": each.value,
        }
        for each in _finished(study)
    ]
    return {
        "best": best,
        "score": study.best_value,
        "trials": trials,
    }


def _study(search: Search, variant: Variant) -> optuna.Study:
    """Opens a model's study, in which trials that were interrupted have failed."""
    journal = JournalFileBackend(str(search.shared.folder.path / f"{variant.folder}.journal"))
    study = optuna.create_study(
        study_name=variant.text,
        storage=optuna.storages.JournalStorage(journal),
        direction="maximize",
        load_if_exists=True,
    )
    for interrupted in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(interrupted.number, state=TrialState.FAIL)
    return study


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=[TrialState.COMPLETE])


def _seed(seed: int, trial: int) -> int:
    """The seed of a trial's proposal: the same, however often the search was interrupted."""
    (drawn,) = np.random.SeedSequence([seed, trial]).generate_state(1)
    return int(drawn)


def _grid(space: Space) -> Iterator[dict[str, Any]] | None:
    """All combinations of the flags' values; None unless every flag has a list of them."""
    choices = []
    for each in space.values():
        if not isinstance(each, CategoricalDistribution):
            return None
        choices.append(each.choices)
    points = itertools.product(*choices)
    return (dict(zip(space, point, strict=True)) for point in points)


def _try_as_given(
    search: Search,
    variant: Variant,
    study: optuna.Study,
    schema: Schema,
) -> None:
    """Trains with the settings as they are given, and tells the study how good they are."""
    value = _train(search, variant, "as-given", [], schema)
    trial = create_trial(value=goodness(value, search.monitor))
    study.add_trial(trial)
    search.shared.folder.send()
    print(f"{variant.text}, settings as given: validation {value:.4f}", flush=True)


def _try(
    search: Search,
    variant: Variant,
    study: optuna.Study,
    schema: Schema,
) -> None:
    """Trains with settings that the study proposes, and tells it how good they are."""
    trial = study.ask(search.spaces[variant.text])
    settings = [f"--{flag}={value}" for flag, value in trial.params.items()]
    try:
        value = _train(search, variant, f"trial-{trial.number}", settings, schema)
    except ValueError:
        study.tell(trial, state=TrialState.FAIL)
        raise
    study.tell(trial, goodness(value, search.monitor))
    search.shared.folder.send()
    title = f"{variant.text}, trial {trial.number}: {' '.join(settings)}"
    print(f"{title}: validation {value:.4f}", flush=True)


def _train(
    search: Search,
    variant: Variant,
    name: str,
    settings: list[str],
    schema: Schema,
) -> float:
    """Trains a trial's run, of the given name; returns the best value of the monitored metric."""
    path = search.shared.folder.path / "trials" / variant.folder / name
    run = ChildRun(variant, search.seed, path)
    error = run.train([*search.shared.arguments, *settings])
    if error:
        log = named(str(run.log))
        tried = " ".join(settings) or "settings as given"
        raise ValueError(f"{variant.text}, {tried}: {error} (see {log})")
    return best_value(path, search.monitor, schema)


def best_value(
    run_dir: pathlib.Path,
    monitor: str,
    schema: Schema,
) -> float:
    """The best value of a validation metric over the epochs of a finished run.

    Args:
        run_dir: The run's directory.
        monitor: The metric, as in `--monitor`.
        schema: The data set's schema.
    """
    NotedFiles(run_dir).check("history.json")
    history = read_json(run_dir / "history.json")
    values = [monitored(epoch, monitor, schema.step_names) for epoch in history]
    return max(values, key=lambda value: goodness(value, monitor))
