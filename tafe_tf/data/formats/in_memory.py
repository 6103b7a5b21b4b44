"""shim"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclasses.dataclass(frozen=True)
class ArrowRows:
    name: str
    table: pa.Table


def to_arrow(rows: Any, name: str) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "to_arrow"):
        return rows.to_arrow()
    if isinstance(rows, dict):
        return pa.table(rows)
    return pa.Table.from_pandas(rows, preserve_index=False)


def write_parquet(path: pathlib.Path, table: pa.Table) -> None:
    pq.write_table(table, path)
