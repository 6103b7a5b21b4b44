"""How an element of `--search` is read."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tafe_tf import flags
from tafe_tf.comparison import search
from tafe_tf.comparison.runs import Variant
from tafe_tf.comparison.search import distribution, space_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dropout=0:0.3", FloatDistribution(0.0, 0.3)),
        ("dropout=1e-4:0.3:log", FloatDistribution(1e-4, 0.3, log=True)),
        ("dropout=0.1|0.2", CategoricalDistribution(["0.1", "0.2"])),
        ("dropout=0.1", CategoricalDistribution(["0.1"])),
        ("num_leaves=7:63", IntDistribution(7, 63)),
        ("num_leaves=7:63:log", IntDistribution(7, 63, log=True)),
    ],
)
def test_what_a_flag_is_drawn_from(text: str, expected: Any) -> None:
    flag, _, _ = text.partition("=")
    assert distribution(text, ["dropout", "num_leaves"], {"num_leaves"}) == (flag, expected)


@pytest.mark.parametrize(
    "text",
    [
        "dropout",
        "dropout=",
        "dropout=0:x",
        "dropout=0:1:lin",
        "dropout=0:1:log:2",
        "dropout=0.3:0.1",
        "dropout=0:0.3:log",
        "dropout=0:inf",
        "dropout=nan:1",
        "no=1:2",
        "num_leaves=7.5:63",
        "num_leaves=0:63:log",
    ],
)
def test_a_search_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=f"--search must be FLAG=LOW:HIGH.* Received: {text}$"):
        distribution(text, ["dropout", "num_leaves"], {"num_leaves"})


def test_which_flags_have_whole_numbers() -> None:
    whole = flags.of_whole_numbers()
    assert {"num_leaves", "min_data_in_leaf", "batch_size", "tower_units", "num_layers"} <= whole
    assert not {"learning_rate", "shrinkage_rate", "dropout", "gate", "use_asrg"} & whole


def test_a_model_is_searched_by_the_flags_that_it_reads() -> None:
    rate = FloatDistribution(0.0, 0.3)
    leaves = CategoricalDistribution(["15", "31"])
    space: dict[str, Any] = {"dropout": rate, "num_leaves": leaves}
    trees = Variant("gbdt", "gbdt", {})
    assert space_of(trees, space, {"num_leaves", "seed"}) == {"num_leaves": leaves}
    rule = "--search must have a flag that gbdt reads, which are seed. Received: dropout, num_lea"
    with pytest.raises(ValueError, match=rule):
        space_of(trees, space, {"seed"})


@pytest.mark.parametrize("flag", ["dropout", "seed"])
def test_a_flag_that_all_trials_share_is_not_searched(flag: str) -> None:
    space: dict[str, Any] = {flag: CategoricalDistribution(["0", "0.2"])}
    variant = Variant("mmoe/dropout=0.1", "mmoe", {"dropout": "0.1"})
    rule = f"the same in all trials of mmoe/dropout=0.1. Received: {flag}"
    with pytest.raises(ValueError, match=rule):
        space_of(variant, space, {"dropout", "seed"})


@pytest.mark.parametrize(
    "space",
    [
        {"dropout": FloatDistribution(0.0, 0.3), "num_leaves": IntDistribution(7, 63)},
        {"gate": CategoricalDistribution(["a", "b"]), "size": CategoricalDistribution(["1", "2"])},
    ],
    ids=["ranges", "grid"],
)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_search_ends_as_one_that_was_not(
    space: dict[str, Any],
    error: type[BaseException],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without trainings: a score that the settings decide, and an end at every trial but one."""
    ends_at: set[int] = set()
    trained: list[list[str]] = []

    def train(_: Any, __: Any, name: str, settings: list[str], ___: Any) -> float:
        trained.append(settings)
        if len(trained) in ends_at:
            raise error("the run ended")
        return float(len(" ".join(settings)))

    def tuned(folder: pathlib.Path, trials: int) -> dict[str, Any]:
        folder.mkdir(exist_ok=True)
        shared: Any = SimpleNamespace(folder=SimpleNamespace(path=folder, send=lambda: None))
        mmoe = Variant("mmoe", "mmoe", {})
        job = search.Search(
            shared=shared, spaces={"mmoe": space}, trials=trials, seed=3, monitor="auc"
        )
        schema: Any = None
        return search.tune_model(job, mmoe, schema)

    monkeypatch.setattr(search, "_train", train)
    at_once = tuned(tmp_path / "at_once", 4)
    params = [trial["params"] for trial in at_once["trials"]]
    assert params[0] == {} and len(params) == 5
    assert all(params.count(each) == 1 for each in params)

    trained.clear()
    ends_at |= {1, 3, 5}  # the settings as given, and two trials
    for _ in ends_at:
        with pytest.raises(error, match="the run ended"):
            tuned(tmp_path / "in_parts", 2 if len(trained) < 3 else 4)
    assert tuned(tmp_path / "in_parts", 4) == at_once
