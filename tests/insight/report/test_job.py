"""The report of real runs: its numbers are those of their files."""

from __future__ import annotations

import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
from unittest import mock

import amount_rows
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_models
from absl import flags as absl_flags
from absl.testing import flagsaver

import tafe_tf
from tafe_tf import report as command
from tafe_tf.data.atomic import write_json
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.write import write
from tafe_tf.insight.report.job import Report, report
from tafe_tf.training.config import ModelConfig, TrainingConfig
from tafe_tf.training.data_config import DataConfig
from tafe_tf.training.evaluator import Evaluator
from tafe_tf.training.fit import fit
from tafe_tf.training.predictions import Predictions
from tafe_tf.training.run import Run

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose test rows have a day and a column with an evil name."""
    root = tmp_path_factory.mktemp("first")
    directory = small_models.make_run(root, "numbers")
    path = root / "data" / "test.parquet"
    rows = pq.read_table(path)
    days = pa.array([f"2026-11-0{1 + i // 200}" for i in range(rows.num_rows)])
    countries = pa.array([["DE", EVIL][i % 2] for i in range(rows.num_rows)])
    rows = rows.append_column("day", days).append_column(EVIL, countries)
    pq.write_table(rows, path)
    run = tafe_tf.load(directory.path)
    note_metrics(run)
    return run


@pytest.fixture(scope="module")
def second(first: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Another model, on the same test rows, that says it went on from the first one."""
    path = tmp_path_factory.mktemp("second") / "later"
    shutil.copytree(first.path, path)
    (path / "warm_start.json").write_text(json.dumps({"run": str(first.path)}))
    run = tafe_tf.load(path)
    kernel = np.random.default_rng(0).normal(size=run.model.heads.kernel.shape)
    run.model.heads.kernel.assign(kernel)
    run.directory.save_best(run.model)
    note_metrics(run)
    return run


def note_metrics(run: Run) -> None:
    """Measures the weights that a run has now, as `tafe evaluate` does."""
    run.directory.files.forget("metrics.json")
    write_json(run.path / "metrics.json", run.evaluate(run.directory.rows.test_files()))
    run.directory.files.note("metrics.json")


@pytest.fixture(scope="module")
def page(first: Run, second: Run) -> Report:
    """The second run's report, with the first one beside it and before it."""
    return report([second, first], by=[EVIL, "user"], day="day")


def cells(page: str, caption: str) -> dict[str, list[str]]:
    """The first table with a caption: its cells by the first one of each row."""
    table = re.search(
        rf"<caption[^>]*>{re.escape(html.escape(caption))}</caption>.*?</table>", page, re.S
    )
    assert table is not None, caption
    rows = {}
    for row in re.findall(r"<tr role=\"row\">(.*?)</tr>", table[0], re.S):
        name, *others = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
        rows[html.unescape(name)] = [html.unescape(cell) for cell in others]
    return rows


def test_the_metrics_shown_are_those_of_metrics_json(page: Report, second: Run) -> None:
    metrics = second.metrics
    assert metrics is not None
    shown = cells(page.html, "The test rows")
    for name in ("ctr", "ctcvr", "cvr"):
        for kind, text in zip(("auc", "log_loss", "pcoc", "ece"), shown[name], strict=True):
            value = metrics[f"{kind}/{name}"]
            assert value is not None
            assert float(text.split()[0]) == pytest.approx(value, abs=5e-5)
            if kind != "ece":
                low, high = (float(end) for end in re.findall(r"[\[ ]([\d.]+)[,\]]", text))
                assert low < value < high
    facts = cells(page.html, "The run")
    assert facts["test rows"] == ["600"]
    assert facts["parameters"] == [f"{metrics['parameters']:,}"]


def test_the_funnel_is_counted(page: Report, first: Run) -> None:
    rows = pq.read_table(pathlib.Path(first.path).parent / "data" / "test.parquet")
    clicks = np.asarray(rows["click"]).sum()
    shown = cells(page.html, "The funnel of the test rows")
    assert shown["ctr"][:2] == ["600", str(clicks)]
    assert shown["cvr"][0] == str(clicks)


def test_a_column_with_an_evil_name_is_text(page: Report) -> None:
    assert "<script" not in page.html
    assert f"{EVIL} = {EVIL}" in "".join(cells(page.html, "Slices"))


