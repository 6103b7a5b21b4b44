"""A run's settings as a tracker's parameters."""

from __future__ import annotations

import tafe_tf

VERSION = {"tafe_tf.version": tafe_tf.__version__}  # a tag of every run


def settings_of(text: str) -> dict[str, str]:
    """The settings of a run's `flags.txt` by name.

    Example:
        >>> settings_of("--model=tafe\\n--nouse_tsa\\n--start_at_rates\\n# train=a.csv\\n")
        {'model': 'tafe', 'use_tsa': 'false', 'start_at_rates': 'true', 'train': 'a.csv'}
    """
    found = {}
    for line in text.splitlines():
        name, equals, value = line.removeprefix("# ").removeprefix("--").partition("=")
        if not equals:
            is_off = name.startswith("no")
            name = name.removeprefix("no") if is_off else name
            value = "false" if is_off else "true"
        found[name] = value
    return found
