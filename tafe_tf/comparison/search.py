"""A search for good settings with Optuna, whose trials are runs in processes of their own."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from tafe_tf.comparison.journal import open_study
from tafe_tf.comparison.runs import ChildRun, Shared, Variant, arguments_of
from tafe_tf.comparison.search_space import Space, count_of, described, grid_of
from tafe_tf.data.atomic import read_json, write_json, write_text
from tafe_tf.insight.tracking.together import Together
from tafe_tf.metrics import goodness, monitored
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import named
from tafe_tf.training.errors import RunError
from tafe_tf.training.noted_files import NotedFiles

# A trial that was interrupted goes on with a test file that has come or changed since, by which no
# trial is judged. The search itself has found that the other files are what they were.
_WITH_ANY_TEST_FILE = "--accept_changed_input"


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
        RunError: If the directory is another job's, or of another search.
        ValueError: If a trial fails.
    """
    results = {}
    folder = search.shared.folder
    with search.shared.prepared(needs_test=False) as schema:
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


def tune_model(
    search: Search,
    variant: Variant,
    schema: Schema,
) -> dict[str, Any]:
    """Makes the missing trials of one model and writes its flagfile.

    A trial whose run fails ends the search. If its settings are at fault it counts as tried, and
    the next call goes on after it; if the disk was full or the process was killed, the next call
    tries it again. The first trial has the settings as they are given, so that a search never ends
    with settings that are worse on the held-out rows than none would have been.

    Args:
        search: How to search.
        variant: The model.
        schema: The data set's schema.

    Returns:
        The best settings ("best"), their score, and all trials. Where the settings as they are
        given are the best, "best" is empty, and so is the flagfile.

    Raises:
        RunError: If the folder is of another search, or its journal is damaged.
        ValueError: If a trial fails.
    """
    study = _study(search, variant)
    tried = [trial.params for trial in study.trials]
    if {} not in tried:
        _try(search, variant, study, {}, schema)

    space = search.spaces[variant.text]
    grid = grid_of(space)
    if grid is not None:
        for point in itertools.islice(grid, search.trials):
            if point not in tried:
                _try(search, variant, study, point, schema)
    else:
        searched = sum(params != {} for params in tried)
        most = min(search.trials, count_of(space))  # a space may have fewer points than trials
        for number in range(searched, most):
            point = _proposal(study, space, _seed(search.seed, number))
            _try(search, variant, study, point, schema)

    ended = study.get_trials(states=[TrialState.COMPLETE])
    best = study.best_trial
    flagfile = search.shared.folder.path / f"{variant.folder}.flags"
    write_text(flagfile, "".join(f"{line}\n" for line in arguments_of(best.params)))
    failed = len(study.get_trials(states=[TrialState.FAIL]))
    and_failed = f" ({failed} more failed)" if failed else ""
    of_all = f"best of {len(ended) - 1} trials{and_failed} and the settings as given"
    found = f"validation {best.user_attrs['score']:.4f}, {_settings(best.params)}"
    print(f"{variant.text}, {of_all}: {found} ({named(str(flagfile))})", flush=True)
    trials = [
        {
            "params": each.params,
            "score": _score(each),
        }
        for each in ended
    ]
    return {
        "best": best.params,
        "score": _score(best),
        "trials": trials,
    }


def _study(search: Search, variant: Variant) -> optuna.Study:
    """Opens a model's study, which has the trials that have ended, and notes what is searched.

    Raises:
        RunError: If it is of another search: the best of two would have had the budget of two. Or
            if it is of an earlier version, which kept interrupted trials and no scores. Or if its
            journal is damaged.
    """
    path = search.shared.folder.path / f"{variant.folder}.journal"
    study = open_study(path, variant.text)
    asked = f"--search={described(search.spaces[variant.text])} --seed={search.seed}"
    noted = study.user_attrs.get("search")
    if noted is None and study.trials:
        rule = "has trials of an earlier version; give another --run_dir"
        raise RunError(f"{named(str(path))}: {rule}")
    if noted is None:
        study.set_user_attr("search", asked)
    elif noted != asked:
        rule = f"is of another search of {variant.text}; give another --run_dir"
        raise RunError(f"{named(str(path))}: {rule}. It is of {noted}. Received: {asked}")
    return study


def _proposal(study: optuna.Study, space: Space, seed: int) -> dict[str, Any]:
    """What the TPE sampler would try after a study's trials, or something new at random.

    It is asked in a copy: the study itself gets a trial when it is over, whatever interrupts it.
    """
    copy = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    copy.add_trials(study.trials)
    tried = [trial.params for trial in study.trials]
    point = copy.ask(space).params
    copy.sampler = optuna.samplers.RandomSampler(seed=seed)
    while point in tried:
        point = copy.ask(space).params
    return point


def _seed(seed: int, trial: int) -> int:
    """The seed of a trial's proposal: the same, however often the search was interrupted."""
    (drawn,) = np.random.SeedSequence([seed, trial]).generate_state(1)
    return int(drawn)


def _try(
    search: Search,
    variant: Variant,
    study: optuna.Study,
    params: Mapping[str, Any],
    schema: Schema,
) -> None:
    """Trains with the given values of the flags, and tells the study how good they are.

    Args:
        search: How to search.
        variant: The model.
        study: Its study, which gets the trial once it has ended or failed.
        params: The values; none for the settings as they are given.
        schema: The data set's schema.

    Raises:
        ValueError: If the run fails.
    """
    name = f"trial-{len(study.trials)}" if params else "as-given"
    path = search.shared.folder.path / "trials" / variant.folder / name
    title = f"{variant.text}, {_settings(params)}"
    run = ChildRun(variant, search.seed, path)
    common = [*search.shared.arguments, _WITH_ANY_TEST_FILE]
    error = run.train([*common, *arguments_of(params)])
    distributions = search.spaces[variant.text] if params else {}
    if error:
        if params and _is_of_settings(error):
            failed = create_trial(
                state=TrialState.FAIL,
                params=dict(params),
                distributions=distributions,
            )
            study.add_trial(failed)
        raise ValueError(f"{title}: {error} (see {named(str(run.log))})")
    score = best_value(path, search.monitor, schema)
    ended = create_trial(
        params=dict(params),
        distributions=distributions,
        value=goodness(score, search.monitor),
        user_attrs={"score": score},
    )
    study.add_trial(ended)
    search.shared.folder.send()
    print(f"{title}: validation {score:.4f}", flush=True)


def _is_of_settings(error: str) -> bool:
    """Whether a run failed by its settings, so that it would fail again, as `ChildRun` says it."""
    was_killed = not error.startswith("exit code 1:")
    return not was_killed and "give the same command again" not in error


def _settings(params: Mapping[str, Any]) -> str:
    """The values of a trial's flags, for a reader."""
    return " ".join(arguments_of(params)) or "settings as given"


def _score(trial: FrozenTrial) -> float | None:
    """A trial's value of the monitored metric; None where that is undefined."""
    score: float = trial.user_attrs["score"]
    return None if math.isnan(score) else score


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
