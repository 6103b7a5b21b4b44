"""Brings a public dataset's raw files into the form that training reads: train and test shards, and their schema.

    python -m tafe_tf.public_data --dataset=ali_ccp --raw_dir=RAW --data_dir=DIR

Killed at any moment, the same command goes on with the shards that are missing. `prepared.json` comes last and tells
how many rows there are, how many were dropped, and what they were made from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags

from tafe_tf.data.errors import DataError
from tafe_tf.data.public.ali_ccp import prepare
from tafe_tf.terminal.progress import Progress

_RAW_DIR = flags.DEFINE_string(
    "raw_dir", "", "Holds the dataset's files as they are published, plain or .gz."
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", "", "Where train-*, test-*, schema.toml and prepared.json are written."
)
_FORMAT = flags.DEFINE_enum("format", "parquet", ["parquet", "tfrecord"], "File format.")
_PROTOCOL = flags.DEFINE_enum(
    "protocol",
    "aitm18",
    ["aitm18", "full23"],
    "ali_ccp: the 18 fields of one id, as in the papers, or all 23, of which 9 are lists with weights.",
)
_ROW_SPLIT = flags.DEFINE_enum(
    "row_split",
    "official",
    ["official", "random"],
    "ali_ccp: test rows are those of the official test file; or a random tenth of the official training rows, as in the"
    " paper, and the official test file is not read.",
)
_SEED = flags.DEFINE_integer(
    "split_seed", 0, "ali_ccp: picks the test rows of the random split.", lower_bound=0
)
_MAX_VALUES = flags.DEFINE_integer(
    "max_values",
    50,
    "ali_ccp, full23: values of a list, those of largest weight; 5 at most of 508, 509, 702, 853.",
    1,
)
_COUNTRIES = flags.DEFINE_list(
    "countries", [], "aliexpress: some of NL, ES, FR and US; joined if there are several."
)


def _ali_ccp() -> dict[str, Any]:
    settings = prepare.Settings(
        protocol=_PROTOCOL.value,
        row_split=_ROW_SPLIT.value,
        seed=_SEED.value,
        format=_FORMAT.value,
        max_values=_MAX_VALUES.value,
    )
    with Progress("ali_ccp", None, unit="blocks") as bar:
        return prepare.prepare(
            _RAW_DIR.value, _DATA_DIR.value, settings, lambda rows: bar.advance(1, rows)
        )


def _aliexpress() -> dict[str, Any]:
    from tafe_tf.data.public import (
        aliexpress,
    )  # TensorFlow takes seconds, and the other dataset needs none

    with Progress("aliexpress", None, unit="shards") as bar:
        return aliexpress.prepare(
            _RAW_DIR.value,
            _DATA_DIR.value,
            _COUNTRIES.value,
            format=_FORMAT.value,
            on_rows=lambda rows: bar.advance(1, rows),
        )


DATASETS: dict[str, Callable[[], dict[str, Any]]] = {"ali_ccp": _ali_ccp, "aliexpress": _aliexpress}

_DATASET = flags.DEFINE_enum("dataset", "ali_ccp", list(DATASETS), "Which dataset.")


def main(argv: list[str]) -> None:
    """Writes the files and prints the counts."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    if not _RAW_DIR.value or not _DATA_DIR.value:
        raise app.UsageError("--raw_dir and --data_dir must be given")
    try:
        prepared = DATASETS[_DATASET.value]()
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
    for split, rows in prepared["rows"].items():
        counts = (
            f"{count:,} {name}" for name, count in rows.items() if not isinstance(count, bool)
        )
        print(f"{_DATA_DIR.value}: {split}: {', '.join(counts)}")


if __name__ == "__main__":
    app.run(main)
