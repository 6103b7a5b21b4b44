"""The public AliExpress search data (Tianchi 74690), one country or several -> shards and schema.

Its published form has a folder for each country, `AliExpress_NL` for example, with `train.csv` and
`test.csv`, which is later in time. A row is an item on a search's result page; its columns are
`search_id, categorical_1..16, numerical_1..63, click, conversion`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tafe_tf import schema_toml
from tafe_tf.data import manifest
from tafe_tf.data.atomic import (
    publish,
    read_json,
    remove_left_over,
    replacing,
    write_json,
    write_text,
)
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import extension_of
from tafe_tf.data.formats.read import BLOCK_ROWS, read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.formats.write import write
from tafe_tf.data.lock import locked
from tafe_tf.data.public.aliexpress_schema import schema_of
from tafe_tf.data.shards.same_job import check_same, sources_of
from tafe_tf.schema import Schema

SPLITS = ("train", "test")

_FOLDER = "AliExpress_"
_PREPARING, _PREPARED = "preparing.json", "prepared.json"

RawFile = tuple[str, str]  # the country, "" where there is only one, and the path


def prepare(
    raw_dir: str | pathlib.Path,
    data_dir: str | pathlib.Path,
    countries: Sequence[str] = (),
    *,
    format: str = "parquet",
    shard_rows: int = BLOCK_ROWS,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> dict[str, Any]:
    """Writes `train-00000.EXT` ..., `test-...`, `schema.toml` and, last, `prepared.json`.

    Conversions without a click are dropped and counted. Killed and called again it goes on after
    the last whole shard, and ends with the same bytes. Memory holds one shard.

    Args:
        raw_dir: The folder that holds `AliExpress_<country>` folders, or train.csv and test.csv
            themselves.
        data_dir: The folder to write into, made if it is not there.
        countries: Which of the `AliExpress_<country>` folders to read. Default: none, `raw_dir`
            holds the files. If there are several, `country` becomes a feature and starts the search
            ids, which may be the same in two countries.
        format: "parquet" (the default), "csv", "csv.gz", "tfrecord" or "tfrecord.gz".
        shard_rows: The rows of a shard, dropped ones included. A shard is of one country: small
            ones mix countries better, since training reads shards in a random order. Default:
            65,536.
        on_rows: Called with the number of rows of each shard. Default: nothing is called.

    Returns:
        What `prepared.json` holds: the settings, the files' sizes, and under "rows" those of
        "train" and "test": "read", "written", "dropped".

    Raises:
        BadRowError: At the first row with another fault; it names file, row, column and value.
        DataError: If a file cannot be used, or `data_dir` holds other data, was prepared otherwise
            or is damaged.
        LockError: If another process prepares into `data_dir`.
        ValueError: If `shard_rows` is less than 1.
    """
    if shard_rows < 1:
        raise ValueError(f"shard_rows must be 1 or more. Received: {shard_rows}")
    extension_of(f"train.{format}")
    files = {}
    for split in SPLITS:
        files[split] = _find(pathlib.Path(raw_dir), countries, split)
    settings = {
        "dataset": "aliexpress",
        "countries": list(countries),
        "format": format,
        "shard_rows": shard_rows,
        **sources_of(raw_dir, [path for split in SPLITS for _, path in files[split]]),
    }
    data_dir = pathlib.Path(data_dir)
    with locked(data_dir):
        remove_left_over(data_dir)
        record = _begin(data_dir, settings)
        if not (data_dir / _PREPARED).exists():
            schema = schema_of(countries)
            write_text(data_dir / "schema.toml", schema_toml.dump(schema))
            for split in SPLITS:
                _write_split(
                    data_dir,
                    split,
                    files[split],
                    schema,
                    record,
                    on_rows,
                )
            publish(data_dir / _PREPARING, data_dir / _PREPARED)
    return record


def _find(
    raw_dir: pathlib.Path,
    countries: Sequence[str],
    split: str,
) -> list[RawFile]:
    """The raw files of a split."""
    folders = [path for path in raw_dir.glob(f"{_FOLDER}*") if path.is_dir()]
    known = sorted(path.name.removeprefix(_FOLDER) for path in folders)
    is_repeated = len(set(countries)) < len(countries)
    is_unknown = not set(countries) <= set(known)
    is_missing = bool(known) and not countries
    if is_repeated or is_unknown or is_missing:
        rule = f"countries must be one or more of the {_FOLDER}* folders {known}, each once"
        raise DataError(f"{raw_dir}: {rule}. Received: {list(countries)}")
    if not countries:
        return [("", path) for path in find_files(raw_dir, split)]
    found = []
    for country in countries:
        name = country if len(countries) > 1 else ""
        paths = find_files(raw_dir / f"{_FOLDER}{country}", split)
        found += [(name, path) for path in paths]
    return found


def _begin(
    data_dir: pathlib.Path,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What an earlier call with the same settings has done, or the record of a new one."""
    data_dir.mkdir(parents=True, exist_ok=True)
    records = {
        _PREPARED: "was prepared",
        _PREPARING: "is being prepared",
    }
    for name, part in records.items():
        if (data_dir / name).exists():
            record: dict[str, Any] = read_json(data_dir / name)
            check_same(data_dir, part, record, settings)
            _check_shards(data_dir, record)
            return record
    for split in (*SPLITS, "valid"):
        if others := find_files(data_dir, split, required=False):
            what = f"{data_dir}: holds {pathlib.Path(others[0]).name} of another job"
            raise DataError(f"{what}; take another directory")
    counts = {
        "read": 0,
        "written": 0,
        "dropped": 0,
        "shards": 0,
        "complete": False,
    }
    record = {
        **settings,
        "rows": {split: dict(counts) for split in SPLITS},
        "manifest": {},
    }
    write_json(data_dir / _PREPARING, record)
    return record


