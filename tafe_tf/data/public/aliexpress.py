"""The public AliExpress search data (Tianchi 74690), one country or several joined -> shards and their schema.

Its published form has a folder a country, `AliExpress_NL` say, with `train.csv` and `test.csv`, later in time:
`search_id, categorical_1..16, numerical_1..63, click, conversion`. A row is an item on a search's result page.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tafe_tf import schema_toml
from tafe_tf.data.atomic import write_json, write_text
from tafe_tf.data.bad_rows import BadRows, Problem
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import BLOCK_ROWS, extension_of, find_files, read_blocks
from tafe_tf.data.formats.write import write
from tafe_tf.data.shards.same_job import check_same
from tafe_tf.schema import Feature, Schema, Task

SPLITS = ("train", "test")

_FOLDER = "AliExpress_"
_PREPARING, _PREPARED = "preparing.json", "prepared.json"
_INTEGERS = (58, 59, 60)  # of the numerical columns; the others are scaled to 0..1
_UNCLICKED = ("conversion", "is 1 where the earlier step 'click' is 0")


class _Unclicked(BadRows):
    """Drops conversions without a click; any other bad row raises."""

    def judge(self, path: str, rows: np.ndarray, problems: list[Problem]) -> None:
        """Raises BadRowError for the first bad row that is none of these."""
        super().judge(path, rows, [p for p in problems if (p.column, p.rule) != _UNCLICKED])


def prepare(
    raw_dir: str | pathlib.Path,
    data_dir: str | pathlib.Path,
    countries: Sequence[str] = (),
    *,
    format: str = "parquet",
    shard_rows: int = BLOCK_ROWS,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> dict[str, Any]:
    """Writes `train-00000.EXT` ..., `test-...`, `schema.toml` and, last, `prepared.json` into `data_dir`.

    Conversions without a click are dropped and counted. Killed and called again it goes on after the last
    whole shard, and ends with the same bytes. Memory holds one shard.

    Args:
        raw_dir: holds `AliExpress_<country>` folders, or train.csv and test.csv themselves.
        data_dir: made if it is not there.
        countries: of the folders; none if `raw_dir` holds the files. Of several, `country` becomes a feature and
            leads the search ids, which may be the same in two countries.
        format: "parquet", "csv", "csv.gz", "tfrecord" or "tfrecord.gz".
        shard_rows: rows a shard, dropped ones included. A shard is of one country: small ones mix countries better,
            since training reads shards in a random order.
        on_rows: called with the number of rows of each shard.

    Returns:
        What stands in `prepared.json`: the settings, the files' sizes, and under "rows" those of "train" and "test":
        "read", "written", "dropped".

    Raises:
        BadRowError: at the first row with another fault; it names file, row, column and value.
        DataError: if a file cannot be used, or `data_dir` holds other data or was prepared otherwise.
        ValueError: if `shard_rows` is less than 1.
    """
    if shard_rows < 1:
        raise ValueError(f"shard_rows must be 1 or more. Received: {shard_rows}")
    extension_of(f"train.{format}")
    files = {split: _find(pathlib.Path(raw_dir), countries, split) for split in SPLITS}
    sizes = {
        os.path.relpath(path, raw_dir): os.path.getsize(path)
        for split in SPLITS
        for _, path in files[split]
    }
    settings = {
        "dataset": "aliexpress",
        "countries": list(countries),
        "format": format,
        "shard_rows": shard_rows,
    }
    data_dir = pathlib.Path(data_dir)
    record = _begin(data_dir, {**settings, "sources": sizes})
    if not (data_dir / _PREPARED).exists():
        write_text(data_dir / "schema.toml", schema_toml.dump(schema_of(countries)))
        for split in SPLITS:
            _write_split(data_dir, split, files[split], record, on_rows)
        os.replace(data_dir / _PREPARING, data_dir / _PREPARED)
    return record


def schema_of(countries: Sequence[str] = ()) -> Schema:
    """The dataset's schema; ranking is within a search, so rows are grouped by `search_id`.

    Args:
        countries: If there are several, `country` is a feature. Default: none.
    """
    features = []
    if len(countries) > 1:
        features.append(Feature(name="country", kind="vocabulary", side="user"))
    for i in range(1, 17):
        features.append(_categorical(f"categorical_{i}", "user" if i <= 9 else "item"))
    for i in range(1, 64):
        side = "user" if i <= 23 else "item"
        numerical = _integer if i in _INTEGERS else _fraction
        features.append(numerical(f"numerical_{i}", side))
    return Schema(
        name="aliexpress",
        group="search_id",
        tasks=(Task(name="click"), Task(name="conversion")),
        features=tuple(features),
    )


def _categorical(name: str, side: str) -> Feature:
    return Feature(name=name, kind="vocabulary", dtype="int64", min_count=10, side=side)


def _integer(name: str, side: str) -> Feature:
    return Feature(name=name, kind="log_round", side=side)


def _fraction(name: str, side: str) -> Feature:
    """A number from 0 to 1, in 140 buckets where the default scale would give it 4."""
    return Feature(name=name, kind="log_round", scale=200, max_abs=1, side=side)


def _find(raw_dir: pathlib.Path, countries: Sequence[str], split: str) -> list[tuple[str, str]]:
    """The country, "" if there is one only, and the path of each raw file."""
    known = sorted(p.name.removeprefix(_FOLDER) for p in raw_dir.glob(f"{_FOLDER}*") if p.is_dir())
    if (
        len(set(countries)) < len(countries)
        or not set(countries) <= set(known)
        or (known and not countries)
    ):
        rule = f"countries must be one or more of the {_FOLDER}* folders {known}, each once"
        raise DataError(f"{raw_dir}: {rule}. Received: {list(countries)}")
    folders = {country: raw_dir / f"{_FOLDER}{country}" for country in countries} or {"": raw_dir}
    joined = len(folders) > 1
    return [
        (name if joined else "", path)
        for name, folder in folders.items()
        for path in find_files(folder, split)
    ]


def _begin(data_dir: pathlib.Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What an earlier call with the same settings has done, or the record of a new one."""
    data_dir.mkdir(parents=True, exist_ok=True)
    for name, part in ((_PREPARED, "was prepared"), (_PREPARING, "is being prepared")):
        if (data_dir / name).exists():
            record: dict[str, Any] = json.loads((data_dir / name).read_text(encoding="utf-8"))
            check_same(data_dir, part, record, settings)
            shards = (
                _shard(data_dir, s, i, record)
                for s in SPLITS
                for i in range(record["rows"][s]["shards"])
            )
            if gone := [path for path in shards if not path.exists()]:
                raise DataError(
                    f"{gone[0]}: was written and is gone; empty {data_dir} and prepare it again"
                )
            return record
    for split in (*SPLITS, "valid"):
        if others := find_files(data_dir, split, required=False):
            raise DataError(
                f"{data_dir}: holds {pathlib.Path(others[0]).name} of another job; take another directory"
            )
    counts = {"read": 0, "written": 0, "dropped": 0, "shards": 0, "complete": False}
    record = {**settings, "rows": {split: dict(counts) for split in SPLITS}}
    write_json(data_dir / _PREPARING, record)
    return record


