"""How every command begins and ends: flags in, errors of one line and an exit code out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from absl import app


class CommandError(ValueError):
    """A flag is missing, or its value cannot be used; the message names the flag."""


def run(main: Callable[[list[str]], None]) -> None:
    """Runs a command: parses `sys.argv` and calls `main` with what is no flag.

    A flag on the command line wins over the same flag in a flagfile, wherever the flagfile stands.
    """
    app.run(main, argv=flagfiles_first(sys.argv))


def flagfiles_first(argv: Sequence[str]) -> list[str]:
    """The arguments with flagfiles moved to the front, so that any further flag wins over them."""
    files: list[str] = []
    rest: list[str] = []
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument in ("--flagfile", "-flagfile"):
            files += [argument, next(arguments, "")]
        elif argument.lstrip("-").startswith("flagfile="):
            files.append(argument)
        else:
            rest.append(argument)
    return [argv[0], *files, *rest]


def only_flags(argv: Sequence[str]) -> None:
    """Refuses arguments that are no flags.

    Args:
        argv: what `main` was called with; its first element is the command's name.

    Raises:
        absl.app.UsageError: if there are any.
    """
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")


def required(**values: object) -> None:
    """Refuses flags that are empty.

    Args:
        **values: the value of each flag that must be given, by the flag's name.

    Raises:
        CommandError: if one is empty; the message names all that are.
    """
    missing = [f"--{name}" for name, value in values.items() if not value]
    if missing:
        raise CommandError(f"{' and '.join(missing)} must be given")


@contextlib.contextmanager
def one_line_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Ends the command with `error: MESSAGE` and exit code 1 where the user can mend what went wrong.

    Args:
        *kinds: exceptions that the user can mend, beside OSError and ValueError.
    """
    caught: tuple[type[Exception], ...] = (OSError, ValueError, *kinds)
    try:
        yield
    except caught as error:
        sys.exit(f"error: {error}")
