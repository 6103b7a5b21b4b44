"""Vocabularies and row statistics, from one streaming pass over the training files."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from tafe_tf.data import manifest
from tafe_tf.data.atomic import naming, read_json, read_text
from tafe_tf.data.atomic import publish as move
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.blocks.block import Block
from tafe_tf.data.blocks.maturity import Now, without_immature
from tafe_tf.data.field_counts import FieldCounts
from tafe_tf.data.fingerprint import Fingerprint, of_files, sampled
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.features.learned_numbers import copy_numbers, write_numbers
from tafe_tf.features.profile import FILE as PROFILE
from tafe_tf.features.row_counts import RowCounts
from tafe_tf.features.value_counts import Kept, ValueCounts, keep_of_columns
from tafe_tf.schema import ABSENT, Feature, Schema, SchemaError
from tafe_tf.storage.addresses import is_remote, join
from tafe_tf.storage.listing import is_file
from tafe_tf.storage.staging import fetch_tree

STATISTICS = "statistics.json"
_WORK = ".vocabulary-"


def vocabulary_file(directory: str | pathlib.Path, feature: Feature) -> pathlib.Path:
    """Where a feature's vocabulary lies: one value a line, most frequent first.

    A feature that uses another one's rows (`shares`) has that one's vocabulary.
    """
    return pathlib.Path(directory) / "vocabulary" / f"{feature.owner}.txt"


@dataclasses.dataclass(frozen=True)
class Counted:
    """What a pass over training files counts.

    Attributes:
        rows: The rows in all files, their labels and the values of their fields.
        values: The values of the columns of each vocabulary, by its feature's name; see
            `columns_of`.
    """

    rows: RowCounts
    values: dict[str, list[ValueCounts]]

    def keep(self, feature: Feature, known: Collection[str] = ()) -> Kept:
        """What is left of the values of a vocabulary.

        Args:
            feature: Whose vocabulary it is.
            known: Values that are kept however rarely they occur. Default: none.
        """
        columns = [counts.sorted() for counts in self.values[feature.name]]
        return keep_of_columns(columns, feature.min_count, known)


def count(
    files: list[str],
    schema: Schema,
    work: pathlib.Path,
    bad_rows: BadRows,
    now: Now | None = None,
) -> Counted:
    """Counts values, rows and labels in one pass over the training files.

    Args:
        files: The training files.
        schema: What to read of them.
        work: A folder for counts that do not fit in memory, see `beside`.
        bad_rows: What to do with bad rows.
        now: As of when labels are judged, see `FunnelData`. Default: None.

    Raises:
        DataError: On a bad file, or on a bad row unless `bad_rows` drops them.
    """
    values: dict[str, list[ValueCounts]] = {}
    readers: list[tuple[Feature, ValueCounts]] = []
    for owner in vocabulary_features(schema):
        values[owner.name] = []
        for feature in columns_of(schema, owner):
            counts = ValueCounts(work)
            values[owner.name].append(counts)
            readers.append((feature, counts))
    rows = RowCounts(schema)
    for block in read_blocks(files, schema, bad_rows=bad_rows):
        rows.add(block if now is None else without_immature(block, schema, now))
        for feature, counts in readers:
            counts.add(values_of(feature, block))
    return Counted(rows, values)


def build(
    files: list[str],
    schema: Schema,
    directory: str | pathlib.Path,
    bad_rows: BadRows,
    now: Now | None = None,
) -> dict[str, Any]:
    """Writes the folder `vocabulary` and `statistics.json` into a directory, all or nothing.

    Beside them goes `profile.json`, see `tafe_tf.features.profile`.

    Args:
        files: The training files.
        schema: What to read of them.
        directory: Made if it is not there; usually the schema's folder or the run's own.
        bad_rows: What to do with bad rows.
        now: As of when labels are judged, see `FunnelData`. Default: None.

    Returns:
        The statistics, see `publish`.

    Raises:
        DataError: On a bad file, or on a bad row unless `bad_rows` drops them.
    """
    with beside(directory) as work:
        counted = count(files, schema, work, bad_rows, now)
        kept = ((feature, counted.keep(feature)) for feature in vocabulary_features(schema))
        return publish(
            work,
            files,
            schema,
            counted.rows,
            kept,
        )


def vocabulary_features(schema: Schema) -> list[Feature]:
    """The features that have a vocabulary of their own."""
    return [
        feature
        for feature in schema.features
        if feature.kind == "vocabulary" and not feature.shares
    ]


def columns_of(schema: Schema, owner: Feature) -> list[Feature]:
    """The features whose values a vocabulary counts, one for each column.

    Args:
        schema: The schema.
        owner: The feature whose vocabulary it is.
    """
    by_column: dict[str, Feature] = {}
    for feature in schema.users_of(owner):
        by_column.setdefault(feature.column, feature)
    return list(by_column.values())


def values_of(feature: Feature, block: Block) -> Iterable[str]:
    """A block's values of a feature as its vocabulary spells them, without missing ones."""
    flat = block.columns[feature.column].reshape(-1)
    if feature.dtype == "int64":
        present = flat[flat != ABSENT["int64"]]
        return map(str, present.tolist())
    texts = [_text(value) for value in flat.tolist()]
    return filter(None, texts)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@contextlib.contextmanager
