"""How a job that writes shards begins, goes on after it was killed, and ends.

A shard and then its record appear by a rename. So any number of workers may write them, even twice,
and a job that was killed goes on with the shards that are missing.
"""

from __future__ import annotations

import itertools
import math
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tafe_tf.data import manifest
from tafe_tf.data.atomic import read_json, remove_left_over, write_json, write_text
from tafe_tf.data.bad_rows import Dropped, check_parts
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import count_rows
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.shards.job import EXTENSIONS, Piece, Record, ShardJob
from tafe_tf.data.shards.resumable_parts import merge
from tafe_tf.data.shards.same_job import check_same
from tafe_tf.shown import listed
from tafe_tf.storage.addresses import is_remote, join, parent_of, within
from tafe_tf.storage.listing import entries, is_file

PREPARED, _SETTINGS = "prepared.json", "settings.json"
_COUNTS = ("read", "written", "dropped", "shards")


def begin(job: ShardJob, each_part: bool = False) -> list[Piece] | None:
    """Makes the output folder this job's own.

    Prints a line for each shard that is damaged. It is among what is left to do. Every shard that
    is there is read: a second for each GB.

    Args:
        job: The job; its folder must be locked.
        each_part: Whether every part is a piece of its own, where the number of rows is known
            beforehand. Default: False, a piece is the rest of a file.

    Returns:
        What is left to do, in the order of the files; None if `finish` was reached before.

    Raises:
        DataError: If the folder holds anything else, shards of another job, or a finished job of
            which a file is damaged; then nothing is changed.
        BadRowError: If rows were dropped for which the job must stop.
    """
    output = pathlib.Path(job.output)
    if (output / PREPARED).exists():
        _check_finished(job, read_json(output / PREPARED))
        shutil.rmtree(job.work, ignore_errors=True)
        return None
    if (job.work / _SETTINGS).exists():
        begun = read_json(job.work / _SETTINGS)
        _check_settings(job, "is being prepared", begun)
    else:
        _check_empty(output)
        job.work.mkdir(parents=True, exist_ok=True)
        write_json(job.work / _SETTINGS, job.settings())
    for path in job.work.glob("*.tmp*"):  # what a killed job had begun
        path.unlink()
    for folder in (output, job.work):
        remove_left_over(folder)
    for record, text in _damaged(job):
        print(f"{job.output}: {text}; it is written again", flush=True)
        record.unlink()
    write_text(output / "schema.toml", job.schema_text)
    return list(_left(job, each_part))


def summary(job: ShardJob) -> dict[str, Any]:
    """What was made.

    Returns:
        Under "rows", by split, how many rows were "read", "written" and "dropped" and how many
        "shards" there are; under "reasons" why rows were dropped or repaired, and under "bad_rows"
        those of the reasons that only `on_bad_row` = "drop" allows.

    Raises:
        DataError: If a shard is missing or damaged, no row of a split is good, or a file has
            changed since the job began.
        BadRowError: If more rows of a split were dropped than `max_bad_rows` allows.
    """
    _check_settings(job, "was begun", read_json(job.work / _SETTINGS))
    missing = next(_left(job, each_part=False), None)
    if missing is not None:
        shard = job.shard(missing.split, missing.file, missing.first)
        raise DataError(f"{shard}: is missing; run the job again")
    for _, text in _damaged(job):
        raise DataError(f"{job.output}: {text}; run the job again")
    rows = {}
    reasons: list[Dropped] = []
    for split, files in job.files.items():
        rows[split], found = _split_summary(job, split, len(files))
        reasons += found
    return {
        "rows": rows,
        "reasons": [str(reason) for reason in reasons],
        "bad_rows": _bad_rows(reasons),
    }


def finish(job: ShardJob, counts: dict[str, Any]) -> None:
    """Notes that all is done and what all files hold, and removes what killed runs left.

    Args:
        job: The job.
        counts: Its `summary`.
    """
    output = pathlib.Path(job.output)
    names = [name for name in manifest.files_below(output) if not name.startswith(".")]
    files = manifest.entries(output, names)
    write_json(output / PREPARED, job.settings() | counts | {"manifest": files})
    for path in (job.work, *output.glob(".vocabulary-*")):
        shutil.rmtree(path)


def check_shards(paths: Iterable[str]) -> None:
    """Finds that shards hold what was written, where a finished job left its record beside them.

    They are read whole: a second for each GB. Of those in a store only the sizes are looked at,
    since the store checks its own bytes.

    Args:
        paths: The paths of the shards; files of other directories are not looked at.

    Raises:
        ManifestError: If one of them holds something else.
    """
    by_directory: dict[str, list[str]] = {}
    for path in paths:
        by_directory.setdefault(parent_of(path), []).append(path)
    for directory, shards in by_directory.items():
        _check_in_directory(directory, shards)


def _check_in_directory(directory: str, paths: Sequence[str]) -> None:
    record = join(directory, PREPARED)
    if not is_file(record):
        return
    written = read_json(record).get("manifest", {})  # older ones have none
    wanted = {within(directory, path) for path in paths}
    shards = {name: entry for name, entry in written.items() if name in wanted}
    if is_remote(directory):
        _check_sizes(str(directory), shards)
        return
    manifest.check(directory, shards, "Prepare the shards again, in an empty directory")


