"""The lift of one model over another on a log: runs and exports alike, and the command."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_models
from absl import flags
from absl.testing import flagsaver

import tafe_tf
from tafe_tf import lift
from tafe_tf.data.errors import DataError
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.insight.report.lift import find_lift
from tafe_tf.training.run_dir import RunDir

ROWS = 600
SHARE = 0.25


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDir]:
    root = tmp_path_factory.mktemp("runs")
    made = [small_models.make_run(root / str(seed), "shop", seed=seed) for seed in range(2)]
    other = tafe_tf.load(made[1].path)
    kernel = np.random.default_rng(0).normal(size=other.model.heads.kernel.shape)
    other.model.heads.kernel.assign(kernel)
    made[1].save_best(other.model)
    return made


@pytest.fixture(scope="module")
def exports(runs: list[RunDir], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("models")
    config = ExportConfig()
    return [str(publish(run, root / str(i), config)) for i, run in enumerate(runs)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("log") / "log.parquet"
    table = pa.table(small_models.rows("shop", ROWS, seed=7))
    days = pa.array([f"2026-11-{1 + row % 3:02}" for row in range(ROWS)])
    pq.write_table(table.append_column("date", days), path)
    return str(path)


def test_two_runs_on_a_log_as_counted_by_hand(runs: list[RunDir], log: str) -> None:
    found = find_lift(runs[0].path, runs[1].path, [log], "date", SHARE)
    assert list(found.days) == ["ctr", "ctcvr"]
    table = pq.read_table(log)
    labels = {"ctr": table["click"].to_numpy(), "ctcvr": table["buy"].to_numpy()}
    scores = [tafe_tf.load(run.path).predict(log) for run in runs]
    for step, days in found.days.items():
        sums = np.zeros(2)
        for day, one in enumerate(days[:-1]):
            rows = np.arange(day, ROWS, 3)
            assert (one.day, one.rows) == (f"2026-11-{day + 1:02}", len(rows))
            counted = []
            for score in scores:
                order = rows[np.argsort(-score[step][rows], kind="stable")]
                best = order[: round(SHARE * len(rows))]
                assert len(np.unique(score[step][rows])) == len(rows)  # no ties to divide
                counted.append(labels[step][best].sum())
            assert one.lift == pytest.approx(counted[0] / counted[1] - 1)
            sums += counted
        assert days[-1].lift == pytest.approx(sums[0] / sums[1] - 1)


@pytest.mark.slow
def test_an_export_has_the_lift_of_its_run(
    runs: list[RunDir], exports: list[str], log: str
) -> None:
    of_runs = find_lift(runs[0].path, runs[1].path, [log], "date", SHARE)
    of_exports = find_lift(exports[0], exports[1], [log], "date", SHARE)
    mixed = find_lift(runs[0].path, exports[1], [log], "date", SHARE)
    for step, days in of_runs.days.items():
        for i, one in enumerate(days):
            for another in (of_exports.days[step][i], mixed.days[step][i]):
                assert another.lift == pytest.approx(one.lift, abs=0.02)  # a row at the edge
                assert (another.day, another.rows) == (one.day, one.rows)
    same = find_lift(exports[0], exports[0], [log], "date", SHARE)
    assert all(one.lift == 0.0 for days in same.days.values() for one in days)


@pytest.mark.slow
def test_the_command_prints_and_writes(
    exports: list[str], log: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2")
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    page, folder = tmp_path / "lift.html", tmp_path / "figures"
    given: dict[str, Any] = {"day": "date", "html": str(page), "figures": str(folder)}
    with flagsaver.flagsaver(**given):
        lift.main(["lift", *exports, log])
    said = capsys.readouterr().out
    assert "ctcvr: " in said and "all days" in said and "2026-11-03" in said
    assert "Figure 9: lift in ctr by day" in page.read_text()
    assert sorted(path.name for path in folder.iterdir()) == [
        "figure_9_ctcvr.svg",
        "figure_9_ctr.svg",
    ]
    with flagsaver.flagsaver(day="date", json=True):
        lift.main(["lift", *exports, log])
    days = json.loads(capsys.readouterr().out)["days"]["ctr"]
    assert [one["day"] for one in days][-1] == "all days"
    for arguments, rule in ((exports, "three arguments or more"), ([*exports, log], "--day")):
        with pytest.raises(SystemExit, match=rule):
            lift.main(["lift", *arguments])


def test_what_cannot_be_compared_is_said(
    runs: list[RunDir], log: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(DataError, match="moment"):
        find_lift(runs[0].path, runs[1].path, [log], "moment")
    longer = small_models.make_run(tmp_path / "longer", "loans")
    with pytest.raises(DataError, match=r"the models must have the same steps\. Received: ctr"):
        find_lift(runs[0].path, longer.path, [log], "date")
