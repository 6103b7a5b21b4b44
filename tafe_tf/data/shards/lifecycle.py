"""How a job that writes shards begins, goes on after it was killed, and ends.

A shard and then its record appear by a rename, or are sent whole to a store. So any number of
workers may write them, even twice, and a job that was killed goes on with the shards that are
missing.
"""

from __future__ import annotations

import itertools
import math
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tafe_tf.data import manifest
from tafe_tf.data.atomic import read_json, remove_left_over, write_json, write_text
from tafe_tf.data.bad_rows import Dropped, check_parts
from tafe_tf.data.errors import BadRowError, DataError
from tafe_tf.data.formats.read import count_rows
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.shards.job import Piece, Record, ShardJob
from tafe_tf.data.shards.resumable_parts import merge
from tafe_tf.data.shards.same_job import check_same
from tafe_tf.shown import listed
from tafe_tf.storage.addresses import is_hidden, is_remote, join, name_of, parent_of, within
from tafe_tf.storage.listing import entries, is_file
from tafe_tf.storage.sending import remove, remove_tree

PREPARED, _SETTINGS = "prepared.json", "settings.json"
_RECORD = re.compile(r"(train|valid|test)-(\d+)-(\d+)\.json")
_REQUESTS = 16  # at a time
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
    prepared = join(job.output, PREPARED)
    settings = join(job.work, _SETTINGS)
    if is_file(prepared):
        _check_finished(job, read_json(prepared))
        remove_tree(job.work)
        return None
    if is_file(settings):
        _check_settings(job, "is being prepared", read_json(settings))
    else:
        _check_empty(job.output)
        if not is_remote(job.output):
            pathlib.Path(job.work).mkdir(parents=True, exist_ok=True)
        write_json(settings, job.settings())
    if not is_remote(job.output):  # in a store nothing is half-written
        _remove_half_written(job)
    for record, text in _damaged(job):
        print(f"{job.output}: {text}; it is written again", flush=True)
        remove(record)
    write_text(join(job.output, "schema.toml"), job.schema_text)
    return list(_left(job, each_part))


def _remove_half_written(job: ShardJob) -> None:
    """Removes what a killed job had begun."""
    work = pathlib.Path(job.work)
    for path in work.glob("*.tmp*"):
        path.unlink()
    for folder in (pathlib.Path(job.output), work):
        remove_left_over(folder)


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
    _check_settings(job, "was begun", read_json(join(job.work, _SETTINGS)))
    missing = next(_left(job, each_part=False), None)
    if missing is not None:
        shard = job.shard(missing.split, missing.file, missing.first)
        raise DataError(f"{shard}: is missing; run the job again")
    for _, text in _damaged(job):
        raise DataError(f"{job.output}: {text}; run the job again")
    rows = {}
    reasons: list[Dropped] = []
    done = _records(job)
    for split, files in job.files.items():
        records = [done.get((split, file), {}) for file in range(len(files))]
        rows[split], found = _split_summary(job, split, records)
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
    noted: dict[str, manifest.Entry] = {}
    for (split, file), records in _records(job).items():
        for part, record in records.items():
            if record.shard is not None:
                noted[name_of(job.shard(split, file, part))] = record.shard
    listed_now = [within(job.output, entry.path) for entry in entries(job.output, below=True)]
    others = [name for name in listed_now if name not in noted and not is_hidden(name)]
    noted |= manifest.entries(job.output, others)
    in_order = dict(sorted(noted.items()))
    write_json(join(job.output, PREPARED), job.settings() | counts | {"manifest": in_order})
    remove_tree(job.work)
    if not is_remote(job.output):
        for path in pathlib.Path(job.output).glob(".vocabulary-*"):
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
    written = known.get("manifest", {})
    if is_remote(job.output):
        _check_sizes(job.output, written)
    else:
        manifest.check(job.output, written, "Empty it to begin again")


def _check_empty(output: str) -> None:
    names = [name_of(entry.path) for entry in entries(output)]
    visible = [name for name in names if not is_hidden(name)]
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
    known = _records(job)
    for split, files in job.files.items():
        for file, path in enumerate(files):
            done = known.get((split, file), {})
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


def _records(job: ShardJob) -> dict[tuple[str, int], dict[int, Record]]:
    """The parts that are done, by split and file and then by number.

    A part whose shard is gone is not done.
    """
    sizes = _sizes(job)
    found: dict[tuple[str, int], dict[int, Record]] = {}
    for (split, file, part), record in _stored_records(job).items():
        _refuse_dropped(job, _bad_rows(record.reasons))
        if not record.written or name_of(job.shard(split, file, part)) in sizes:
            found.setdefault((split, file), {})[part] = record
    return found


def _stored_records(job: ShardJob) -> dict[tuple[str, int, int], Record]:
    """What the job has noted of its parts, by split, file and part."""
    paths = {}
    for entry in entries(job.work):
        match = _RECORD.fullmatch(name_of(entry.path))
        if match is not None:
            paths[match[1], int(match[2]), int(match[3])] = entry.path
    with ThreadPoolExecutor(_REQUESTS) as pool:
        stored = list(pool.map(read_json, paths.values()))
    return dict(zip(paths, map(Record.from_json, stored), strict=True))


def _sizes(job: ShardJob) -> dict[str, int]:
    """The sizes of the files in the output folder, by name."""
    return {name_of(entry.path): entry.size for entry in entries(job.output) if entry.is_file}


def _damaged(job: ShardJob) -> Iterator[tuple[str, str]]:
    """The records whose shards do not hold what was written, and how each shard differs.

    Of shards in a store only the sizes are looked at, since the store checks its own bytes.
    """
    sizes = _sizes(job)
    for (split, file, part), record in _stored_records(job).items():
        shard = name_of(job.shard(split, file, part))
        noted = record.shard
        if noted is None or shard not in sizes:
            continue
        differing = []
        if not is_remote(job.output):
            differing = manifest.differences(job.output, {shard: noted})
        elif sizes[shard] != noted["bytes"]:
            differing = [f"{shard} has {sizes[shard]:,} bytes and not {noted['bytes']:,}"]
        for text in differing:
            yield job.record(split, file, part), text


def _split_summary(
    job: ShardJob,
    split: str,
    done: Sequence[dict[int, Record]],
) -> tuple[dict[str, int], list[Dropped]]:
    """The counts of a split, and why rows of it were dropped or repaired.

    Args:
        job: The job.
        split: The split.
        done: The records of each of its files.
    """
    counts = dict.fromkeys(_COUNTS, 0)
    reasons: list[Dropped] = []
    for of_file in done:
        records = [of_file[part] for part in sorted(of_file)]
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