def _check_sizes(uri: str, shards: manifest.Entries) -> None:
    """Raises ManifestError for a shard of a store that is gone or of another size."""
    sizes = {within(uri, entry.path): entry.size for entry in entries(uri, below=True)}
    wrong = [name for name, noted in shards.items() if sizes.get(name) != noted["bytes"]]
    if wrong:
        what = f"{listed(wrong)} is gone or has another size than when it was written"
        raise manifest.ManifestError(f"{uri}: {what}. Copy the shards again")


def _check_finished(job: ShardJob, known: dict[str, Any]) -> None:
    _check_settings(job, "was prepared", known)
    _refuse_dropped(job, known.get("bad_rows", known["reasons"]))  # older ones have no "bad_rows"
    for split, counts in known["rows"].items():
        found = len(find_files(job.output, split, required=False))
        if found != counts["shards"]:
            had = f"{job.output}: had {counts['shards']} {split} shards when it was prepared"
            raise DataError(f"{had}; empty it to begin again. Received: {found}")
    manifest.check(job.output, known.get("manifest", {}), "Empty it to begin again")


def _check_empty(output: pathlib.Path) -> None:
    names = sorted(path.name for path in output.glob("*"))
    visible = [name for name in names if not name.startswith(".")]
    if visible:
        what = f"{output}: holds {visible[0]}, which is no shard of this job"
        raise DataError(f"{what}; take another directory")


def _check_settings(
    job: ShardJob,
    part: str,
    before: dict[str, Any],
) -> None:
    """Compares the files first: their names and sizes say more than their number."""
    settings = job.settings()
    check_same(
        job.output,
        part,
        before["sources"],
        settings.pop("sources"),
    )
    check_same(job.output, part, before, settings)


def _refuse_dropped(job: ShardJob, reasons: list[str]) -> None:
    if reasons and job.on_bad_row == "raise":
        raise BadRowError(f"{job.output}: was prepared without some rows: {reasons[0]}")


def _bad_rows(reasons: Sequence[Dropped]) -> list[str]:
    """The reasons of rows that were dropped because `on_bad_row` says so, not the schema."""
    return [str(reason) for reason in reasons if reason.verdict == "dropped"]


def _left(job: ShardJob, each_part: bool) -> Iterator[Piece]:
    """What is left to do."""
    for split, files in job.files.items():
        for file, path in enumerate(files):
            done = _records(job, split, file)
            total = _count_parts(job, path, done)
            parts = itertools.count() if total is None else range(total)
            missing = (part for part in parts if part not in done)
            if each_part and total is not None:
                for part in missing:
                    yield Piece(split, file, part, part + 1, path)
                continue
            first = next(missing, None)
            if first is not None:
                yield Piece(split, file, first, None, path)


def _count_parts(
    job: ShardJob,
    path: str,
    done: dict[int, Record],
) -> int | None:
    """How many parts a file has, if that is known."""
    rows = count_rows(path)
    if rows is not None:
        return max(1, math.ceil(rows / job.shard_rows))  # a file without rows has a record as well
    for part, record in done.items():
        if record.last:
            return part + 1
    return None


def _records(
    job: ShardJob,
    split: str,
    file: int,
) -> dict[int, Record]:
    """The parts of a file that are done, by number; one whose shard is gone is not."""
    found = {}
    for path in sorted(job.work.glob(f"{split}-{file:05d}-*.json")):
        part = int(path.stem.rpartition("-")[2])
        record = Record.from_json(read_json(path))
        _refuse_dropped(job, _bad_rows(record.reasons))
        shard = job.shard(split, file, part)
        if not record.written or shard.exists():
            found[part] = record
    return found


def _damaged(job: ShardJob) -> Iterator[tuple[pathlib.Path, str]]:
    """The records whose shards do not hold what was written, and how each shard differs."""
    for path in sorted(job.work.glob("*-*.json")):
        noted = Record.from_json(read_json(path)).shard
        shard = path.stem + EXTENSIONS[job.format]
        if noted is not None and (job.work.parent / shard).exists():
            for text in manifest.differences(job.output, {shard: noted}):
                yield path, text


def _split_summary(
    job: ShardJob,
    split: str,
    files: int,
) -> tuple[dict[str, int], list[Dropped]]:
    """The counts of a split, and why rows of it were dropped or repaired."""
    counts = dict.fromkeys(_COUNTS, 0)
    reasons: list[Dropped] = []
    for file in range(files):
        records = _records(job, split, file).values()
        for record in records:
            counts["read"] += record.written + record.dropped
            counts["written"] += record.written
            counts["dropped"] += record.dropped
            counts["shards"] += record.written > 0
        noted = itertools.chain.from_iterable(record.reasons for record in records)
        reasons += merge(noted)
    check_parts(job.max_bad_rows, counts["dropped"], counts["read"], reasons)
    if not counts["written"]:
        reason = reasons[0] if reasons else "they hold no rows"
        raise DataError(f"{job.data_dir}: no row of the {split!r} files is good; {reason}")
    return counts, reasons
