"""Cells of several lines: legitimate ones against Python's reader, and those that swallow rows."""

from __future__ import annotations

import csv
import itertools
import pathlib
import random
import re
from collections.abc import Sequence

import pyarrow as pa
import pytest

from tafe_tf.data.bad_rows import BadRows, Policy
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats import csv_files, csv_lines
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.reader import Wanted
from tafe_tf.data.formats.whole_table import read_table
from tafe_tf.schema import Feature, Schema, Task

SCHEMA = Schema(
    name="shop",
    features=(Feature(name="item", kind="hash", buckets=9),),
    tasks=(Task(name="click"),),
)
POLICIES: list[Policy] = ["raise", "drop"]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has files read 1,000 bytes at a time."""
    for module in (csv_files, csv_lines):
        monkeypatch.setattr(module, "READ_BYTES", 1000)


def lines_of(rows: int) -> list[str]:
    """A header and rows of a click, an item and a note, a line each."""
    return ["click,item,note", *(f"{i % 2},item{i},note{i}" for i in range(rows))]


def read(path: pathlib.Path, policy: Policy = "raise") -> BadRows:
    bad_rows = BadRows(policy)
    for _ in read_blocks([str(path)], SCHEMA, bad_rows=bad_rows):
        pass
    return bad_rows


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
@pytest.mark.parametrize(
    ("edits", "row", "line"),
    [
        ({2000: '1,"item,x'}, 2000, 2001),  # the quote has no end
        ({2000: '1,"item,x', 6000: '1,item,x"'}, 2000, 2001),  # in the end one value
        ({5: '1,item,"x', 16: '1,item,x"'}, 5, 6),  # in a column that is not read
        ({1: '"1', 12: '"0,item,x'}, 1, 2),
        ({9000: '1,"item', 9990: 'x",x'}, 9000, 9001),
    ],
)
def test_a_quote_that_swallows_rows_is_named(
    tmp_path: pathlib.Path,
    name: str,
    edits: dict[int, str],
    row: int,
    line: int,
    policy: Policy,
) -> None:
    lines = lines_of(10_000)
    for place, text in edits.items():
        lines[place] = text
    path = tmp_path / name
    with pa.output_stream(path) as file:  # compresses as the ending says
        file.write("\n".join(lines).encode())
    start = rf"^{re.escape(str(path))}: row {row}: a cell that begins in line {line} goes on for "
    with pytest.raises(DataError, match=start + r".* is a quote without its end before it\?"):
        read(path, policy)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_cell_beyond_what_is_read_at_once(
    tmp_path: pathlib.Path, policy: Policy, small_pieces: None
) -> None:
    path = tmp_path / "train.csv"
    lines = lines_of(1000)
    lines[700] = '1,"item,x'
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"row 700: a cell that begins in line 701 is longer than"):
        read(path, policy)
    lines[700] = f"1,{'x' * 3000},x"
    path.write_text("\n".join(lines))
    with pytest.raises(
        DataError, match=r"row 700.* is longer than 1,000 bytes; is a quote without"
    ):
        read(path, policy)


def test_a_dropped_row_counts_its_lines(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "train.csv"
    lines = lines_of(100)
    lines[50] = '1,"item,x'  # swallows two rows
    lines[52] = '1,item",x,y'
    path.write_text("\n".join(lines))
    dropping = read(path, "drop")
    assert dropping.count == 3
    assert dropping.seen == 100
    assert dropping.report()[0].startswith("dropped 3 rows, the first: ")
    assert "row 50: must have 3 cells. Received: 4" in dropping.report()[0]


def drawn_cell(rng: random.Random) -> str:
    breaks = rng.choice(["\n", "\r\n"])
    kind = rng.random()
    if kind < 0.6:
        return "x" * rng.randint(0, 12)
    if kind < 0.7:
        return '5" pipe'
    lines = ["y" * rng.randint(0, 5) for _ in range(rng.randint(1, csv_lines.MOST_LINES))]
    return rng.choice(["", '"', ",", " "]) + breaks.join(lines) + rng.choice(["", '"', ","])


def written(path: pathlib.Path, rows: Sequence[Sequence[str]], rng: random.Random) -> None:
    dialect = rng.choice(["excel", "unix"])  # which quotes all cells
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, dialect, lineterminator=rng.choice(["\n", "\r\n"]))
        for row in rows:
            writer.writerow(row)
            if rng.random() < 0.1:
                file.write("\n")  # an empty line is no row


@pytest.mark.parametrize("seed", range(8))
def test_values_of_some_lines_are_read_as_python_reads_them(
    tmp_path: pathlib.Path, seed: int, small_pieces: None
) -> None:
    rng = random.Random(seed)
    rows = [[str(i), drawn_cell(rng), drawn_cell(rng)] for i in range(300)]
    path = tmp_path / "rows.csv"
    written(path, [["id", "a", "b"], *rows], rng)
    table = read_table(str(path))
    found = [list(row.values()) for row in table.to_pylist()]
    assert found == rows
    long = rng.randrange(300)
    rows[long][rng.choice([1, 2])] = "z\n" * csv_lines.MOST_LINES
    written(path, [["id", "a", "b"], *rows], rng)
    with pytest.raises(DataError, match=rf"row {long + 1}: a cell .* goes on for 11 lines, of"):
        read_table(str(path))


def test_pieces_and_their_rows_are_in_step(tmp_path: pathlib.Path, small_pieces: None) -> None:
    """What `CsvLines` takes for granted of pyarrow: a batch holds the rows that end in a piece."""
    rng = random.Random(0)
    path = tmp_path / "rows.csv"
    rows = [[str(i), "x" * rng.randint(0, 300), '""' * rng.randint(0, 1)] for i in range(300)]
    path.write_text("\n".join(",".join(row) for row in [["id", "a", "b"], *rows]) + "\n")
    content = path.read_bytes()
    ends = [content[start : start + 1000].count(b"\n") for start in range(0, len(content), 1000)]
    ends[0] -= 1  # the header
    wanted = Wanted(names=["id", "a", "b"], block_rows=1)
    lines = csv_lines.CsvLines(str(path), ",", '"')
    batches = csv_files._open(lines, wanted, ",", lambda row: "error")
    assert [batch.num_rows for batch in batches] == ends


def test_lines_are_counted_only_where_quotes_are(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines_of(30_000)))
    lines = csv_lines.CsvLines(str(path), ",", '"')
    pieces = list(itertools.takewhile(len, iter(lambda: lines.read(100_000), b"")))
    assert len(pieces) > 5
    assert not any(lines._lines)
