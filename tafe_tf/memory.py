"""How much memory this process may use: the machine's, or what its control group leaves it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

_CONTROL_GROUPS = pathlib.Path("/sys/fs/cgroup")
_OWN_GROUPS = pathlib.Path("/proc/self/cgroup")


def available() -> int | None:
    """Bytes of memory that this process may use at most; None where the system does not say."""
    limits = list(_limits_of_groups())
    if "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((limit for limit in limits if limit > 0), default=None)


def _limits_of_groups() -> Iterator[int]:
    """The limits of this process's control groups, as containers have them, and of those above."""
    for group in _groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (group / name).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if text.isdigit():  # "max" is no limit
                yield int(text)


def _groups() -> Iterator[pathlib.Path]:
    """The folders of this process's control groups, of both versions, and those above them."""
    yield _CONTROL_GROUPS
    yield _CONTROL_GROUPS / "memory"
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = _CONTROL_GROUPS / "memory" if controllers else _CONTROL_GROUPS
        group = pathlib.PurePosixPath(path.lstrip("/"))
        for part in (group, *group.parents):
            yield top / part
