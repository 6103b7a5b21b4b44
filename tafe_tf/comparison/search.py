"""A search for good settings with Optuna, whose trials are runs in processes of their own."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence
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

from tafe_tf.comparison.runs import ChildRun, Shared, Variant, arguments_of
from tafe_tf.data.atomic import read_json, write_json, write_text
from tafe_tf.insight.tracking.together import Together
from tafe_tf.metrics import goodness, monitored
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import named
from tafe_tf.training.errors import RunError
from tafe_tf.training.noted_files import NotedFiles

Space = dict[str, BaseDistribution]  # what each flag is drawn from
# What a trial is judged by and on; scores that differ in it do not compare.
_OF_ALL_TRIALS = frozenset({"seed", "monitor", "valid", "valid_fraction", "valid_split"})


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


def distribution(text: str, kinds: Mapping[str, type | None]) -> tuple[str, BaseDistribution]:
    """Reads an element of `--search`.

    Args:
        text: FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C.
        kinds: The types of the flags that may be searched, see `tafe_tf.flags.kinds`.

    Returns:
        The flag, and what its values are drawn from.

    Raises:
        ValueError: If the text has another form, the flag is unknown or of another kind, a range is
            empty or has no end, or a list has a value twice.
    """
    flag, _, values = text.partition("=")
    kind = kinds.get(flag)
    is_whole = kind in (int, list)
    try:
        if flag not in kinds or not values:
            raise ValueError
        if ":" not in values:
            return flag, _choices(values.split("|"))
        if not is_whole and kind is not float:
            raise ValueError
        low, high, is_log = _range(values.split(":"))
        if is_whole:
            return flag, IntDistribution(int(low), int(high), log=is_log)
        if not math.isfinite(float(high) - float(low)):
            raise ValueError
        return flag, FloatDistribution(float(low), float(high), log=is_log)
    except ValueError:
        forms = "FLAG=LOW:HIGH, FLAG=LOW:HIGH:log or FLAG=A|B|C"
        of_low = "LOW at most HIGH, and above 0 on a logarithmic scale"
        numbers = "whole numbers" if is_whole else "numbers"
        raise ValueError(
            f"--search must be {forms}, with a flag of training and no value twice. A range must "
            f"be of a flag that has numbers, with {numbers}, {of_low}. Received: {text}"
        ) from None


def _choices(values: list[str]) -> CategoricalDistribution:
    if "" in values or len(set(values)) < len(values):
        raise ValueError
    return CategoricalDistribution(values)


def _range(parts: list[str]) -> tuple[str, str, bool]:
    """LOW and HIGH as they are written, and whether the scale is logarithmic."""
    low, high, *scale = parts
    if scale not in ([], ["log"]):
        raise ValueError
    return low, high, scale == ["log"]


def space_from(texts: Sequence[str], kinds: Mapping[str, type | None]) -> Space:
    """Reads `--search`.

    Args:
        texts: The elements.
        kinds: See `distribution`.

    Raises:
        ValueError: See `distribution`; or if a flag is there twice.
    """
    space: Space = {}
    for text in texts:
        flag, drawn_from = distribution(text, kinds)
        if flag in space:
            raise ValueError(f"--search must have each flag once. Received: {', '.join(texts)}")
        space[flag] = drawn_from
    return dict(sorted(space.items()))  # the same search, whatever the order it is written in


def space_of(
    variant: Variant,
    space: Space,
    read: Collection[str],
) -> Space:
    """The part of a search that concerns a model: trials of other flags would all be the same.

    So would be those of a flag that the variant sets itself, and the scores of trials with another
    seed, metric or other held-out rows do not compare.

    Args:
        variant: The model and its settings.
        space: What each flag is drawn from.
        read: The flags that the model reads.

    Raises:
        ValueError: If there is no such flag, or one is set by the variant or must be the same in
            all trials.
    """
    for flag in space:
        if flag in _OF_ALL_TRIALS or flag in variant.settings:
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

    A trial whose run fails ends the search. It counts as tried: the next call goes on after it. The
    first trial has the settings as they are given, so that a search never ends with settings
    that are worse on the held-out rows than none would have been.

    Args:
        search: How to search.
        variant: The model.
        schema: The data set's schema.

    Returns:
        The best settings ("best"), their score, and all trials. Where the settings as they are
        given are the best, "best" is empty, and so is the flagfile.

    Raises:
        RunError: If the folder is of another search.
        ValueError: If a trial fails.
    """
    study = _study(search, variant)
    tried = [trial.params for trial in study.trials]
    if {} not in tried:
        _try(search, variant, study, {}, schema)

    space = search.spaces[variant.text]
    grid = _grid(space)
    if grid is not None:
        for point in itertools.islice(grid, search.trials):
            if point not in tried:
                _try(search, variant, study, point, schema)
    else:
        searched = sum(params != {} for params in tried)
        for number in range(searched, search.trials):
            point = _proposal(study, space, _seed(search.seed, number))
            _try(search, variant, study, point, schema)

    ended = study.get_trials(states=[TrialState.COMPLETE])
    best = study.best_trial
    flagfile = search.shared.folder.path / f"{variant.folder}.flags"
    write_text(flagfile, "".join(f"{line}\n" for line in arguments_of(best.params)))
    of_all = f"best of {len(ended) - 1} trials and the settings as given"
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
            if it is of an earlier version, which kept interrupted trials and no scores.
    """
    path = search.shared.folder.path / f"{variant.folder}.journal"
    study = optuna.create_study(
        study_name=variant.text,
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))),
        direction="maximize",
        load_if_exists=True,
    )
    asked = f"--search={_described(search.spaces[variant.text])} --seed={search.seed}"
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


def _described(space: Space) -> str:
    """A space as `--search` has it."""
    texts = []
    for flag, each in space.items():
        if isinstance(each, CategoricalDistribution):
            texts.append(f"{flag}={'|'.join(map(str, each.choices))}")
        elif isinstance(each, FloatDistribution | IntDistribution):
            texts.append(f"{flag}={each.low}:{each.high}{':log' if each.log else ''}")
    return ",".join(texts)


def _proposal(study: optuna.Study, space: Space, seed: int) -> dict[str, Any]:
    """What the TPE sampler would try after a study's trials.

    It is asked in a copy: the study itself gets a trial when it is over, whatever interrupts it.
    """
    copy = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    copy.add_trials(study.trials)
    return copy.ask(space).params


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
    error = run.train([*search.shared.arguments, *arguments_of(params)])
    distributions = search.spaces[variant.text] if params else {}
    if error:
        if params:
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
