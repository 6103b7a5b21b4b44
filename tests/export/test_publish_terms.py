"""The terms check themselves; `tests/training/test_warm_start.py` has them at work."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import small_models
import tensorflow as tf

from tafe_tf.export.errors import ExportError
from tafe_tf.export.publish_terms import Terms
from tafe_tf.schema import FIRST
from tafe_tf.training.run_dir import RunDir


@pytest.mark.parametrize("name", ["max_auc_loss", "max_log_loss_rise", "max_slice_loss"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_margins_are_finite_and_not_negative(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be finite and not negative. Received: "):
        Terms(**{name: value})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return small_models.make_run(tmp_path_factory.mktemp("shop"), "shop", count=2000)


@pytest.mark.slow
def test_a_model_that_is_worse_in_one_slice_is_not_published(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    model = run.load_best()
    place = [feature.name for feature in run.schema().features].index("hour")

    def worse_at_three(inputs: dict[str, Any], training: bool = False) -> Any:
        logits = model(inputs, training=training)
        is_three = inputs["ids"][:, place] == FIRST + 3
        return logits + 4.0 * tf.cast(is_three, tf.float32)[:, None]

    lenient = {"previous": run, "max_auc_loss": 1.0, "max_log_loss_rise": 9.0}
    assert Terms(**lenient).judge(run, worse_at_three)["broken"] == []  # type: ignore[arg-type,index]
    terms = Terms(**lenient, slice_by=("hour", "user"))  # type: ignore[arg-type]
    rule = r"worse than .* on 2,000 test rows: log loss of c\w+ where hour = 3 \(\d+ rows\) "
    with pytest.raises(ExportError, match=rule) as error:
        terms.judge(run, worse_at_three)
    assert "where user" not in str(error.value)
    judged = dataclasses.replace(terms, publish_worse=True).judge(run, worse_at_three) or {}
    assert judged["slice_by"] == ["hour", "user"]
    assert all("where hour = 3" in text for text in judged["broken"])
    same = terms.judge(run, model) or {}
    assert same["broken"] == []
    assert "slices by hour, user, all steps: 0 are worse beyond noise" in capsys.readouterr().out


def test_slices_without_a_previous_model_compare_nothing_which_is_said(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Terms(slice_by=("hour",)).judge(run, run.load_best()) is None
    assert "no previous model: --slice_by compares nothing" in capsys.readouterr().out
    assert Terms().judge(run, run.load_best()) is None
    assert capsys.readouterr().out == ""
