"""Tables in memory: every library's, read as the Parquet file of the same rows is."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_files import GOOD, SCHEMA, read
from small_models import SCHEMAS, rows

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.batch import Batch
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.holdout import Holdout
from tafe_tf.data.batches.position import Position
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.in_memory import ArrowRows, to_arrow, write_parquet
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.write import write

MAKERS: dict[str, Any] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
    "lists": dict,
    "arrays": lambda columns: {name: as_array(values) for name, values in columns.items()},
}


def as_array(values: list[Any]) -> np.ndarray | list[Any]:
    """An array of numbers with NaN for None; texts and lists as an array of objects."""
    if isinstance(values[0], str | list):
        array = np.empty(len(values), object)
        array[:] = values
        return array
    return np.array([np.nan if value is None else value for value in values])


def identical(ours: Any, theirs: Any) -> None:
    """Types and bits are the same, NaN included."""
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    if ours.dtype == object:
        assert ours.tolist() == theirs.tolist()
    else:
        assert ours.tobytes() == theirs.tobytes()


def all_identical(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs) > 1
    for our, their in zip(ours, theirs, strict=True):
        for name, field in our._asdict().items():
            other = getattr(their, name)
            if isinstance(field, dict):
                assert list(field) == list(other)
                for column in field:
                    identical(field[column], other[column])
            elif isinstance(field, tuple):
                assert field == other == ()
            else:
                identical(field, other)


@pytest.mark.parametrize("library", MAKERS)
@pytest.mark.parametrize("name", SCHEMAS)
def test_batches_are_those_of_a_parquet_file(
    tmp_path: pathlib.Path, name: str, library: str
) -> None:
    """The file is `write`'s, which knows nothing of tables in memory."""
    columns = rows(name, 500)
    write(tmp_path / "train.parquet", columns)
    (tmp_path / "schema.toml").write_text(SCHEMAS[name])
    table = to_arrow(MAKERS[library](columns), "rows")
    settings: dict[str, Any] = {
        "schema": schema_toml.load(tmp_path / "schema.toml"),
        "batch_size": 32,
        "shuffle_rows": 100,
        "holdout": Holdout(fraction=0.2),
    }
    file = FunnelData(files=[str(tmp_path / "train.parquet")], **settings)
    memory = FunnelData(files=[ArrowRows("rows", table)], **settings)
    position = Position(epoch=1)
    all_identical(list(memory.training_batches(position)), list(file.training_batches(position)))
    all_identical(list(memory.evaluation_batches("valid")), list(file.evaluation_batches("valid")))


@pytest.mark.parametrize("library", MAKERS)
def test_the_same_rows_of_any_library_are_kept_as_the_same_bytes(
    tmp_path: pathlib.Path, library: str
) -> None:
    write_parquet(tmp_path / "rows.parquet", to_arrow(MAKERS[library](rows("shop", 50)), "rows"))
    write_parquet(tmp_path / "lists.parquet", to_arrow(rows("shop", 50), "rows"))
    found = (tmp_path / "rows.parquet").read_bytes()
    assert found == (tmp_path / "lists.parquet").read_bytes()


def test_bytes_do_not_depend_on_the_pieces_of_a_table(tmp_path: pathlib.Path) -> None:
    count = 150_000  # more than two row groups
    whole = pa.table({"x": np.arange(count), "y": [str(i % 7) for i in range(count)]})
    pieces = pa.concat_tables([whole.slice(0, 10), whole.slice(10, 70_000), whole.slice(70_010)])
    write_parquet(tmp_path / "whole.parquet", whole)
    write_parquet(tmp_path / "pieces.parquet", pieces)
    found = (tmp_path / "pieces.parquet").read_bytes()
    assert found == (tmp_path / "whole.parquet").read_bytes()
    assert pq.read_table(tmp_path / "whole.parquet").equals(whole)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["pieces.parquet", "whole.parquet"]


