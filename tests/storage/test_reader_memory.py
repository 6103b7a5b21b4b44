"""What a reader holds of an object is bounded, however large the object is."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import object_stores
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import tafe_tf
from tafe_tf.storage.staging import put_file

pytestmark = [
    pytest.mark.engines,
    pytest.mark.slow,
    pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux"),
]

# Bytes by which a reader may grow. Text is turned to numbers in blocks that are larger than theirs.
BOUNDS = {"parquet": 128 << 20, "csv": 256 << 20}
FEATURES = 12
SCHEMA = 'name = "shop"\n[[tasks]]\nname = "click"\n' + "".join(
    f'[[features]]\nname = "x{i}"\nkind = "log_round"\n' for i in range(FEATURES)
)
# The growth of resident memory, at its peak, while all rows of the last file are read. A small file
# is read before, so that modules and buffers that every reader needs do not count.
READ = """
import pathlib, re, sys
from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.formats.read import read_blocks

def resident(name):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+) kB", status)[1]) << 10

schema = schema_toml.load(sys.argv[1])
for uri in sys.argv[2:]:
    before = resident("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    rows = sum(len(block.row) for block in read_blocks([uri], schema, bad_rows=BadRows()))
print(rows, resident("VmHWM") - before)
"""


def table_of(rows: int, seed: int) -> pa.Table:
    numbers = np.random.default_rng(seed)
    columns = {f"x{i}": numbers.random(rows) for i in range(FEATURES)}
    return pa.table({**columns, "click": numbers.integers(0, 2, rows)})


def write(path: pathlib.Path, pieces: int, rows: int) -> None:
    """Writes a Parquet or CSV file piece by piece."""
    first = table_of(rows, 0)
    kind = pq.ParquetWriter if path.suffix == ".parquet" else pyarrow.csv.CSVWriter
    with kind(path, first.schema) as writer:
        for piece in range(pieces):
            writer.write_table(table_of(rows, piece))


@pytest.mark.parametrize("extension", BOUNDS)
def test_a_reader_grows_by_less_than_a_part_of_a_large_object(
    shop: str,
    s3_port: int,
    tmp_path: pathlib.Path,
    extension: str,
) -> None:
    schema = tmp_path / "schema.toml"
    schema.write_text(SCHEMA)
    small, large = tmp_path / f"small.{extension}", tmp_path / f"large.{extension}"
    write(small, 2, 70_000)
    write(large, 50, 70_000)
    assert large.stat().st_size > 3 * BOUNDS[extension]
    uris = [f"{shop}/memory/{path.name}" for path in (small, large)]
    for path, uri in zip((small, large), uris, strict=True):
        put_file(path, uri)
    variables = {**os.environ, **object_stores.s3_variables(s3_port)}
    variables["PYTHONPATH"] = str(pathlib.Path(tafe_tf.__file__).parents[1])
    command = [sys.executable, "-c", READ, str(schema), *uris]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows, growth = map(int, done.stdout.split())
    assert rows == 50 * 70_000
    assert growth < BOUNDS[extension]
