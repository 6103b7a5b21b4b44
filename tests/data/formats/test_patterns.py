"""Paths, folders, patterns and lists name the same files on every machine, each once."""

from __future__ import annotations

import glob
import os
import pathlib

import pytest

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.patterns import find_sources


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three days of two hours, and what else lies in such folders."""
    names = [
        *(f"log/dt=2026-11-{day}/hour={hour}/part-0.csv" for day in (8, 9, 10) for hour in (0, 1)),
        *("log/dt=2026-11-8/hour=0/part-1.csv.gz", "log/dt=2026-11-9/hour=1/_SUCCESS"),
        *("log/_metadata", "log/.part-0.csv.crc", "log/_temporary/0/part-9.csv", "log/schema.toml"),
        *("log/.hidden/part-8.csv", "other/a.csv", "other/b.csv", "other/c[1].csv", "other/README"),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("click\n1\n")
    return tmp_path


def found(folder: pathlib.Path, *texts: str, input_format: str = "") -> list[str]:
    paths = find_sources([os.path.join(folder, text) for text in texts], input_format)
    return [os.path.relpath(path, folder) for path in paths]


HOUR = "log/dt=2026-11-{}/hour={}/part-0.csv"
ALL = [HOUR.format(10, 0), HOUR.format(10, 1), HOUR.format(8, 0)]
ALL += ["log/dt=2026-11-8/hour=0/part-1.csv.gz", HOUR.format(8, 1)]
ALL += [HOUR.format(9, 0), HOUR.format(9, 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log", ALL),
        ("log/", ALL),
        ("log/**", ALL),
        ("log/**/part-0.*", [path for path in ALL if path.endswith("part-0.csv")]),
        ("log/**.gz", ["log/dt=2026-11-8/hour=0/part-1.csv.gz"]),
        ("log/dt=2026-11-{9..10}", [*ALL[:2], *ALL[-2:]]),
        ("log/dt=2026-11-{8,10}/hour=1/part-{0..0}.csv", [HOUR.format(10, 1), HOUR.format(8, 1)]),
        ("log/dt=2026-11-[89]/hour=1", [HOUR.format(8, 1), HOUR.format(9, 1)]),
        ("log/dt=2026-11-[!8]/*/part-?.csv", [HOUR.format(9, 0), HOUR.format(9, 1)]),
        ("log/dt=2026-11-?/hour=?/part-1*", ["log/dt=2026-11-8/hour=0/part-1.csv.gz"]),
        ("other/{a,{b,a}}.csv", ["other/a.csv", "other/b.csv"]),
        ("other/c[1].csv", ["other/c[1].csv"]),  # a file of that name wins over the pattern
    ],
)
def test_what_a_text_names(log: pathlib.Path, text: str, expected: list[str]) -> None:
    assert found(log, text) == expected


def test_patterns_agree_with_pythons_own(log: pathlib.Path) -> None:
    for pattern in ("log/**/*.csv", "log/*/hour=[01]/*.csv", "other/?.csv", "log/dt=*-[!8]/*/*"):
        theirs = glob.glob(str(log / pattern), recursive=True)
        theirs = [path for path in theirs if "/_" not in path]
        assert theirs
        assert found(log, pattern) == sorted(os.path.relpath(path, log) for path in theirs)


def test_zeros_of_a_range_are_kept(tmp_path: pathlib.Path) -> None:
    for name in ("07", "08", "09", "10", "9"):
        (tmp_path / f"day{name}.csv").touch()
    assert found(tmp_path, "day{08..10}.csv") == ["day08.csv", "day09.csv", "day10.csv"]
    with pytest.raises(DataError, match=r"\{10\.\.8\}: a range must go up"):
        found(tmp_path, "day{10..8}.csv")


def test_each_file_once_in_one_order(log: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(log, "other/b.csv", "other/[ab].csv", "other/a.csv", "other/./a.csv") == [
        *("other/a.csv", "other/b.csv"),
    ]
    monkeypatch.chdir(log / "other")
    assert find_sources(["b.csv", "./a.csv", "?.csv"]) == ("./a.csv", "b.csv")
    assert find_sources("*.csv") == ("a.csv", "b.csv", "c[1].csv")


def test_a_list_names_files_beside_it(log: pathlib.Path) -> None:
    (log / "days.txt").write_text("# the first days\n\nlog/dt=2026-11-8\nlog/dt=2026-11-{9..10}\n")
    assert [os.path.relpath(path, log) for path in find_sources(f"@{log}/days.txt")] == ALL
    (log / "days.txt").write_text("@days.txt\n")
    with pytest.raises(DataError, match=r"a list must not name another list\. Received: @days"):
        find_sources(f"@{log}/days.txt")
    (log / "days.txt").write_text("# none\n")
    with pytest.raises(DataError, match=r"days\.txt: names no file; write one path a line"):
        find_sources(f"@{log}/days.txt")
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        find_sources(f"@{log}/none.txt")


def test_what_names_nothing_is_an_error(log: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"log/\*\.parquet: names no file with rows; give a file"):
        found(log, "log/*.parquet")
    rule = r"dt=2026-11-\{8\.\.11\}: .*dt=2026-11-11: there is no such file or directory"
    with pytest.raises(FileNotFoundError, match=rule):
        found(log, "log/dt=2026-11-{8..11}")
    with pytest.raises(DataError, match=r"hour=1/part-1\*: names no file with rows"):
        found(log, "log/dt=2026-11-?/{hour=0,hour=1}/part-1*")
    with pytest.raises(DataError, match=r"log/_meta\*: names no file with rows"):
        found(log, "log/_meta*")
    with pytest.raises(DataError, match=r"a\.csv and .*d\.parquet: must be of one format"):
        (log / "other/d.parquet").touch()
        found(log, "other")


def test_a_prepared_folder_is_no_split(tmp_path: pathlib.Path) -> None:
    for name in ("train-00000.csv", "test-00000.csv"):
        (tmp_path / name).write_text("click\n1\n")
    with pytest.raises(DataError, match=r"the splits test and train; give --data_dir="):
        find_sources(str(tmp_path))
    assert found(tmp_path, "train*") == ["train-00000.csv"]
    (tmp_path / "preparing.json").write_text("{}")
    with pytest.raises(DataError, match="has not ended; run the same command again"):
        found(tmp_path, "train*")


def test_links_that_lead_back_end(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.csv").touch()
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert found(tmp_path, "a") == ["a/x.csv"]
