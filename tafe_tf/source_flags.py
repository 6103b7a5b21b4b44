"""The flags that say where rows are, beside --data_dir. No flag here needs TensorFlow."""

from __future__ import annotations

from absl import flags

from tafe_tf.data.formats.file_kinds import INPUT_FORMAT_HELP, INPUT_FORMATS
from tafe_tf.data.formats.splits import Sources
from tafe_tf.terminal import command

_ALIKE = "files in place of --data_dir's, named as --train names them."

TRAIN = flags.DEFINE_multi_string(
    "train",
    None,
    "Training files in place of --data_dir: a file, a directory, of which all files are taken, or "
    "a quoted pattern such as 'log/dt=2026-11-{18..24}/*.parquet', or @FILE, a list of these, one "
    "a line. Give the flag several times for several of them.",
)
VALID = flags.DEFINE_multi_string("valid", None, f"Validation {_ALIKE}")
TEST = flags.DEFINE_multi_string("test", None, f"Test {_ALIKE}")
INPUT_FORMAT = flags.DEFINE_enum(
    "input_format",
    None,
    INPUT_FORMATS,
    INPUT_FORMAT_HELP,
)


def sources(data_dir: str = "") -> Sources:
    """Where the rows are.

    Args:
        data_dir: A directory or one file; "" if the flags name files by split. Default: "".

    Raises:
        DataError: If both are given.
    """
    return Sources(
        data_dir=data_dir,
        train=tuple(TRAIN.value or ()),
        valid=tuple(VALID.value or ()),
        test=tuple(TEST.value or ()),
        input_format=INPUT_FORMAT.value or "",
    )


def of_arguments(argv: list[str]) -> Sources:
    """Where the rows are: in the argument DATA, or in what --train, --valid and --test name.

    Args:
        argv: The command's name, and what is no flag.

    Raises:
        DataError: If both are given.
        CommandError: If neither is given, or more than one argument.
        absl.app.UsageError: If there are arguments beside the flags.
    """
    named = sources()
    if named.are_given:
        command.only_flags(argv)
        return named
    data = command.one_argument(argv, "DATA, a file or a directory")
    return sources(data)