def test_runs_stand_side_by_side_and_beside_the_run_before(page: Report, first: Run) -> None:
    assert first.metrics is not None
    shown = cells(page.html, "Metrics of the test rows")
    assert list(shown) == ["", "later", "run"]
    assert shown["run"][0] == f"{first.metrics['auc/ctr']:.4f}"
    assert "Beside the run before" in page.html
    assert page.html.count("Differences to ") >= 2
    assert {"figure_9_ctr", "figure_9_ctcvr", "figure_5", "figure_7a"} <= set(page.figures)
    lifts = page.figures["figure_9_ctr"].table().rows
    assert [row[0] for row in lifts] == ["2026-11-01", "2026-11-02", "2026-11-03", "all days"]


def test_a_run_before_that_is_gone_is_said(second: Run, tmp_path: pathlib.Path) -> None:
    shutil.copytree(second.path, tmp_path / "run")
    (tmp_path / "run" / "warm_start.json").write_text(json.dumps({"run": "/nowhere/run"}))
    made = report([tmp_path / "run"], day="day")
    assert "/nowhere/run: the run before this one is gone" in made.html
    assert "Figure 9 needs a second run" in made.html


def test_other_test_rows_are_said(first: Run, tmp_path: pathlib.Path) -> None:
    shutil.copytree(first.path, tmp_path / "run")
    (tested,) = first.directory.rows.test_files()
    pq.write_table(pq.read_table(tested).slice(0, 300), tmp_path / "half.parquet")
    noted = json.loads((tmp_path / "run" / "data.json").read_text())
    noted["test_files"] = [str(tmp_path / "half.parquet")]
    (tmp_path / "run" / "data.json").write_text(json.dumps(noted))
    made = report([first, tmp_path / "run"])
    assert "has other test rows" in made.html
    assert "Differences to" not in made.html


def test_metrics_that_are_not_of_these_weights_are_said(first: Run, tmp_path: pathlib.Path) -> None:
    shutil.copytree(first.path, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    assert first.metrics is not None
    noted = {**first.metrics, "auc/ctr": 0.9}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(noted))
    made = report([tmp_path / "run"])
    assert "are not those in metrics.json" in made.html
    assert cells(made.html, "The test rows")["ctr"][0].startswith(f"{first.metrics['auc/ctr']:.4f}")


def test_without_its_test_rows_the_page_says_what_is_missing(
    first: Run, tmp_path: pathlib.Path
) -> None:
    shutil.copytree(first.path, tmp_path / "run")
    noted = json.loads((tmp_path / "run" / "data.json").read_text())
    noted["test_files"] = ["/nowhere/test.parquet"]
    (tmp_path / "run" / "data.json").write_text(json.dumps(noted))
    run = tafe_tf.load(tmp_path / "run")
    made = report([run])
    assert "/nowhere/test.parquet: is gone" in html.unescape(made.html)
    assert "What is missing here" in made.html
    assert first.metrics is not None
    assert cells(made.html, "The test rows")["ctr"][0] == f"{first.metrics['auc/ctr']:.4f}"
    assert "ROC curves" not in made.html

    (tmp_path / "run" / "manifest.json").unlink()
    seen = Predictions(run.schema)
    data = first.directory.rows.test()
    assert data is not None
    Evaluator(first.model, first.features).predict(data, "all", seen.add)
    np.savez(tmp_path / "run" / "predictions.npz", **seen.arrays())  # type: ignore[arg-type]
    made = report([run])
    assert "ROC curves" in made.html
    assert "sections are of the run&#39;s predictions.npz" in made.html
    assert cells(made.html, "The test rows")["ctr"][0].startswith(f"{first.metrics['auc/ctr']:.4f}")
    with pytest.raises(ValueError, match="is gone"):
        report([run], by=["user"])


def test_slices_and_importance_of_the_run_are_shown(first: Run, tmp_path: pathlib.Path) -> None:
    shutil.copytree(first.path, tmp_path / "run")
    one = {"field": "item", "output": "ctr", "auc_drop": 0.25, "interval": [0.2, 0.3]}
    noted = {"rows": 600, "repeats": 3, "fields": [one, {**one, "field": "user", "auc_drop": 0.5}]}
    (tmp_path / "run" / "importance.json").write_text(json.dumps(noted))
    of_other_weights = report([tmp_path / "run"])  # since nothing notes it
    assert "Importance for ctr" not in of_other_weights.html
    assert "importance: it has not been measured for these weights" in of_other_weights.html
    tafe_tf.load(tmp_path / "run").directory.files.note("importance.json")
    made = report([tmp_path / "run"])
    shown = cells(made.html, "Importance for ctr")
    assert list(shown)[1:] == ["user", "item"]
    assert shown["item"] == ["0.25", "0.2", "0.3"]


