"""A run's settings as text: what makes another run, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags as absl_flags
from absl.testing import flagsaver

from tafe_tf import flags
from tafe_tf.training import identity
from tafe_tf.training.config import ModelConfig, TrainingConfig

STEAM = TrainingConfig(
    epochs=5,
    learning_rate=4e-3,
    learning_rate_decay="linear",
    unseen_share=0.0,
)
SMALL = ModelConfig(
    name="tafe",
    arguments={
        "dropout": 0.1,
        "num_layers": 2,
        "num_inducing": 64,
        "deep_units": 0,
        "heads": "separate",
        "conditional_weight": 0.0,
    },
)
# What version 0.1.0 wrote: every flag, those of other models included.
EARLIER = """\
--batch_size=1024
--bottom_units=256,128
--counterfactual_weight=1.0
--data_dir=data
--dropout=0.1
--dtype_policy=float32
--embedding_dim=18
--embedding_dtype=float32
--embedding_parts=0
--embedding_stddev=0.05
--epochs=5
--estimator=ips
--expert_units=256,128
--gamma_decay_steps=50000.0
--gamma_start=10.0
--gate=softmax
--intercept_rows=1048576
--learning_rate=0.004
--learning_rate_decay=linear
--model=tafe
--monitor=auc
--num_experts=8
--num_heads=2
--num_inducing=64
--num_layers=2
--on_bad_row=raise
--patience=2
--readers=0
--retire_after=0
--schema=
--seed=0
--selector_hidden=
--shuffle_rows=262144
--tower_units=
--use_asrg
--use_tsa
--valid_fraction=0.1
--valid_split=random
--warm_gamma=continue
--warm_start=
"""


def lines(
    model: ModelConfig = SMALL, training: TrainingConfig = STEAM, **comments: str
) -> dict[str, str]:
    named = {"data_dir": "data", "schema": "data/schema.toml"}
    return identity.lines_of(model, training, flags=named, comments=comments)


def test_a_run_is_the_same_as_itself() -> None:
    assert identity.differing(identity.as_text(lines()), lines(), "tafe") == []


def test_a_run_of_an_earlier_version_goes_on() -> None:
    assert identity.differing(EARLIER, lines(), "tafe") == []


def test_a_default_of_an_earlier_version_is_not_taken_for_today_s() -> None:
    """There was no deep component: a job with today's default is another run."""
    arguments = {name: value for name, value in SMALL.arguments.items() if name != "deep_units"}
    today = lines(ModelConfig(arguments=arguments))
    assert identity.differing(EARLIER, today, "tafe") == [
        "# deep_units=by the number of rows",
        "--deep_units=0",
    ]
    with_unseen = lines(training=dataclasses.replace(STEAM, unseen_share=0.01))
    assert identity.differing(EARLIER, with_unseen, "tafe") == [
        "--unseen_share=0.0",
        "--unseen_share=0.01",
    ]


def test_what_differs_is_named() -> None:
    def differing(text: str, model: ModelConfig = SMALL, **training: Any) -> list[str]:
        changed = TrainingConfig(**{**STEAM.__dict__, **training})
        return identity.differing(text, lines(model, changed), model.name)

    written = identity.as_text(lines())
    for text in (written, EARLIER):
        assert differing(text, seed=1) == ["--seed=0", "--seed=1"]
        assert differing(text, dependence_weight=0.5) == ["--dependence_weight=0.5"]
        without = ModelConfig(arguments={**SMALL.arguments, "use_tsa": False})
        assert differing(text, without) == ["--nouse_tsa", "--use_tsa"]
        towers = ModelConfig(arguments={**SMALL.arguments, "tower_units": [8, 4]})
        assert "--tower_units=8,4" in differing(text, towers)
        assert differing(text, ModelConfig(name="mmoe", arguments={"dropout": 0.1})) == [
            "--model=mmoe",
            "--model=tafe",
        ]
    asked_for = "--dependence_weight=0.5\n"
    assert differing(written + asked_for) == ["--dependence_weight=0.5"]
    halved = EARLIER.replace("embedding_dtype=float32", "embedding_dtype=float16")
    assert differing(halved) == ["--embedding_dtype=float16", "--embedding_dtype=float32"]


def test_what_the_weights_do_not_depend_on() -> None:
    free = {"steps_per_call": 3, "checkpoint_steps": 7, "save_predictions": True}
    assert lines(training=TrainingConfig(**{**STEAM.__dict__, **free})) == lines()


def test_rows_that_no_flag_names_are_comments() -> None:
    named = lines(train="/a.csv", test="")
    assert named["train"] == "# train=/a.csv" and "test" not in named
    text = identity.as_text(named)
    assert identity.differing(text, named, "tafe") == []
    assert identity.differing(text, lines(train="/b.csv"), "tafe") == [
        "# train=/a.csv",
        "# train=/b.csv",
    ]


def test_rows_that_are_left_out_make_another_run() -> None:
    text = identity.as_text(lines(train="/a.csv", valid="rows in memory"))
    assert identity.differing(text, lines(train="/a.csv"), "tafe") == ["# valid=rows in memory"]
    by_name = {name: line for name, line in lines(train="/a.csv").items() if name != "data_dir"}
    assert identity.differing(text, by_name, "tafe") == [
        "# valid=rows in memory",
        "--data_dir=data",
    ]


def test_what_somebody_chose() -> None:
    model = ModelConfig(name="tafe", arguments={"num_layers": 3, "use_tsa": False})
    training = TrainingConfig(epochs=7)
    lines = identity.lines_of(model, training, {"data_dir": "/data"}, {"train": "/data/a"})
    chosen = identity.chosen(identity.as_text(lines))
    expected = ["# train=/data/a", "--data_dir=/data", "--epochs=7", "--model=tafe", "--nouse_tsa"]
    assert chosen == sorted([*expected, "--num_layers=3"])


def test_the_text_is_a_flagfile() -> None:
    with flagsaver.flagsaver():
        text = identity.as_text(lines(train="/a.csv"))
        arguments = [line for line in text.splitlines() if not line.startswith("#")]
        absl_flags.FLAGS(["train", *arguments])
        assert flags.training_config() == STEAM
        assert flags.model_config().all_arguments() == SMALL.all_arguments()
