"""How wide the deep component of a job's TAFE is."""

from __future__ import annotations

import json
import pathlib

import pytest
import small_models

import tafe_tf
from tafe_tf.training import deep_units
from tafe_tf.training.config import ModelConfig
from tafe_tf.training.deep_units import by_rows, with_deep_units


def test_the_rows_decide() -> None:
    edges = {0: 128, 131_071: 128, 131_072: 256, 262_143: 256, 262_144: 512, 10**9: 512}
    assert {rows: by_rows(rows) for rows in edges} == edges


def test_who_chooses_gets_it() -> None:
    chosen = ModelConfig(arguments={"deep_units": 40})
    assert with_deep_units(chosen, 10**6) is chosen
    without = ModelConfig(name="mmoe")
    assert with_deep_units(without, 10**6) is without


@pytest.mark.slow
def test_a_run_goes_on_from_another_as_wide_as_it_is(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of one day are fewer than those of the month before."""

    def units(run: tafe_tf.Run) -> int:
        return int(json.loads((run.path / "model.json").read_text())["config"]["deep_units"])

    (tmp_path / "schema.toml").write_text(small_models.SHOP)
    train, test = (small_models.rows("shop", 600, seed) for seed in (0, 1))

    def fit(name: str, **settings: str) -> tafe_tf.Run:
        return tafe_tf.fit(
            tmp_path / "schema.toml",
            train=train,
            test=test,
            run_dir=tmp_path / name,
            epochs=1,
            verbose=False,
            **settings,
        )

    with monkeypatch.context() as patch:
        patch.setattr(deep_units, "_ROWS_OF_A_UNIT", 2)  # 540 rows are trained on
        month = fit("month")
    day = fit("day", warm_start=str(month.path))
    assert units(month) == 256
    assert units(day) == 256
    assert units(fit("anew")) == 128
    lines = (day.path / "flags.txt").read_text().splitlines()
    assert "# deep_units=by the number of rows" in lines