def _check_shards(data_dir: pathlib.Path, record: dict[str, Any]) -> None:
    for split in SPLITS:
        for number in range(record["rows"][split]["shards"]):
            path = _shard(data_dir, split, number, record)
            if not path.exists():
                rule = f"was written and is gone; empty {data_dir} and prepare it again"
                raise DataError(f"{path}: {rule}")
    manifest.check(data_dir, record.get("manifest", {}), "Empty it and prepare it again")


def _shard(
    data_dir: pathlib.Path,
    split: str,
    number: int,
    record: dict[str, Any],
) -> pathlib.Path:
    return data_dir / f"{split}-{number:05d}.{record['format']}"


def _write_split(
    data_dir: pathlib.Path,
    split: str,
    files: list[RawFile],
    schema: Schema,
    record: dict[str, Any],
    on_rows: Callable[[int], None],
) -> None:
    """Writes what is missing of a split, a shard a block.

    A shard counts once the record holds it.
    """
    counts = record["rows"][split]
    if counts["complete"]:
        return
    raw = _raw_schema(schema)
    blocks = read_blocks(
        [path for _, path in files],
        raw,
        bad_rows=BadRows(),
        block_rows=record["shard_rows"],
        start_row=counts["read"],
    )
    for block in blocks:
        if len(block.row):
            country, _ = files[block.file[0]]
            table = _table(block, raw, country)
            path = _shard(data_dir, split, counts["shards"], record)
            _write(path, table)
            record.setdefault("manifest", {})[path.name] = manifest.entry(path)
            counts["shards"] += 1
        counts["read"] += block.raw_rows
        counts["written"] += len(block.row)
        counts["dropped"] = counts["read"] - counts["written"]
        write_json(data_dir / _PREPARING, record)
        on_rows(block.raw_rows)
    counts["complete"] = True
    write_json(data_dir / _PREPARING, record)


def _raw_schema(schema: Schema) -> Schema:
    """The schema of the raw files: no column `country`, and conversions without a click."""
    features = tuple(feature for feature in schema.features if feature.name != "country")
    return dataclasses.replace(schema, features=features, order="drop")


def _table(
    block: Block,
    raw: Schema,
    country: str,
) -> pa.Table:
    """The columns in the order of the raw files, null where missing.

    The country comes first where there are several.
    """
    columns = {}
    for name, values in block.columns.items():
        columns[name] = pa.array(values, from_pandas=True)
    search = columns.pop(raw.group)
    start = {raw.group: search}
    if country:
        ids = pc.binary_join_element_wise(country, search, "_")
        start = {
            "country": pa.repeat(country, len(search)),
            raw.group: ids,
        }
    labels = {}
    for i, name in enumerate(raw.labels):
        labels[name] = pa.array(block.labels[:, i])
    return pa.table({**start, **columns, **labels})


def _write(path: pathlib.Path, table: pa.Table) -> None:
    """Writes a file that appears whole; Parquet without a detour by Python values."""
    if path.suffix != ".parquet":
        write(path, table.to_pydict())
        return
    with replacing(path) as beside:
        pq.write_table(table, beside)
