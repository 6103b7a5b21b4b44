"""The raw public Ali-CCP files (Tianchi) as shards that training reads.

A skeleton row's features are its own list and then those of its common row. Rows with a conversion
and no click are dropped and counted. Killed, the job goes on with the shards that are missing.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

from tafe_tf import schema_toml
from tafe_tf.data import manifest
from tafe_tf.data.atomic import read_json, remove_left_over, write_json, write_text
from tafe_tf.data.errors import DataError
from tafe_tf.data.lock import locked
from tafe_tf.data.public.ali_ccp.common import build, load
from tafe_tf.data.public.ali_ccp.fields import protocol
from tafe_tf.data.public.ali_ccp.raw_files import BLOCK_BYTES, find_file
from tafe_tf.data.public.ali_ccp.shards import Counts, Source, find_shards, write_shards
from tafe_tf.data.shards.same_job import check_same, sources_of

_SKELETON, _COMMON = "sample_skeleton_", "common_features_"
_PREPARED = "prepared.json"
_COUNTS = ("read", "written", "dropped", "several_values")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is made of the files.

    Attributes:
        protocol: "aitm18" (the default; 18 fields of one id) or "full23" (all 23, 9 of them as
            lists with weights).
        row_split: "official" (the default; the test rows are the official test file) or "random"
            (the paper's: a tenth of the official training rows, picked by a hash of their number;
            the official test file is not read).
        seed: The seed of the random split. Default: 0.
        format: "parquet" (the default) or "tfrecord".
        max_values: The largest number of values of a list, for "full23"; those of largest weight
            are kept. Default: 50.
        block_bytes: How much text to read at a time. Default: 8 MiB.
        shard_blocks: How many blocks make a shard. Default: 32.

    Raises:
        ValueError: For a value that is none of these.
    """

    protocol: str = "aitm18"
    row_split: str = "official"
    seed: int = 0
    format: str = "parquet"
    max_values: int = 50
    block_bytes: int = BLOCK_BYTES
    shard_blocks: int = 32

    def __post_init__(self) -> None:
        protocol(self.protocol, self.max_values)
        self._check_known("row_split", ("official", "random"))
        self._check_known("format", ("parquet", "tfrecord"))
        smallest = {
            "seed": 0,
            "block_bytes": 1,
            "shard_blocks": 1,
        }
        for name, least in smallest.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be {least} or more. Received: {value!r}")

    def _check_known(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}. Received: {value!r}")


