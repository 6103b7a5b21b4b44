"""Flags of training come from the code that uses them; what is not given is not passed on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from absl import flags as absl_flags
from absl.testing import flagsaver

from tafe_tf import flags
from tafe_tf.models import BY_NAME
from tafe_tf.terminal.command import CommandError
from tafe_tf.training.config import ModelConfig, TrainingConfig, model_arguments
from tafe_tf.trees.config import TreesConfig

FLAGS = absl_flags.FLAGS


@pytest.fixture(autouse=True)
def nothing_given() -> Iterator[None]:
    with flagsaver.flagsaver():
        yield


def given(*arguments: str) -> None:
    FLAGS(["train", *arguments])


def test_what_is_not_given_is_not_passed_on() -> None:
    given()
    assert flags.training_config() == TrainingConfig()
    assert flags.model_config() == ModelConfig()
    assert flags.as_flagfile() == ""
    assert all(flags.given(name) in (None, "") for name in flags.names())


def test_what_is_given_is_passed_on_with_its_type() -> None:
    given("--epochs=3", "--learning_rate=1", "--valid_split=time", "--nouse_asrg", "--model=tafe")
    assert flags.training_config() == TrainingConfig(
        epochs=3, learning_rate=1.0, valid_split="time"
    )
    assert isinstance(flags.training_config().learning_rate, float)
    given("--selector_hidden=16,8", "--dropout=0.25")
    arguments = {"selector_hidden": [16, 8], "dropout": 0.25, "use_asrg": False}
    assert flags.model_config() == ModelConfig(name="tafe", arguments=arguments)
    lines = ["--dropout=0.25", "--epochs=3", "--selector_hidden=16,8"]
    text = flags.as_flagfile(but={"model", "learning_rate", "valid_split", "use_asrg"})
    assert text.splitlines() == lines


def test_one_flagfile_serves_several_models() -> None:
    given("--num_layers=2", "--num_experts=3", "--expert_units=8", "--model=mmoe")
    assert flags.model_config().arguments == {"num_experts": 3, "expert_units": [8]}
    given("--model=tafe")
    assert flags.model_config().arguments == {"num_layers": 2}


def test_an_empty_list_means_the_models_own_sizes() -> None:
    given("--tower_units=", "--model=mmoe")
    assert flags.model_config().arguments == {}


@pytest.mark.parametrize("text", ["6,x", "0", "-1", "1.5"])
def test_sizes_that_are_none(text: str) -> None:
    given(f"--tower_units={text}", "--model=mmoe")
    with pytest.raises(
        CommandError, match=rf"--tower_units must be positive integers, .* Received: {text}"
    ):
        flags.model_config()


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("--epochs=none", "invalid literal"),
        ("--gate=top_k", "value should be one of <softmax|dselect_k>"),
        ("--model=taff", "value should be one of <tafe"),
    ],
)
def test_values_that_a_flag_cannot_have(argument: str, error: str) -> None:
    with pytest.raises(absl_flags.IllegalFlagValueError, match=error):
        given(argument)


def test_every_setting_has_a_flag_that_explains_itself() -> None:
    names = set(TrainingConfig.__dataclass_fields__)
    for model in BY_NAME:
        names |= set(model_arguments(model))
    for name in names:
        flag: Any = FLAGS[name]
        assert flag.default is None, name
        explanation = flag.help.partition(">: ")[2] or flag.help  # after an enum's choices
        assert explanation[0] in '["' or explanation[0].isupper(), (name, flag.help)
        assert flag.help.rstrip().endswith("."), (name, flag.help)
        told = "default" in flag.help.lower()
        assert told, f"--{name} does not tell its default: {flag.help}"


def test_help_names_the_models_that_take_a_flag() -> None:
    assert FLAGS["num_experts"].help.startswith("[mmoe] ")
    assert FLAGS["expert_units"].help.startswith("[mmoe, ple] ")
    assert FLAGS["embedding_dim"].help.startswith("Embedding")  # all models take it


def test_the_trees_have_flags_beside_those_of_the_networks() -> None:
    given("--num_leaves=7", "--heads=conditional", "--dropout=0.1", "--model=gbdt")
    assert flags.trees_config() == TreesConfig(num_leaves=7, heads="conditional")
    assert "--num_leaves=7" in flags.as_flagfile()
    rule = r"--model=gbdt is no network; `tafe compare --models=gbdt` trains the trees"
    with pytest.raises(CommandError, match=rule):
        flags.model_config()
    given("--model=tafe")
    with pytest.raises(CommandError, match="--model must be gbdt for trees, or left out"):
        flags.trees_config()


def test_flags_that_a_model_reads() -> None:
    of_trees = flags.read_by("gbdt")
    assert {"num_leaves", "monitor", "seed"} <= of_trees and "learning_rate" not in of_trees
    of_network = flags.read_by("mmoe")
    assert {"num_experts", "learning_rate"} <= of_network and "num_leaves" not in of_network