def beside(directory: str | pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder to write in before `publish` moves the result up; it is removed at the end.

    Folders that killed processes have left are removed first.

    Args:
        directory: Where the folder is made; made itself if it is not there. No other process
            builds vocabularies in it, see `tafe_tf.data.lock`.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for left_over in directory.glob(f"{_WORK}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    with naming(directory), tempfile.TemporaryDirectory(prefix=_WORK, dir=directory) as work:
        yield pathlib.Path(work)


def publish(
    work: pathlib.Path,
    files: list[str],
    schema: Schema,
    rows: RowCounts,
    kept: Iterable[tuple[Feature, Kept]],
    grown_from: Sequence[str] = (),
    numbers_of: str | pathlib.Path = "",
) -> dict[str, Any]:
    """Writes vocabularies and statistics into a folder and moves them one folder up.

    Args:
        work: The folder, see `beside`.
        files: The training files.
        schema: What was read of them.
        rows: The rows in all files, their labels and the values of their fields.
        kept: The vocabulary of each feature that has one.
        grown_from: The fingerprint of the vocabularies to which these files only add, if there are
            any. Default: none.
        numbers_of: The folder of the vocabularies whose edges and scales of numbers stay. Default:
            none, they are those of these rows.

    Returns:
        The statistics: "rows"; the "rate" of every task; where labels may be unknown, under
        "unknown_labels" how many of each task are, under "untold" the tasks of which no row tells
        that may have come so far, and under "negatives" the rows whose first label is 0; if there
        is an amount, under "amount" the "rows" that know it, and "mean_log" and "deviation_log" of
        its logarithm in them; under "vocabulary" the vocabularies' sizes; under "distinct" the
        number of different values behind each; under "missing" and "unseen" the share of each
        field's values that are missing, and that have no row of the table; under "files" what the
        vocabularies' files hold, see `tafe_tf.data.manifest`; and "made_from", a fingerprint of
        what they are made from.
    """
    sizes = {}
    distinct = {}
    fields = FieldCounts(rows.fields.fields)
    fields.merge(rows.fields.counts)
    for feature, values in kept:
        sizes[feature.name] = _write(vocabulary_file(work, feature), values.values)
        distinct[feature.name] = values.distinct
        by_column = dict(zip(_names(schema, feature), values.rare, strict=True))
        for user in schema.users_of(feature):
            fields.add_unseen(user.name, by_column[user.column])
    if numbers_of:
        copy_numbers(numbers_of, work, schema)
    else:
        write_numbers(work, schema, rows.numbers)
    names = [task.name for task in schema.tasks]
    rates = dict(zip(names, rows.rates(), strict=True))
    knowledge: dict[str, Any] = {}
    if schema.may_be_unknown:
        knowledge["unknown_labels"] = dict(zip(names, rows.unknown.tolist(), strict=True))
        knowledge["untold"] = [names[i] for i in rows.untold()]
        knowledge["negatives"] = rows.negatives
    if schema.amount is not None:
        known, mean, deviation = rows.amounts.start()
        knowledge["amount"] = {"rows": known, "mean_log": mean, "deviation_log": deviation}
    statistics = {
        "rows": rows.rows,
        "rate": rates,
        **knowledge,
        "vocabulary": sizes,
        "distinct": distinct,
        **fields.shares_of_all(),
        "files": manifest.entries(work, _files(work)),
        "made_from": fingerprint(files, schema, *grown_from),
    }
    profile = {
        "rows": rows.rows,
        "fields": fields.shares_of_all(),
        "columns": rows.profile.described(),
    }
    (work / PROFILE).write_text(json.dumps(profile) + "\n", encoding="utf-8")
    _move(work, statistics)
    return statistics


def _names(schema: Schema, owner: Feature) -> list[str]:
    """The names of the columns whose values a vocabulary counts."""
    return [feature.column for feature in columns_of(schema, owner)]


def fingerprint(
    files: list[str],
    schema: Schema,
    *grown_from: str,
) -> str:
    """A hash of what vocabularies are made from; those of the same one need not be built again.

    Args:
        files: The training files, of which names, sizes and samples of the content count.
        schema: What is read of them.
        *grown_from: The fingerprint of the vocabularies to which the files only add, if any.
    """
    return _made_from(of_files(files), schema, *grown_from)


def _made_from(
    files: Sequence[Fingerprint],
    schema: Schema,
    *grown_from: str,
) -> str:
    """See `fingerprint`."""
    sources = [tuple(file) for file in files]
    of_values = [
        dataclasses.replace(feature, pretrained="", trainable=True) for feature in schema.features
    ]
    schema = dataclasses.replace(schema, features=tuple(of_values))
    made_from = repr((schema, sources, *grown_from))
    digest = hashlib.blake2b(made_from.encode(), digest_size=16)
    return digest.hexdigest()


def reuse(
    files: list[str],
    schema: Schema,
    prepared: str | pathlib.Path,
    directory: str | pathlib.Path,
) -> bool:
    """Copies vocabularies that were built before, if they are of these files and this schema.

    Args:
        files: The training files.
        schema: What is read of them.
        prepared: Where vocabularies may lie.
        directory: Where to copy them.

    Returns:
        Whether they were copied.

    Raises:
        ManifestError: If they are not as they were built.
    """
    if not is_file(join(prepared, STATISTICS)):
        return False
    statistics = read_json(join(prepared, STATISTICS))
    if not _are_of(statistics, files, schema):
        return False
    mend = "Run tafe_tf.prepare again, which builds them anew"
    if not is_remote(prepared):
        manifest.check(prepared, statistics["files"], mend)
    with beside(directory) as work:
        if is_remote(prepared):
            if statistics["files"]:
                fetch_tree(join(prepared, "vocabulary"), work / "vocabulary")
            differing = manifest.differences(work, statistics["files"])
            if differing:
                raise manifest.ManifestError(f"{prepared}: {'; '.join(differing)}. {mend}")
        else:
            shutil.copytree(pathlib.Path(prepared, "vocabulary"), work / "vocabulary")
        if is_file(join(prepared, PROFILE)):
            text = read_text(join(prepared, PROFILE))
            (work / PROFILE).write_text(text, encoding="utf-8")
        _move(work, statistics)
    return True


def _are_of(
    statistics: dict[str, Any],
    files: list[str],
    schema: Schema,
) -> bool:
    """Whether statistics were made from these files, or from the files that were copied there.

    A store's marks differ from store to store, so what was built elsewhere is told by samples.
    """
    made_from = statistics.get("made_from")
    if made_from == fingerprint(files, schema):
        return True
    are_copies = any(map(is_remote, files))
    return are_copies and made_from == _made_from(list(map(sampled, files)), schema)


def read(directory: str | pathlib.Path, feature: Feature) -> list[str]:
    """A feature's values, in the order of their ids.

    Raises:
        SchemaError: If the file is not UTF-8.
    """
    path = vocabulary_file(directory, feature)
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            return [line[:-1] for line in file]
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path}: is damaged: {error}; build it again") from None


def _write(path: pathlib.Path, values: list[str]) -> int:
    """Writes a vocabulary and returns the number of its values."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{value}\n" for value in values)
    return len(values)


def _files(work: pathlib.Path) -> list[pathlib.PurePath]:
    """The files of the vocabularies, as paths within the folder that holds them."""
    return [path.relative_to(work) for path in work.glob("vocabulary/*")]


def _move(work: pathlib.Path, statistics: dict[str, Any]) -> None:
    """Moves vocabularies one folder up, then the statistics, whose presence says all is there.

    The profile goes with them. Vocabularies that an earlier version built have none.
    """
    directory = work.parent
    (directory / STATISTICS).unlink(missing_ok=True)
    shutil.rmtree(directory / "vocabulary", ignore_errors=True)
    (work / "vocabulary").mkdir(exist_ok=True)
    move(work / "vocabulary", directory / "vocabulary")
    (directory / PROFILE).unlink(missing_ok=True)
    if (work / PROFILE).exists():
        move(work / PROFILE, directory / PROFILE)
    text = json.dumps(statistics, indent=2) + "\n"
    (work / STATISTICS).write_text(text, encoding="utf-8")
    move(work / STATISTICS, directory / STATISTICS)
