"""The short look with which training starts: all problems at once, before TensorFlow comes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags

from tafe_tf.data.bad_rows import Dropped
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.file_kinds import format_of
from tafe_tf.data.formats.splits import SPLITS, Sources
from tafe_tf.first_look import problems, raw, schema_errors
from tafe_tf.first_look.dialect import dialect_of
from tafe_tf.schema import Schema
from tafe_tf.terminal import command

ROWS = 10_000  # of each split; `tafe look` reads more
_HEAD_ROWS = 100
_FILES = 50  # of each split, whose columns are checked


class _Asked(NamedTuple):
    """What the command line says of the data."""

    sources: Sources
    schema_file: str
    on_bad_row: str


def stop_if_wrong(argv: Sequence[str]) -> None:
    """Ends the process with all problems and exit code 1, if training could not start.

    Args:
        argv: `sys.argv` of a command that trains, or prepares to.
    """
    asked = _asked(argv)
    if asked is None:
        return  # the command itself says what is wrong with its flags
    with command.one_line_errors():
        found = start_problems(asked.sources, asked.schema_file, asked.on_bad_row)
    if len(found) == 1:
        sys.exit(f"error: {found[0]}")
    if found:
        listed = "\n".join(f"  {problem}" for problem in found)
        sys.exit(f"error: {len(found)} problems in the way:\n{listed}")


def _asked(argv: Sequence[str]) -> _Asked | None:
    """The flags that say what to read; None if they cannot be told, or only help is asked for."""
    if any(argument.lstrip("-").startswith(("help", "helpfull")) for argument in argv[1:]):
        return None
    known = flags.FlagValues()
    known.set_gnu_getopt(True)
    flags.DEFINE_string("data_dir", "", "The data.", flag_values=known)
    for split in SPLITS:
        flags.DEFINE_multi_string(split, [], "Files of a split.", flag_values=known)
    flags.DEFINE_string("input_format", "", "Of files without ending.", flag_values=known)
    flags.DEFINE_string("schema", "", "The schema.", flag_values=known)
    flags.DEFINE_string("on_bad_row", "raise", "What to do with bad rows.", flag_values=known)
    try:
        known(command.flagfiles_first(argv), known_only=True)
        sources = Sources(
            data_dir=known.data_dir,
            train=tuple(known.train),
            valid=tuple(known.valid),
            test=tuple(known.test),
            input_format=known.input_format,
        )
    except (flags.Error, DataError):
        return None
    if not str(sources):
        return None
    return _Asked(sources, known.schema, known.on_bad_row)


def start_problems(
    data: str | Sources,
    schema_file: str = "",
    on_bad_row: str = "raise",
) -> list[str]:
    """Finds what training would stop at: in the schema, in the files' columns, in the first rows.

    Of more than 50 files of a split, 50 are looked at.

    Rows of TFRecord files are left to training, since TensorFlow reads them.

    Args:
        data: The file or directory of the rows, or what names files by split.
        schema_file: The schema's TOML file. By default `schema.toml` beside the data.
        on_bad_row: "raise" if a bad row stops training, or "drop". Default: "raise".
    """
    sources = data if isinstance(data, Sources) else Sources(data_dir=data)
    found: list[str] = []
    schema: Schema | None = None
    try:
        path = schema_file or sources.schema_file
    except DataError as error:
        return [str(error)]
    try:
        schema, found = schema_errors.load_all(path)
    except FileNotFoundError:
        writing = f"`tafe draft {_as_arguments(sources)} > {path}` writes one"
        found.append(f"{path}: there is no such schema; {writing}")
    except (DataError, OSError) as error:
        found.append(str(error))
    try:
        files = sources.find()
    except (DataError, OSError) as error:
        return [*found, str(error)]
    for split, paths in files.items():
        are_read = paths and not any(format_of(path) == ".tfrecord" for path in paths)
        if schema and are_read:
            found += _of_split(split, paths, schema, on_bad_row)
    return list(dict.fromkeys(found))


def _as_arguments(sources: Sources) -> str:
    """The data as arguments of a command."""
    named = [f"--train={shlex.quote(text)}" for text in sources.train]
    return " ".join(named) or sources.data_dir


def _of_split(
    split: str,
    files: Sequence[str],
    schema: Schema,
    on_bad_row: str,
) -> list[str]:
    rows = raw.read_rows(_some(files), _HEAD_ROWS, dialect_of(schema))
    found, wrong = problems.split_problems(
        rows,
        files,
        schema,
        ROWS,
    )
    if wrong is None:
        return found
    if on_bad_row == "raise":
        for reason in problems.merged(wrong.bad_rows):
            if reason.verdict == "dropped":
                found.append(_bad_row(reason, split, wrong.rows))
    return found


def _some(files: Sequence[str]) -> list[str]:
    """So many of the files that checking them takes no time; the first and the last among them."""
    if len(files) <= _FILES:
        return list(files)
    last = len(files) - 1
    return [files[place * last // (_FILES - 1)] for place in range(_FILES)]


def _bad_row(
    reason: Dropped,
    split: str,
    rows: int,
) -> str:
    """A bad row as training would name it, and how many there are of its kind."""
    if reason.rows == 1:
        return f"{reason.first} (--on_bad_row=drop leaves such rows out)"
    where = f"of the first {rows:,} {split} rows"
    return f"{reason.first} ({reason.rows:,} such rows {where}; --on_bad_row=drop leaves them out)"
