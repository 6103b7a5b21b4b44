"""How the process of a command ends when it is asked to, and that it leaves nothing behind."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import sys
import tempfile
from types import FrameType
from typing import NoReturn

TERMINATED = 143  # as a process that SIGTERM ended
_PREFIX = "tafe_tf-"
_AGAIN = 0.2  # seconds
_code = TERMINATED  # that this process ends with
_own_folders: list[str] = []  # the temporary folder of this process, once it has one


def end_on_sigterm() -> None:
    """Makes SIGTERM end this process in one line, exit code 143, once temporary files are removed.

    Ctrl-C ends it likewise, with exit code 130. A second signal ends it at once.
    """
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not in the background
        signal.signal(signal.SIGINT, _end)


def _end(number: int, frame: FrameType | None) -> None:
    global _code
    _code = 128 + number
    signal.signal(number, signal.SIG_DFL)
    name = signal.Signals(number).name
    os.write(2, f"{name}: stopped; the same command goes on, or starts again\n".encode())
    # Python passes over an exception in a callback of its garbage collector, of which JAX has one.
    # Then the next alarm raises it.
    sys.unraisablehook = lambda _: None
    signal.signal(signal.SIGALRM, _end_unless_ending)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    raise SystemExit(_code)


def _end_unless_ending(number: int, frame: FrameType | None) -> None:
    is_ending = isinstance(sys.exception(), SystemExit)  # a `finally` or `with` is at work
    if not is_ending:
        raise SystemExit(_code)


def use_own_temporary_folder() -> None:
    """Makes a folder for this process's temporary files, which goes when the process ends.

    Folders of processes that were killed go now: TensorFlow generates Python files, which it
    removes only at a regular end.
    """
    # Where there is no place for temporary files, whoever needs one will say so.
    with contextlib.suppress(OSError):
        _remove_left_over()
        folder = _locked_folder()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        tempfile.tempdir = folder
        _own_folders.append(folder)


def end_at_once() -> NoReturn:
    """Ends the process with exit code 0, whatever its threads do; its temporary folder goes."""
    for folder in _own_folders:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _locked_folder() -> str:
    """A new folder that is locked as long as this process lives."""
    while True:
        folder = tempfile.mkdtemp(prefix=_PREFIX)
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.isdir(folder):  # nobody took it for a killed process's before it was locked
            return folder
        os.close(descriptor)


def _remove_left_over() -> None:
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # its owner lives, or is another user
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)
