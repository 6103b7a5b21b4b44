"""Builds the vocabularies of a dataset from its training files.

    python -m tafe_tf.prepare --data_dir=DIR [--schema=FILE] [--run_dir=DIR]

They go beside the schema unless --run_dir is given. `tafe_tf.train` does this itself where it has not been done.
"""

from __future__ import annotations

import pathlib
import sys

from absl import app
from absl.flags import declare_key_flag
from rich.table import Table

from tafe_tf import flags, schema, vocabulary
from tafe_tf.data.files import find_files
from tafe_tf.data.rows import DataError
from tafe_tf.features import Features
from tafe_tf.run_dir import RunError
from tafe_tf.tables import print_dropped, show

for _name in ("data_dir", "schema", "run_dir", "embedding_dim", "on_bad_row"):
    declare_key_flag(_name)


def main(argv: list[str]) -> None:
    """Writes vocabularies and statistics, and prints what the table will cost."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        prepare()
    except (DataError, OSError, RunError, schema.SchemaError) as error:
        sys.exit(f"error: {error}")


def prepare() -> None:
    """What `main` does, errors aside."""
    flags.required(data_dir=flags.DATA_DIR.value)
    dataset = schema.load(flags.schema_file())
    directory = flags.RUN_DIR.value or pathlib.Path(flags.schema_file()).parent
    bad_rows = flags.bad_rows()
    statistics = vocabulary.build(find_files(flags.DATA_DIR.value, "train"), dataset, directory, bad_rows)
    print_dropped(bad_rows)
    features = Features(dataset, directory)
    table = Table(
        title=f"{dataset.name}: {statistics['rows']:,} rows, rates {statistics['rate']}", title_justify="left"
    )
    for header in ("field", "kind", "rows of the table", "MiB", "share"):
        table.add_column(header, justify="left" if header in ("field", "kind") else "right")
    total = sum(features.rows)
    for feature, rows in zip(dataset.features, features.rows, strict=True):
        mib = rows * flags.EMBEDDING_DIM.value * 4 / 2**20
        table.add_row(feature.name, feature.kind, f"{rows:,}", f"{mib:.2f}", f"{rows / total:.1%}")
    show(table)


if __name__ == "__main__":
    app.run(main, argv=flags.flagfile_first(sys.argv))
