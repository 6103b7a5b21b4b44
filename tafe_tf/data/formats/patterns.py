"""The files that paths, folders, patterns and lists of them name."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import (
    ENDINGS,
    INPUT_FORMATS,
    REFUSED,
    extension_of,
    format_of,
    has_no_ending,
    is_visible,
)
from tafe_tf.data.formats.globs import WILD, alternatives, expression_of
from tafe_tf.data.formats.partitions import check_same_keys, is_partition
from tafe_tf.storage.addresses import absolute, is_remote, join, within
from tafe_tf.storage.listing import entries, exists, is_file
from tafe_tf.storage.texts import read_text

# What the jobs that write a directory of shards leave beside them until all shards are there.
_BEGUN = (".prepare/settings.json", ".ali_ccp/settings.json", "preparing.json")
_OF_SPLIT = re.compile(r"(train|valid|test)([-.].*)?")  # the name of a file or folder of a split


def find_sources(given: str | Sequence[str], input_format: str = "") -> tuple[str, ...]:
    """Finds files.

    Each text is one of these:

    - the path of a file, or of a folder, of which all files are taken, at any depth;
    - a pattern: `*` and `?` stand for any characters of a name and for one, `[a-z]` for one of
      some and `[!a-z]` for none of them, and `**` for any characters, those between folders
      included. `{a,b}` stands for each of some texts and `{08..11}` for each of some numbers, with
      their zeros. A pattern that names a folder names all files of it;
    - `@FILE`, a file with one such text a line; paths in it are relative to its folder, and lines
      that are empty or begin with `#` are passed over.

    Of folders and patterns, hidden files, marks such as `_SUCCESS` and files of other endings are
    passed over. Each alternative of braces must name a file: a day that is not
    there is no day without rows.

    Args:
        given: A text, or several.
        input_format: "csv", "parquet", "orc" or "tfrecord": the format of files without an
            ending, such as `part-00000`. Default: "", such files are passed over, but for those
            that are named themselves, whose first bytes tell their format.

    Returns:
        The paths, each once, in the order of their absolute paths: the same on every machine.

    Raises:
        DataError: If a text names no file, the files are of several formats, they lie in folders
            of different keys, see `partitions`, or they are shards of a job that has not ended.
        FileNotFoundError: If a path without a pattern is not there.

    Example:
        >>> import tempfile
        >>> log = pathlib.Path(tempfile.mkdtemp())
        >>> for day in ("09", "10", "11"):
        ...     (log / f"dt=2026-11-{day}").mkdir()
        ...     _ = (log / f"dt=2026-11-{day}" / "part-0.csv").write_text("click\\n1\\n")
        >>> found = find_sources(f"{log}/dt=2026-11-{{09..10}}/**.csv")
        >>> [pathlib.Path(path).parent.name for path in found]
        ['dt=2026-11-09', 'dt=2026-11-10']
    """
    if input_format not in ("", *INPUT_FORMATS):
        rule = f"input_format must be one of {', '.join(INPUT_FORMATS)}"
        raise DataError(f"{rule}. Received: {input_format!r}")
    texts = [given] if isinstance(given, str) else list(given)
    found: dict[str, str] = {}
    for text in texts:
        for path in _named_by(text, input_format):
            found.setdefault(absolute(path), path)
    files = tuple(found[path] for path in sorted(found))
    if input_format and any(map(is_remote, files)):
        raise DataError(
            f"input_format must be left out for files of a store, which need an ending. "
            f"Received: {input_format}"
        )
    for folder in dict.fromkeys(map(os.path.dirname, files)):
        check_ended(folder)
    check_formats(files, input_format)
    check_same_keys(files)
    return files


def check_formats(files: Sequence[str], input_format: str = "") -> None:
    """Raises DataError unless all files are of one format, and those without ending of a given one.

    Args:
        files: Their paths.
        input_format: See `find_sources`. Default: "".
    """
    by_format: dict[str, str] = {}
    for path in files:
        found = format_of(path)
        by_format.setdefault(found, path)
        if input_format and has_no_ending(path) and found != f".{input_format}":
            raise DataError(
                f"{path}: must be a {input_format} file, as input_format says, and is a "
                f"{found.removeprefix('.')} file by its first bytes"
            )
    if len(by_format) > 1:
        received = ", ".join(sorted(by_format))
        paths = " and ".join(by_format[name] for name in sorted(by_format))
        raise DataError(f"{paths}: must be of one format. Received: {received}")


def below(folder: str | pathlib.Path, of_partitions: bool = False) -> Iterator[str]:
    """The paths of all visible files below a folder, at any depth; hidden folders are passed over.

    Args:
        folder: The folder.
        of_partitions: Whether only those in the folder itself and in folders that hold values, see
            `partitions`. Default: False.
    """
    if is_remote(folder):
        yield from _in_store(str(folder), of_partitions)
        return
    walked: set[str] = set()
    for path, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(path) in walked:  # a link that leads back
            folders.clear()
            continue
        walked.add(os.path.realpath(path))
        folders[:] = [name for name in folders if _is_open(name, of_partitions)]
        for name in names:
            file = os.path.join(path, name)
            if is_visible(name) and os.path.isfile(file):
                yield file


def _in_store(uri: str, of_partitions: bool) -> Iterator[str]:
    """See `below`."""
    for entry in entries(uri, below=True):
        *folders, name = within(uri, entry.path).split("/")
        if is_visible(name) and all(_is_open(folder, of_partitions) for folder in folders):
            yield entry.path


def check_ended(folder: str | pathlib.Path) -> None:
    """Raises DataError if a job that writes shards into a folder has not ended."""
    for name in _BEGUN:
        if exists(join(folder, name)):
            raise DataError(
                f"{folder}: not all shards are there, since the job that prepares them has not "
                "ended; run the same command again"
            )


def _is_open(folder: str, of_partitions: bool) -> bool:
    """Whether a folder of this name is looked into."""
    return is_partition(folder) or (is_visible(folder) and not of_partitions)


def is_data(path: str, input_format: str = "") -> bool:
    """Whether a file that was not named itself is to be read.

    A file of 0 bytes whose name has no ending is an empty part, as Hive leaves them.

    Args:
        path: The file.
        input_format: See `find_sources`. Default: "".
    """
    name = os.path.basename(path)
    if has_no_ending(name):
        is_local = not is_remote(path)
        return input_format != "" and is_local and os.path.getsize(path) > 0
    return name.endswith((*ENDINGS, *REFUSED))


def _named_by(text: str, input_format: str) -> list[str]:
    """The files that one text names; at least one."""
    if is_file(text):
        extension_of(text)  # raises if it is no data
        return [text]
    if text.startswith("@"):
        return _in_list(text[1:], input_format)
    if os.path.isdir(text):
        _check_one_split(text)
    found = []
    for pattern in alternatives(text.rstrip("/") or text):
        if is_file(pattern):
            extension_of(pattern)
            found.append(pattern)
            continue
        files = [path for path in _matching(pattern) if is_data(path, input_format)]
        if not files:
            raise _nothing(text, pattern, input_format)
        found += files
    return found


def _nothing(
    text: str,
    pattern: str,
    input_format: str,
) -> Exception:
    """The error for a text that names no file."""
    where = text if text == pattern else f"{text}: {pattern}"
    if not WILD.search(pattern) and not os.path.isdir(pattern):
        return FileNotFoundError(f"{where}: there is no such file or directory")
    mend = "give a file, a directory, or a pattern such as 'DIR/dt=2026-11-*'"
    if not input_format and any(map(has_no_ending, _matching(pattern))):
        mend = f"files without an ending need --input_format, one of {', '.join(INPUT_FORMATS)}"
    return DataError(f"{where}: names no file with rows; {mend}")


def _check_one_split(folder: str) -> None:
    """Raises DataError if a folder has files that are named after several splits."""
    matches = (_OF_SPLIT.fullmatch(name) for name in os.listdir(folder))
    splits = {match[1] for match in matches if match}
    if len(splits) > 1:
        raise DataError(
            f"{folder}: holds files of the splits {' and '.join(sorted(splits))}; give "
            f"--data_dir={folder}, or the pattern '{folder}/{min(splits)}*'"
        )


def _in_list(path: str, input_format: str) -> list[str]:
    """The files that the lines of a file name."""
    folder = os.path.dirname(path)
    try:
        lines = read_text(path).splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: must be a list of paths, UTF-8 text with one a line") from None
    found = []
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("@"):
            raise DataError(f"{path}: a list must not name another list. Received: {text}")
        found += _named_by(text if is_remote(text) else join(folder, text), input_format)
    if not found:
        raise DataError(f"{path}: names no file; write one path a line")
    return found


def _matching(pattern: str) -> Iterator[str]:
    """The visible files that a pattern without braces names, or whose folder it names."""
    wild = WILD.search(pattern)
    if wild is None:
        yield from below(pattern)
        return
    root, slash, _ = pattern[: wild.start()].rpartition("/")
    matches = re.compile(expression_of(pattern[len(root) + len(slash) :]))
    start = root + slash
    for path in below(start or "."):
        inner = within(start or ".", path).replace(os.sep, "/")
        if matches.fullmatch(inner):
            yield start + inner