def prepare(
    raw_dir: str | pathlib.Path,
    data_dir: str | pathlib.Path,
    settings: Settings | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> dict[str, Any]:
    """Writes `train-00000.parquet` ..., `test-...`, `schema.toml` and, last, `prepared.json`.

    Killed and called again it goes on with the shards that are missing, and ends with the same
    bytes.

    Args:
        raw_dir: The folder of `sample_skeleton_{train,test}.csv` and
            `common_features_{train,test}.csv`, plain or `.gz`.
        data_dir: The folder to write into, made if it is not there.
        settings: What is made of the files. Default: `Settings()`.
        on_rows: Called with the number of rows of each block, common rows included. Default:
            nothing is called.

    Returns:
        What `prepared.json` holds: the settings, the files' sizes, and the rows of each split.

    Raises:
        BadRowError: At the first bad row; it names file, row, column and value.
        DataError: If a file cannot be used, or `data_dir` holds other data, was prepared otherwise
            or is damaged.
        LockError: If another process prepares into `data_dir`.
    """
    settings = settings or Settings()
    data_dir = pathlib.Path(data_dir)
    is_official = settings.row_split == "official"
    names = ("train", "test") if is_official else ("train",)
    files = {name: _files(raw_dir, name) for name in names}
    made_from = {
        "dataset": "ali_ccp",
        **dataclasses.asdict(settings),
        **sources_of(raw_dir, itertools.chain.from_iterable(files.values())),
    }
    work = data_dir / ".ali_ccp"
    with locked(data_dir):
        remove_left_over(data_dir)
        if not _is_whole(data_dir, work, made_from):
            _write(files, data_dir, work, settings, made_from, on_rows)
        shutil.rmtree(work, ignore_errors=True)
        return dict(read_json(data_dir / _PREPARED))


def _write(
    files: dict[str, tuple[pathlib.Path, pathlib.Path]],
    data_dir: pathlib.Path,
    work: pathlib.Path,
    settings: Settings,
    made_from: dict[str, Any],
    on_rows: Callable[[int], None],
) -> None:
    """Writes what is left of all shards, then the schema, and last what was done."""
    counts: Counts = collections.Counter()
    for name, of_split in files.items():
        counts.update(
            _convert(
                name,
                of_split,
                data_dir,
                work,
                settings,
                on_rows,
            )
        )
    shards = manifest.entries(data_dir, find_shards(data_dir, settings.format))
    schema = protocol(settings.protocol, settings.max_values).schema()
    write_text(data_dir / "schema.toml", schema_toml.dump(schema))
    write_json(data_dir / _PREPARED, {**made_from, **_summary(counts), "manifest": shards})


def _files(
    raw_dir: str | pathlib.Path,
    split: str,
) -> tuple[pathlib.Path, pathlib.Path]:
    """A split's skeleton file and its common file."""
    skeleton = find_file(raw_dir, _SKELETON + split)
    common = find_file(raw_dir, _COMMON + split)
    return skeleton, common


def _is_whole(
    data_dir: pathlib.Path,
    work: pathlib.Path,
    made_from: dict[str, Any],
) -> bool:
    """Whether all was done before.

    Otherwise makes the hidden folder, or checks that the one that is there belongs to this job.
    """
    prepared = data_dir / _PREPARED
    if prepared.exists():
        known = read_json(prepared)
        check_same(data_dir, "was prepared", known, made_from)
        manifest.check(data_dir, known.get("manifest", {}), "Empty it and prepare it again")
        return True
    begun = work / "settings.json"
    if begun.exists():
        check_same(
            data_dir,
            "is being prepared",
            read_json(begun),
            made_from,
        )
        return False
    others: list[str] = []
    for pattern in ("train*", "valid*", "test*", "schema.toml"):
        others += [path.name for path in data_dir.glob(pattern)]
    if others:
        what = f"{data_dir}: holds {', '.join(sorted(others))} of another job"
        raise DataError(f"{what}; take another directory")
    work.mkdir(parents=True, exist_ok=True)
    write_json(begun, made_from)
    return False


def _convert(
    split: str,
    files: tuple[pathlib.Path, pathlib.Path],
    data_dir: pathlib.Path,
    work: pathlib.Path,
    settings: Settings,
    on_rows: Callable[[int], None],
) -> Counts:
    """Writes all shards of one skeleton file."""
    chosen = protocol(settings.protocol, settings.max_values)
    directory = work / f"common_{split}"
    skeleton, common = files
    build(common, directory, chosen, settings.block_bytes, on_rows)
    source = Source(
        split=split,
        path=skeleton,
        common=load(common, directory, chosen),
        protocol=chosen,
        seed=settings.seed if settings.row_split == "random" else None,
        format=settings.format,
        block_bytes=settings.block_bytes,
        shard_blocks=settings.shard_blocks,
        data_dir=data_dir,
        work=work,
    )
    counts = write_shards(source, on_rows)
    if not counts["rows"]:
        raise DataError(f"{skeleton}: holds no rows")
    counts["unknown"] += source.common.unknown
    counts[f"common_rows/{split}"] = len(source.common.keys)
    return counts


def _summary(counts: Counts) -> dict[str, Any]:
    rows = {}
    common = {}
    for split in ("train", "test"):
        rows[split] = {key: counts[f"{split}/{key}"] for key in _COUNTS}
        if counts[f"common_rows/{split}"]:
            common[split] = counts[f"common_rows/{split}"]
    return {
        "rows": rows,
        "common_rows": common,
        "features_of_unknown_fields": counts["unknown"],
    }
