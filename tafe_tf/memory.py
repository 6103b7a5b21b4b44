"""What the C library does with memory that a step has freed."""

from __future__ import annotations

import ctypes
import os

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2  # of glibc's malloc.h
_OPTIONS = {
    _MMAP_THRESHOLD: 32 << 20,
    _TRIM_THRESHOLD: 2**31 - 1,
    _TOP_PAD: 64 << 20,
}  # 32 MiB is the most it takes


def keep_freed_memory() -> None:
    """Has glibc keep freed memory for the next step, which takes as much again.

    By default it returns the top of the heap at once, and the system clears and maps the same pages anew each step: on
    a virtual machine up to half of the time. What is larger than 32 MiB is still returned. Nothing changes under
    another C library, or where the environment has settings of its own (`MALLOC_...`, `GLIBC_TUNABLES`).
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt:
        for option, value in _OPTIONS.items():
            mallopt(option, value)