def test_a_wrong_column_is_named(first: Run) -> None:
    with pytest.raises(DataError, match="nothing_like_it"):
        report([first], by=["nothing_like_it"])
    with pytest.raises(ValueError, match=r"1 to 6 runs can be on a page\. Received: 7"):
        report([first] * 7)


def test_in_a_notebook_a_run_shows_its_page(first: Run, tmp_path: pathlib.Path) -> None:
    made = first.report(tmp_path / "page.html", by=["user"])
    assert (tmp_path / "page.html").read_text() == made.html
    shown = made._repr_html_()
    assert shown.startswith("<iframe") and html.unescape(shown).count("<main") == 1


def test_the_command_writes_the_page_and_the_figures(
    first: Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not absl_flags.FLAGS.is_parsed():
        absl_flags.FLAGS(["test"])
    page, figures = tmp_path / "page.html", tmp_path / "figures"
    with flagsaver.flagsaver(html=str(page), figures=str(figures), by=["user"]):
        command.main(["report", str(first.path)])
    assert f"wrote {page}" in capsys.readouterr().out
    assert "Report of run" in page.read_text()
    assert (figures / "figure_5.svg").exists()
    with flagsaver.flagsaver(day="day"), pytest.raises(SystemExit, match="--day belongs to --html"):
        command.main(["report", str(first.path)])
    nowhere = str(tmp_path / "nowhere" / "page.html")
    with (
        flagsaver.flagsaver(html=nowhere),
        mock.patch("tafe_tf.insight.report.job.report") as work,
        pytest.raises(SystemExit, match=f"error: {nowhere}: {tmp_path}/nowhere is no folder"),
    ):
        command.main(["report", str(first.path)])
    work.assert_not_called()


def test_tables_need_no_tensorflow(first: Run) -> None:
    said = (
        "import sys; from tafe_tf import report; "
        f"report.report({str(first.path)!r}); assert 'jinja2' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loans", "stories", "shop"])
def test_every_kind_of_funnel_has_a_report(name: str, tmp_path: pathlib.Path) -> None:
    """Three steps, a sequence, and lists of weighted values with a group."""
    run = tafe_tf.load(small_models.make_run(tmp_path, name).path)
    note_metrics(run)
    made = report([run], by=["user"])
    assert run.metrics is not None
    shown = cells(made.html, "The test rows")
    names = [*run.schema.step_names, *run.schema.conditional_names]
    assert [row for row in shown if row] == names
    for step in names:
        assert shown[step][0].startswith(f"{run.metrics[f'auc/{step}']:.4f}")
        assert f"Reliability of {step}" in made.html
    fields = cells(made.html, "Fields")
    assert set(fields) >= {feature.name for feature in run.schema.features}


@pytest.mark.slow
def test_amounts_have_a_report(tmp_path: pathlib.Path) -> None:
    parts = {}
    for part, count in (("train", 2000), ("test", 500)):
        rows = amount_rows.drawn(count, count)
        write(tmp_path / f"{part}.parquet", {name: rows[name].tolist() for name in rows})
        parts[part] = (str(tmp_path / f"{part}.parquet"),)
    data = DataConfig(train=parts["train"], test=parts["test"], schema=amount_rows.schema())
    model = ModelConfig(name="shared_bottom", arguments={"bottom_units": [8], "tower_units": [4]})
    training = TrainingConfig(epochs=1, batch_size=128, learning_rate_decay="none")
    run = fit(data, tmp_path / "run", model=model, training=training, verbose=False)
    made = report([run])
    metrics = run.metrics
    assert metrics is not None
    name = run.schema.amount_names[-1]
    shown = cells(made.html, "The funnel of the test rows")
    assert shown[name][-1].startswith(f"{metrics[f'pcoc/{name}']:.4f}")
    assert "The selectors" not in made.html


@pytest.mark.slow
def test_a_run_without_test_rows_has_a_report(tmp_path: pathlib.Path) -> None:
    rows = small_models.rows("numbers", 400)
    write(tmp_path / "train.parquet", rows)
    (tmp_path / "schema.toml").write_text(small_models.NUMBERS)
    model = ModelConfig(arguments={"num_inducing": 4, "num_layers": 1, "embedding_dim": 4})
    data = DataConfig.in_directory(tmp_path)
    training = TrainingConfig(epochs=1, batch_size=64)
    run = fit(data, tmp_path / "run", model=model, training=training, verbose=False)
    made = report([run])
    assert "was trained without test rows" in made.html
    assert "There are no metrics of test rows." in made.html
    assert "Figure 5" in made.html
