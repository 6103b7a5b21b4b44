"""How every command begins and ends: it parses flags, and an error is one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import gc
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from absl import app, flags

from tafe_tf.data.errors import is_utf8, of_a_file
from tafe_tf.storage.addresses import named
from tafe_tf.terminal import ending

_FULL = os.strerror(errno.ENOSPC)


class CommandError(ValueError):
    """A flag is missing or has an unusable value; the message names the flag."""


def run(main: Callable[[list[str]], None]) -> None:
    """Parses `sys.argv` and calls `main` with the arguments that are not flags.

    A flag on the command line wins over the same flag in a flagfile, in whatever order they stand.
    SIGTERM ends the command in one line, see `ending`.

    Args:
        main: The command; its list starts with the command's name.
    """
    gc.freeze()  # what the imports made stays, and need not be looked at again
    gc.enable()
    for argument in sys.argv:
        if not is_utf8(argument):
            sys.exit(f"error: {argument!a}: must be UTF-8, to be noted in files")
    ending.end_on_sigterm()
    if "tensorflow" in sys.modules:
        ending.use_own_temporary_folder()
    app.run(main, argv=flagfiles_first(sys.argv), flags_parser=_parsed)


def _parsed(argv: list[str]) -> list[str]:
    """Parses the flags, and refuses NaN and infinity, which pass the bounds of absl's flags.

    Returns:
        The arguments that are not flags.
    """
    try:
        arguments: list[str] = app.parse_flags_with_usage(argv)
    except BrokenPipeError:  # the text of --help, after `| head`
        _end_without_a_reader()
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, float) and not math.isfinite(value):
            sys.exit(f"error: --{name} must be a finite number. Received: {value}")
    return arguments


def _end_without_a_reader() -> NoReturn:
    """Ends a command whose output is no longer read, without a message."""
    # Python writes out what is left of the output when it ends, and that would fail once more.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)  # what a shell reports of a command that SIGPIPE ended


def flagfiles_first(argv: Sequence[str]) -> list[str]:
    """Moves flagfiles to the front of the arguments, so that every other flag wins over them.

    Args:
        argv: Arguments as in `sys.argv`; the first one, the command's name, stays the first.
    """
    files: list[str] = []
    rest: list[str] = []
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument == "--":  # what follows is for another command
            rest += [argument, *arguments]
        elif argument in ("--flagfile", "-flagfile"):
            files += [argument, next(arguments, "")]
        elif argument.lstrip("-").startswith("flagfile="):
            files.append(argument)
        else:
            rest.append(argument)
    return [argv[0], *files, *rest]


def only_flags(argv: Sequence[str]) -> None:
    """Refuses arguments that are not flags.

    Args:
        argv: The arguments of `main`; the first one is the command's name.

    Raises:
        absl.app.UsageError: if there is any other.
    """
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")


def one_argument(argv: Sequence[str], what: str) -> str:
    """The one argument that is no flag.

    Args:
        argv: The arguments of `main`; the first one is the command's name.
        what: What the argument is, for the message.

    Raises:
        CommandError: If there is none, or more than one.
    """
    arguments = list(argv[1:])
    if len(arguments) != 1:
        received = " ".join(arguments) or "none"
        raise CommandError(f"one argument must be given: {what}. Received: {received}")
    return arguments[0]


def required(**values: object) -> None:
    """Refuses empty flags.

    Args:
        **values: The value of each required flag, by the flag's name.

    Raises:
        CommandError: If a value is empty; the message names all such flags.
    """
    missing = [f"--{name}" for name, value in values.items() if not value]
    if missing:
        names = " and ".join(missing)
        raise CommandError(f"{names} must be given")


@contextlib.contextmanager
def one_line_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turns exceptions that the user can act on into `error: MESSAGE` and exit code 1.

    They are OSErrors and ValueErrors, and whatever TensorFlow raises because a file could not be
    read or written.

    Args:
        *kinds: Such exceptions, in addition to these.
    """
    caught: tuple[type[Exception], ...] = (OSError, ValueError, *kinds)
    try:
        yield
    except Exception as error:
        if not isinstance(error, caught) and not of_a_file(error):
            raise
        sys.exit(f"error: {_in_one_line(error)}")


def _in_one_line(error: Exception) -> str:
    """An error's message, without what TensorFlow adds for its developers."""
    if isinstance(error, UnicodeEncodeError):
        return _name_that_is_no_utf8(error)
    text = " ".join(line.strip() for line in str(error).splitlines())
    text = re.sub(r"^\{\{[^}]*\}\} ", "", text).partition(" [Op:")[0]
    if _FULL in text:
        text += "; make room, and give the same command again"
    return named(text)


def _name_that_is_no_utf8(error: UnicodeEncodeError) -> str:
    """What to say of a text that cannot be written: it comes from the name of a file or folder."""
    before = error.object[: error.start].rpartition("\n")[2]
    after = error.object[error.start :].partition("\n")[0]
    name = ascii(before[-100:] + after[:20])
    return f"{name}: is a name that is not UTF-8, which no file can note; rename it"
