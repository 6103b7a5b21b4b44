"""Whether a folder that was prepared before belongs to the job of now."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from tafe_tf.data.errors import DataError
from tafe_tf.shown import shown


def check_same(
    directory: str | pathlib.Path,
    part: str,
    before: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Refuses a folder that was prepared with other settings.

    Args:
        directory: The folder.
        part: How far it got, for the message: "was prepared" or "is being prepared".
        before: The settings that it was prepared with.
        settings: The settings of now.

    Raises:
        DataError: If one of the settings of now is another than before.
    """
    for key, value in settings.items():
        if before.get(key) != value:
            had = f"{directory}: {part} with {key} {shown(before.get(key))}"
            raise DataError(f"{had}; take another directory, or empty it. Received: {shown(value)}")