def _shard(data_dir: pathlib.Path, split: str, number: int, record: dict[str, Any]) -> pathlib.Path:
    return data_dir / f"{split}-{number:05d}.{record['format']}"


def _write_split(
    data_dir: pathlib.Path,
    split: str,
    files: list[tuple[str, str]],
    record: dict[str, Any],
    on_rows: Callable[[int], None],
) -> None:
    """Writes what is missing of a split, a shard a block; a shard counts once the record tells of it."""
    counts = record["rows"][split]
    dataset = schema_toml.load(data_dir / "schema.toml")
    raw = dataclasses.replace(
        dataset, features=tuple(f for f in dataset.features if f.name != "country")
    )
    settings = {
        "bad_rows": _Unclicked(),
        "block_rows": record["shard_rows"],
        "start_row": counts["read"],
    }
    for block in (
        () if counts["complete"] else read_blocks([path for _, path in files], raw, **settings)
    ):
        if len(block.row):
            table = _table(block, raw, country=files[block.file[0]][0])
            _write(_shard(data_dir, split, counts["shards"], record), table)
            counts["shards"] += 1
        counts["read"] += block.raw_rows
        counts["written"] += len(block.row)
        counts["dropped"] = counts["read"] - counts["written"]
        write_json(data_dir / _PREPARING, record)
        on_rows(block.raw_rows)
    counts["complete"] = True
    write_json(data_dir / _PREPARING, record)


def _table(block: Block, raw: Schema, country: str) -> pa.Table:
    """The columns in the order of the raw files, null where missing; the country first where there are several."""
    columns = {name: pa.array(values, from_pandas=True) for name, values in block.columns.items()}
    search = columns.pop(raw.group)
    start = {raw.group: search}
    if country:
        start = {
            "country": pa.repeat(country, len(search)),
            raw.group: pc.binary_join_element_wise(country, search, "_"),
        }
    labels = {name: pa.array(block.labels[:, i]) for i, name in enumerate(raw.labels)}
    return pa.table({**start, **columns, **labels})


def _write(path: pathlib.Path, table: pa.Table) -> None:
    """Writes a file beside its place and renames it; Parquet without a detour over Python values."""
    if path.suffix != ".parquet":
        write(path, table.to_pydict())
        return
    beside = path.with_name(f".{path.name}")
    pq.write_table(table, beside)
    os.replace(beside, path)
