"""The files of a data set that lies in a store, by split; see `splits` for the rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import extension_of, format_of, is_visible
from tafe_tf.storage.addresses import join, name_of
from tafe_tf.storage.listing import Entry, entries, exists, is_file


def find_split(
    uri: str,
    split: str,
    splits: Sequence[str],
    begun: Iterable[str],
    required: bool,
) -> list[str]:
    """Finds the objects of one split.

    Args:
        uri: One object, whose rows are all training rows, or a folder.
        split: "train", "valid" or "test".
        splits: All three.
        begun: What lies in a folder whose shards are not all there.
        required: Whether to raise if there is no such object.

    Raises:
        DataError: If objects are required and missing, are of several formats, or are shards of a
            job that has not ended.
        FileNotFoundError: If there is nothing at the URI.
    """
    if is_file(uri):
        extension_of(uri)  # raises if it is no data
        if split != "train" and required:
            raise DataError(
                f"{uri}: is one file, whose rows are all training rows: no {split!r} rows"
            )
        return [uri] if split == "train" else []
    found = entries(uri)
    if not found:
        raise FileNotFoundError(f"{uri}: there is no such object, and nothing below it")
    if any(exists(join(uri, name)) for name in begun):
        raise DataError(
            f"{uri}: not all shards are there, since the job that prepares them has not ended; run "
            "the same command again"
        )
    files = _of_split(found, split)
    has_names = any(_of_split(found, other) for other in splits)
    if split == "train" and not has_names:
        files = [entry.path for entry in found if _is_data(entry)]
    _check_formats(uri, split, files)
    if required and not files:
        raise DataError(f"{uri}: no file {split}.EXT, {split}-*.EXT or {split}/*.EXT")
    return sorted(files)


def _of_split(found: Iterable[Entry], split: str) -> list[str]:
    """The files of a folder, and of the folders in it, that have the names of a split."""
    files = []
    for entry in found:
        rest = name_of(entry.path).removeprefix(split)
        if rest == name_of(entry.path):
            continue
        if not entry.is_file and (not rest or rest == _ending(rest)):
            files += [inner.path for inner in entries(entry.path) if _is_data(inner)]
        elif entry.is_file and _ending(rest) and (rest[0] == "-" or rest == _ending(rest)):
            files.append(entry.path)
    return files


def _ending(name: str) -> str:
    """The ending that tells the format; empty if it is none that can be read."""
    try:
        return extension_of(name)
    except DataError:
        return ""


def _is_data(entry: Entry) -> bool:
    return entry.is_file and is_visible(entry.path) and _ending(entry.path) != ""


def _check_formats(uri: str, split: str, files: Iterable[str]) -> None:
    """Raises DataError for files of several formats."""
    formats = sorted({format_of(path) for path in files})
    if len(formats) > 1:
        received = ", ".join(formats)
        raise DataError(f"{uri}: {split!r} files must be of one format. Received: {received}")
