"""Prepares a public dataset for training: raw files in, shards and a schema out.

    python -m tafe_tf.public_data --dataset=ali_ccp --raw_dir=RAW --data_dir=DIR

Killed at any moment, the same command goes on with the shards that are missing. `prepared.json`
comes last: it holds how many rows there are, how many were dropped, and what they were made from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from absl import flags

from tafe_tf.data.public.ali_ccp import prepare
from tafe_tf.terminal import command
from tafe_tf.terminal.progress import Progress

_SETTINGS = prepare.Settings()

_RAW_DIR = flags.DEFINE_string(
    "raw_dir",
    "",
    "Folder that holds the dataset's files as they are published, plain or .gz. Required.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    "",
    "Folder where train-*, test-*, schema.toml and prepared.json are written; it is made if it is "
    "not there. Required.",
)
_FORMAT = flags.DEFINE_enum(
    "format", _SETTINGS.format, ["parquet", "tfrecord"], "File format of the shards."
)
_PROTOCOL = flags.DEFINE_enum(
    "protocol",
    _SETTINGS.protocol,
    ["aitm18", "full23"],
    "Which fields of ali_ccp are read: the 18 fields of one id each, as in the papers, or all 23, "
    "of which 9 are lists with weights.",
)
_ROW_SPLIT = flags.DEFINE_enum(
    "row_split",
    _SETTINGS.row_split,
    ["official", "random"],
    "Which rows of ali_ccp are test rows: those of the official test file; or, as in the paper, a "
    "random tenth of the official training rows, and the official test file is not read.",
)
_SEED = flags.DEFINE_integer(
    "split_seed",
    _SETTINGS.seed,
    "Seed that picks the test rows of ali_ccp where --row_split=random.",
    lower_bound=0,
)
_MAX_VALUES = flags.DEFINE_integer(
    "max_values",
    _SETTINGS.max_values,
    "Largest number of values of a list of ali_ccp where --protocol=full23; those of the largest "
    "weights are kept, and at most 5 of the fields 508, 509, 702 and 853.",
    lower_bound=1,
)
_COUNTRIES = flags.DEFINE_list(
    "countries",
    [],
    "Countries of aliexpress to read, some of NL, ES, FR and US, comma-separated; several are "
    "joined. Not given where --raw_dir is the folder of one country.",
)


def main(argv: list[str]) -> None:
    """Writes the files and prints the counts."""
    command.only_flags(argv)
    with command.one_line_errors():
        command.required(raw_dir=_RAW_DIR.value, data_dir=_DATA_DIR.value)
        prepared = DATASETS[_DATASET.value]()
    for split, rows in prepared["rows"].items():
        counts = []
        for name, count in rows.items():
            if not isinstance(count, bool):
                counts.append(f"{count:,} {name}")
        print(f"{_DATA_DIR.value}: {split}: {', '.join(counts)}")


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
            _RAW_DIR.value,
            _DATA_DIR.value,
            settings,
            on_rows=lambda rows: bar.advance(1, rows),
        )


def _aliexpress() -> dict[str, Any]:
    # TensorFlow takes seconds to import, and the other dataset does not need it.
    from tafe_tf.data.public import aliexpress

    with Progress("aliexpress", None, unit="shards") as bar:
        return aliexpress.prepare(
            _RAW_DIR.value,
            _DATA_DIR.value,
            _COUNTRIES.value,
            format=_FORMAT.value,
            on_rows=lambda rows: bar.advance(1, rows),
        )


DATASETS: dict[str, Callable[[], dict[str, Any]]] = {"ali_ccp": _ali_ccp, "aliexpress": _aliexpress}

_DATASET = flags.DEFINE_enum(
    "dataset", "ali_ccp", list(DATASETS), "Which public dataset --raw_dir holds."
)


if __name__ == "__main__":
    command.run(main)