TEXTS = pa.array(["a", None, "b", "a"])
MOMENTS = pa.array([0, None, 2, -3])
TYPES: list[tuple[pa.Array, pa.DataType]] = [
    *((pa.array([1, None, 3, 4], kind), kind) for kind in (pa.int8(), pa.uint64(), pa.int64())),
    *((pa.array([1.5, None, 3, 4], kind), kind) for kind in (pa.float32(), pa.float64())),
    (pa.array([True, None, False, True]), pa.bool_()),
    (pa.nulls(4), pa.null()),
    (TEXTS, pa.string()),
    (TEXTS.cast(pa.large_string()), pa.string()),
    (TEXTS.cast(pa.string_view()), pa.string()),
    (TEXTS.cast(pa.binary()), pa.binary()),
    (TEXTS.cast(pa.large_binary()), pa.binary()),
    (TEXTS.cast(pa.binary_view()), pa.binary()),
    (TEXTS.dictionary_encode(), pa.string()),
    (TEXTS.cast(pa.large_string()).dictionary_encode(), pa.string()),
    (pa.array([7, None, 7, 8]).dictionary_encode(), pa.int64()),
    (pa.array([["a", None], [], None, ["b"]]), pa.list_(pa.string())),
    (
        pa.array([["a", None], [], None, ["b"]], pa.large_list(pa.large_string())),
        pa.list_(pa.string()),
    ),
    (pa.array([[1, 2], [3, 4], None, [5, None]], pa.list_(pa.int64(), 2)), pa.list_(pa.int64())),
    (pa.array([["a"], [], None, ["b", "c"]], pa.list_view(pa.string())), pa.list_(pa.string())),
    (MOMENTS.cast(pa.timestamp("s")), pa.timestamp("ms")),
    (MOMENTS.cast(pa.timestamp("us")), pa.timestamp("us")),
    (MOMENTS.cast(pa.timestamp("ns", "Europe/Berlin")), pa.timestamp("ns", "Europe/Berlin")),
    (pa.array([0, None, 2, 3], pa.time32("s")), pa.time32("ms")),
    (pa.array([0, None, 2, 3], pa.date32()), pa.date32()),
    (pa.array([0, None, 86_400_000, 0], pa.date64()), pa.date32()),
    (pa.array([decimal.Decimal("1.25"), None, None, None]), pa.decimal128(3, 2)),
]


@pytest.mark.parametrize(("values", "kind"), TYPES, ids=[str(values.type) for values, _ in TYPES])
def test_every_type_is_kept_with_its_values(
    tmp_path: pathlib.Path, values: pa.Array, kind: pa.DataType
) -> None:
    plain = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    for given in (values, pa.chunked_array([values.slice(0, 1), values.slice(1)])):
        table = to_arrow({"x": given}, "rows")
        assert table["x"].type == kind and table["x"].to_pylist() == plain.to_pylist()
        write_parquet(tmp_path / "x.parquet", table)
        found = pq.read_table(tmp_path / "x.parquet")
        assert found.equals(table) and found.schema == table.schema


def test_what_libraries_call_missing() -> None:
    table = to_arrow({"x": [None, float("nan"), pd.NaT, pd.NA, 1]}, "rows")
    assert table["x"].to_pylist() == [None, None, None, None, 1]
    table = to_arrow({"x": [[1, None, pd.NA], None, []]}, "rows")
    assert table["x"].to_pylist() == [[1, None, None], None, []]
    frame = pd.DataFrame(
        {
            "integer": pd.array([1, pd.NA], "Int64"),
            "text": ["a", np.nan],
            "moment": [pd.Timestamp("2024-01-02"), pd.NaT],
            "category": pd.Categorical(["a", None]),
            "float": [1.0, np.nan],
        },
        index=[7, 8],  # is left out
    )
    columns = to_arrow(frame, "rows").to_pydict()
    assert columns == {
        "integer": [1, None],
        "text": ["a", None],
        "moment": [datetime.datetime(2024, 1, 2), None],
        "category": ["a", None],
        "float": [1.0, None],
    }


