"""The contract's tables, schedules and configuration, of every model of the registry."""

from __future__ import annotations

import inspect
import json
import typing
from typing import Any, Literal

import keras
import numpy as np
import pytest
from registry import MODELS, make

from tafe_tf.layers import FusedEmbedding, GammaSchedule
from tafe_tf.models import BY_NAME, TAFE, FunnelModel
from tafe_tf.training import settings

ROWS, N = [4, 3, 5], 3

# The configuration of a TAFE as `model.json` files held it before constructors' arguments were
# taken as they are.
EARLIER: dict[str, Any] = {
    "name": "tafe",
    "trainable": True,
    "dtype": {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "float32"},
        "registered_name": None,
    },
    "field_rows": [4, 3, 5],
    "num_tasks": 3,
    "embedding_dim": 4,
    "embedding_stddev": 0.1,
    "embedding_dtype": None,
    "embedding_parts": 1,
    "slots": None,
    "num_inducing": 3,
    "num_heads": 2,
    "num_layers": 1,
    "selector_hidden": [5],
    "gamma_start": 10.0,
    "gamma_decay_steps": 50000.0,
    "dropout": 0.1,
    "use_asrg": True,
    "use_tsa": False,
    "tower_units": [64],
}


@pytest.mark.parametrize("name", MODELS)
def test_tables_and_schedules_are_all_that_there_are(name: str) -> None:
    model = make(name, ROWS, N)
    tables = [v for v in model.variables if v.name == "table"]
    assert [id(layer.table) for layer in model.tables()] == [id(table) for table in tables]
    assert all(type(layer) is FusedEmbedding for layer in model.tables())
    steps = [v for v in model.variables if v.name == "step"]
    assert len(steps) == (1 if isinstance(model, TAFE) else 0)
    assert [id(schedule.step) for schedule in model.schedules()] == [id(step) for step in steps]
    assert all(type(schedule) is GammaSchedule for schedule in model.schedules())


@pytest.mark.parametrize("name", MODELS)
def test_the_rows_read_are_those_that_have_a_gradient(name: str) -> None:
    model = make(name, ROWS, N)
    ids = np.array([[0, 1, 4], [3, 1, 0]])
    read = [np.unique(rows) for rows in model.rows_read(ids)]
    assert len(read) == len(model.tables())
    before = np.array(model(ids))
    for layer, rows in zip(model.tables(), read, strict=True):
        table = layer.table.numpy()
        others = np.setdiff1d(np.arange(len(table)), rows)
        table[others] += 1.0
        layer.table.assign(table)
    np.testing.assert_array_equal(model(ids), before)
    for layer, rows in zip(model.tables(), read, strict=True):
        table = layer.table.numpy()
        table[rows] += 1.0
        layer.table.assign(table)
    assert np.abs(np.array(model(ids)) - before).max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_the_configuration_goes_round_as_json(name: str) -> None:
    model = make(name, ROWS, N, slots=[1, 1, 1], dropout=0.1, dtype="mixed_bfloat16")
    description = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    again = keras.saving.deserialize_keras_object(description)
    assert type(again) is type(model) and again.get_config() == model.get_config()
    assert again.dtype_policy.name == "mixed_bfloat16"
    own = inspect.signature(type(model).__init__).parameters
    assert {*own, "slots"} - {"self", "kwargs"} <= set(description["config"])


def test_earlier_configurations_are_read_as_they_were() -> None:
    model = TAFE.from_config(EARLIER)
    later = {
        "heads": "separate",
        "conditional_weight": 0.0,
        "deep_units": 0,
        "amount": False,
        "embedding_l2": 0.0,
    }  # arguments that there were not, with what they stood for
    config = model.get_config()
    assert config == {**EARLIER, **later}
    assert model.towers is not None and model.towers.units == [64]


def test_a_default_is_written_as_what_it_stands_for() -> None:
    assert TAFE(ROWS, N, num_layers=1).get_config()["tower_units"] == []
    without = TAFE(ROWS, N, num_layers=1, use_tsa=False)
    assert without.get_config()["tower_units"] == [64]


@pytest.mark.parametrize("name", BY_NAME)
def test_every_argument_is_annotated_and_documented(name: str) -> None:
    """Flags are made of them: name, type, default and help."""
    made = BY_NAME[name]
    entries = {**entries_of(FunnelModel), **entries_of(made)}
    kinds = {"int", "float", "bool", "Sequence[int]", "Sequence[int] | None"}
    of_the_schema = {"encoders": "Sequence[Mapping[str, Any]] | None"}  # no flag
    for argument, parameter in made.parameters().items():
        annotation = parameter.annotation
        is_known = annotation in kinds or annotation == of_the_schema.get(argument)
        assert is_known or annotation.startswith("Literal["), (argument, annotation)
        assert argument in entries, f"{argument} is not in the docstrings"
        text = entries[argument]
        assert text[0].isupper() and text.endswith("."), text
        has_default = parameter.default is not inspect.Parameter.empty
        assert not has_default or "default" in text, f"{argument} does not tell its default"


def entries_of(made: type) -> dict[str, str]:
    """The `Args` of a docstring: name -> text on one line."""
    lines = (inspect.getdoc(made) or "").splitlines()
    entries: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if not line.startswith("    "):
            break
        if line[4] != " ":
            name, _, text = line.strip().partition(": ")
            entries[name] = text
        else:
            entries[name] += " " + line.strip()
    return entries


def test_choices_are_literals() -> None:
    for made, argument in ((BY_NAME["mmoe"], "gate"), (BY_NAME["escm2"], "estimator")):
        hints = typing.get_type_hints(made.__init__)
        assert typing.get_origin(hints[argument]) is Literal


@pytest.mark.parametrize("name", ["tafe", "esmm"])
def test_heads_that_there_are_not(name: str) -> None:
    rule = r"^`heads` must be separate or conditional\. Received: heads='product'$"
    with pytest.raises(ValueError, match=rule):
        BY_NAME[name]([5, 5], 2, heads="product")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_every_number_of_a_model_is_finite(name: str, value: float) -> None:
    floats = [
        argument
        for argument, setting in settings.of_constructor(BY_NAME[name]).items()
        if setting.kind is float
    ]
    assert "embedding_stddev" in floats
    for argument in floats:
        wrong: dict[str, Any] = {argument: value}
        with pytest.raises(ValueError, match=rf"`{argument}` must be a finite number. Received: "):
            make(name, ROWS, N, **wrong)
