"""What public datasets have in common when they are prepared."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from tafe_tf.data.errors import DataError


def check_same(
    data_dir: pathlib.Path, part: str, before: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Raises DataError if what a directory "was prepared" (`part`) with before differs from the settings of now."""
    for key, value in settings.items():
        if before.get(key) != value:
            had = f"{data_dir}: {part} with {key} {before.get(key)!r}; take another directory, or empty it"
            raise DataError(f"{had}. Received: {value!r}")