def test_other_columns_that_a_mapping_may_hold() -> None:
    table = to_arrow(
        {
            "matrix": np.array([[1, 2], [3, 4]]),
            "tuple": (1, 2),
            "texts": np.array(["a", "b"]),
            "series": pd.Series(["a", "b"], index=[5, 6]),
            "polars": pl.Series(["a", "b"], dtype=pl.Categorical),
            "chunked": pa.chunked_array([["a"], ["b"]]),
            "day": np.array(["1970-01-01", "1970-01-03"], "datetime64[D]"),
        },
        "rows",
    )
    assert table["matrix"].to_pylist() == [[1, 2], [3, 4]]
    assert table["tuple"].to_pylist() == [1, 2]
    for name in ("texts", "series", "polars", "chunked"):
        assert table[name].type == pa.string() and table[name].to_pylist() == ["a", "b"]
    assert table["day"].type == pa.date32()
    assert to_arrow(pa.record_batch({"a": [1]}), "rows").to_pydict() == {"a": [1]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, r"must be a pandas or Polars DataFrame, a pyarrow Table, or a mapping .*Rec.*'int'>"),
        ([1, 2], r"must be a pandas or Polars DataFrame.* Received: <class 'list'>"),
        (pl.LazyFrame({"a": [1]}), r"must be a pandas.*LazyFrame"),
        ({}, "holds no rows"),
        ({"a": []}, "holds no rows"),
        (pd.DataFrame({"a": []}), "holds no rows"),
        (pl.DataFrame({"a": []}), "holds no rows"),
        (
            {"a": [1, 2], "b": [1]},
            "column 'b' must have 2 values, as many as column 'a'. Received: 1",
        ),
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "column 'a' stands 2 times; the columns are a, a",
        ),
        (
            pa.table([pa.array([1]), pa.array([2])], ["a", "a"]),
            "column 'a' stands 2 times; the columns are a, a",
        ),
        ({"a": 5}, "column 'a' must be a list, or an array of one or two dimensions. Received: 5"),
        ({"a": "text"}, "column 'a' must be a list, or an array .*Received: 'text'"),
        ({"a": np.zeros((2, 2, 2))}, r"column 'a' must be a list, or an array .*Received: array"),
        ({"a": [1, 2, "x", 4.5]}, r"row 4, column 'a': has no one meaning beside .*Received: 4.5"),
        ({"a": ["x", "y", True]}, r"row 3, column 'a': .*Received: True"),
        (pd.DataFrame({"a": [[1], [2], 3]}), r"row 3, column 'a': .*Received: 3"),
        ({"a": [object()]}, r"row 1, column 'a': .*Received: <object object"),
    ],
)
def test_what_is_no_table(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"^shop rows: {message}"):
        to_arrow(given, "shop rows")


def test_rows_are_named_in_errors() -> None:
    table = to_arrow({**GOOD, "click": [1, 0, 7, 0]}, "shop rows")
    source = ArrowRows("shop rows", table)
    rule = "a label must be 0 or 1. Received: 7"
    with pytest.raises(BadRowError, match=rf"^shop rows: row 3, column 'click': {rule}"):
        list(read_blocks([source], SCHEMA, bad_rows=BadRows()))
    dropping = BadRows("drop")
    (block,) = read_blocks([source], SCHEMA, bad_rows=dropping)
    assert block.row.tolist() == [1, 2, 4] and dropping.count == 1
    with pytest.raises(DataError, match=r"^shop rows: column 'price' is missing; the columns are"):
        narrow = ArrowRows("shop rows", table.drop(["price"]))
        list(read_blocks([narrow], SCHEMA, bad_rows=dropping))
    flat = table.set_column(0, "item", pa.array([[1]] * 4))
    with pytest.raises(DataError, match=r"^shop rows: column 'item' must hold one value a row"):
        list(read_blocks([ArrowRows("shop rows", flat)], SCHEMA, bad_rows=dropping))


def test_blocks_are_cut_as_those_of_files(tmp_path: pathlib.Path) -> None:
    columns = {name: values * 7 for name, values in GOOD.items()}
    write(tmp_path / "train.parquet", columns)
    source = ArrowRows("rows", to_arrow(columns, "rows"))
    for start in (0, 3, 10, 27, 28):
        settings: dict[str, Any] = {"block_rows": 10, "start_row": start, "keep": ["at"]}
        blocks = list(read_blocks([source], SCHEMA, bad_rows=BadRows(), **settings))
        files = read(tmp_path / "train.parquet", **settings)
        assert [b.row.tolist() for b in blocks] == [b.row.tolist() for b in files]
        assert [b.kept["at"].to_pylist() for b in blocks] == [
            b.kept["at"].to_pylist() for b in files
        ]


def test_files_and_tables_may_stand_side_by_side(tmp_path: pathlib.Path) -> None:
    write(tmp_path / "train.parquet", GOOD)
    source = ArrowRows("rows", to_arrow(GOOD, "rows"))
    files: list[str | ArrowRows] = [str(tmp_path / "train.parquet"), source]
    data = FunnelData(files=files, schema=SCHEMA, batch_size=3)
    batches = list(data.evaluation_batches("all"))
    assert [b.file.tolist() for b in batches] == [[0, 0, 0], [0, 1, 1], [1, 1]]
    with pytest.raises(DataError, match="rows: are rows in memory, where a file is needed"):
        _ = data.paths
    assert dataclasses.replace(data, files=files[:1]).paths == files[:1]


def test_a_column_that_has_no_arrow_type() -> None:
    frame = pd.DataFrame({"a": [1, 2], "x": [1j, 2j]})
    with pytest.raises(DataError, match=r"shop rows: column 'x' has no Arrow type: "):
        to_arrow(frame, "shop rows")
