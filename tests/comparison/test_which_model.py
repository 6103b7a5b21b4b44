"""The page that says which model to take, from comparisons whose figures are known."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import small_models

ROOT = pathlib.Path(__file__).parents[2]
WHICH_MODEL = """
import json, pathlib, sys
from benchmarks.support.which_model_page import Runs, which_model
given = json.loads(sys.argv[1])
runs = {kind: [pathlib.Path(path) for path in paths] for kind, paths in given.items()}
sys.stdout.write(which_model(Runs(**runs)))
"""


def which_model(**runs: list[pathlib.Path]) -> str:
    """The tables of the page; the benchmarks are not installed, so another process makes them."""
    given = json.dumps({kind: [str(path) for path in paths] for kind, paths in runs.items()})
    made = subprocess.run(
        [sys.executable, "-c", WHICH_MODEL, given],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout


def figures(auc: float, minutes: float, difference: dict[str, Any] | None) -> dict[str, Any]:
    """A model of a finished comparison, with one AUC for all probabilities."""
    metrics = {f"auc/{name}": {"mean": auc} for name in ("ctr", "ctcvr", "cvr")}
    for name in ("ctr", "ctcvr", "cvr", "cvr_unreached"):
        metrics |= {
            f"truth_ratio/{name}": {"mean": 1.25, "sd": 0.03},
            f"truth_mae/{name}": {"mean": 0.03125, "sd": 0.002},
        }
    return {
        "metrics": metrics,
        "interval": {"auc/mean": [0.7, 0.9], "auc/conditional_mean": [0.7, 0.9]},
        "difference": difference,
        "conditional_difference": difference,
        "epochs": 4,
        "seeds": [0, 1, 2, 3, 4],
        "training_minutes": minutes,
        "test_rows_per_second": 1234.5,
    }


def comparison(path: pathlib.Path) -> pathlib.Path:
    """A comparison in which TAFE is highest, AITM level and quick, and MMOE below.

    TAFE without a part of it is higher still, and quicker.
    """
    (path / "prepared").mkdir(parents=True)
    (path / "prepared" / "schema.toml").write_text(small_models.SHOP)
    statistics = {"rows": 1000, "rate": {"ctr": 0.25, "ctcvr": 0.01}, "vocabulary": {"a": 7}}
    (path / "prepared" / "statistics.json").write_text(json.dumps(statistics))
    models = {
        "mmoe": figures(0.79, 1.0, {"mean": -0.01, "interval": [-0.02, -0.001]}),
        "aitm": figures(0.8, 2.0, None),
        "tafe": figures(0.801, 9.0, {"mean": 0.001, "interval": [-0.001, 0.002]}),
        "tafe/use_tsa=false": figures(0.802, 0.5, {"mean": 0.002, "interval": [0.001, 0.003]}),
    }
    (path / "compare.json").write_text(json.dumps({"models": models}))
    return path


def test_the_page_says_which_model_and_at_what_cost(tmp_path: pathlib.Path) -> None:
    runs = [comparison(tmp_path / name) for name in ("shop", "other")]
    page = which_model(without_a_flag=runs, parts=runs[1:])
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert ["shop", "tafe", "aitm, tafe", "aitm"] in rows
    assert ["shop", "1,000", "5", "7", "ctr 25.00%, ctcvr 1.00%", "5"] in rows
    assert ["tafe", *["**.8010** +0.0010 [-0.0010, +0.0020]"] * 2] in rows
    assert ["mmoe", *[".7900 -0.0100 [-0.0200, -0.0010]"] * 2] in rows
    assert ["aitm", *["**.8000** [.7000, .9000]"] * 2] in rows
    assert ["tafe", "9.0 (4 epochs)", "9.0 (4 epochs)"] in rows
    assert ["tafe", "1,234", "1,234"] in rows
    assert "**other, 1,000 training rows**" in page
    beside = ["mmoe", *[".7900 -0.0100 [-0.0200, -0.0010]"] * 2, *["1.250", ".0312"] * 4]
    assert [*beside, "1.0 (4 epochs)"] in rows
    without_a_flag, parts = page.split("## What TAFE's parts are worth")
    assert "use_tsa" in parts and "use_tsa" not in without_a_flag


def search(path: pathlib.Path) -> pathlib.Path:
    """A search in which AITM got better, and TAFE was best as it is given."""
    path.mkdir()
    at_first = {"params": {}, "score": 0.81}
    best, other = {"dropout": 0.25, "num_layers": 1}, {"dropout": 0.5, "num_layers": 2}
    trials = [at_first, {"params": other, "score": 0.7}, {"params": best, "score": 0.8234}]
    found = {
        "aitm": {"best": best, "score": 0.8234, "trials": trials},
        "tafe": {"best": {}, "score": 0.81, "trials": trials[:2]},
    }
    (path / "tune.json").write_text(json.dumps(found))
    return path


def test_the_page_has_searches_and_options(tmp_path: pathlib.Path) -> None:
    shop = [comparison(tmp_path / "shop")]
    searches = [search(tmp_path / "of_shop")]
    page = which_model(without_a_flag=shop, tuned=shop, searches=searches, options=shop)
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert titles[-5:] == [
        "With searched settings: the steps",
        "With searched settings: the conditionals",
        "What the searches chose",
        "Options of training: the steps",
        "Options of training: the conditionals",
    ]
    chosen = "`--dropout=0.25 --num_layers=1`"
    assert f"| of_shop | aitm | 2 | .8100 | .8234 | {chosen} |" in page
    assert "| of_shop | tafe | 1 | .8100 | .8100 | as given |" in page
    options = page[page.index("## Options of training: the steps") :]
    assert options.count("| tafe | **.8010** +0.0010 [-0.0010, +0.0020] |") == 2


def test_the_page_has_each_number_of_rows(tmp_path: pathlib.Path) -> None:
    few, many = (comparison(tmp_path / name) for name in ("few", "many"))
    counted = json.loads((many / "prepared" / "statistics.json").read_text())
    counted["rows"] = 2_000_000
    (many / "prepared" / "statistics.json").write_text(json.dumps(counted))
    found = json.loads((many / "compare.json").read_text())
    for model in found["models"].values():
        model["seeds"] = [0]
    (many / "compare.json").write_text(json.dumps(found))
    page = which_model(without_a_flag=[few], sizes=[few, many])
    _, by_size = page.split("## By the number of training rows\n")
    tables = by_size.split("| model |")[1:]
    of_steps, of_conditionals, step_errors, of_errors, calibrations, minutes = tables
    for table in tables:
        assert table.startswith(" few, 1,000 rows, 5 seeds | many, 2,000,000 rows, 1 seed |\n")
    tafe = "**.8010** +0.0010 [-0.0010, +0.0020]"
    assert f"| tafe | {tafe} | {tafe} |" in of_steps
    assert f"| tafe | {tafe} | {tafe} |" in of_conditionals
    assert "| tafe/use_tsa=false | .0312 ± .0020 | .0312 ± .0020 |" in of_errors
    assert "| tafe | .0312 ± .0020, .0312 ± .0020 |" in step_errors
    of_each = "1.2500 ± .0300, 1.2500 ± .0300, 1.2500 ± .0300"
    assert f"| tafe | {of_each} | {of_each} |" in calibrations
    assert "| tafe | 9.0 (4 epochs) | 9.0 (4 epochs) |" in minutes


def test_a_funnel_of_one_step_has_no_conditionals(tmp_path: pathlib.Path) -> None:
    one = comparison(tmp_path / "one")
    step = 'name = "one"\n[[tasks]]\nname = "click"\n'
    (one / "prepared" / "schema.toml").write_text(
        f'{step}[[features]]\nname = "a"\nkind = "vocabulary"\n'
    )
    page = which_model(without_a_flag=[one], sizes=[one], parts=[one])
    _, by_size = page.split("## By the number of training")
    assert "mean AUC of the steps" in by_size and "conditionals" not in by_size


def test_a_record_stands_for_a_run_directory(tmp_path: pathlib.Path) -> None:
    run = comparison(tmp_path / "shop")
    found = json.loads((run / "compare.json").read_text())
    exact = {"mean": 0.1234567891234, "sd": 0.1, "values": [0.1, 0.2]}
    found["models"]["aitm"]["metrics"]["auc/ctr"] = exact
    (run / "compare.json").write_text(json.dumps(found))
    subprocess.run(
        [sys.executable, "-m", "benchmarks.records", str(tmp_path / "records"), str(run)],
        cwd=ROOT,
        check=True,
    )
    record = tmp_path / "records" / "shop"
    assert which_model(without_a_flag=[run]) == which_model(without_a_flag=[record])
    kept = json.loads((record / "compare.json").read_text())
    assert kept["models"]["aitm"]["metrics"]["auc/ctr"] == {"mean": 0.123456789, "sd": 0.1}


def test_the_record_of_a_search_is_what_it_found(tmp_path: pathlib.Path) -> None:
    searched = search(tmp_path / "of_shop")
    (searched / "trials").mkdir()
    records = tmp_path / "records"
    module = [sys.executable, "-m", "benchmarks.records"]
    subprocess.run([*module, str(records), str(searched)], cwd=ROOT, check=True)
    (kept,) = (path for path in records.rglob("*") if path.is_file())
    assert kept == records / "of_shop" / "tune.json"
    assert json.loads(kept.read_text()) == json.loads((searched / "tune.json").read_text())


def test_a_folder_that_is_no_comparison_is_named_in_one_line(tmp_path: pathlib.Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "benchmarks.records", str(tmp_path), str(run)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and str(run) in line


def test_a_page_without_notes_is_named_in_one_line(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "benchmarks.pages", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and str(tmp_path / "results_notes.md") in line


def test_the_pages_are_made_of_their_notes_and_the_records(tmp_path: pathlib.Path) -> None:
    """After an edit of a record or of the notes: `python -m benchmarks.pages docs`."""
    all_notes = sorted((ROOT / "docs").glob("*_notes.md"))
    assert [notes.name for notes in all_notes] == ["results_notes.md", "which_model_notes.md"]
    for notes in all_notes:
        shutil.copy(notes, tmp_path)
    subprocess.run([sys.executable, "-m", "benchmarks.pages", str(tmp_path)], cwd=ROOT, check=True)
    for notes in all_notes:
        page = notes.name.replace("_notes", "")
        made = (tmp_path / page).read_text(encoding="utf-8")
        assert made.startswith(notes.read_text(encoding="utf-8"))
        assert made == (ROOT / "docs" / page).read_text(encoding="utf-8")
