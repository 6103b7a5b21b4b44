"""Whether a folder that was prepared before belongs to the job of now."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from tafe_tf.data.errors import DataError
from tafe_tf.data.fingerprint import fingerprint
from tafe_tf.shown import shown
from tafe_tf.storage.addresses import within

_SAMPLES = "samples"


def sources_of(
    directory: str | pathlib.Path,
    files: Iterable[str | pathlib.Path],
) -> dict[str, dict[str, Any]]:
    """What the files of a job hold now, to be kept among its settings.

    Args:
        directory: Where they lie.
        files: Their paths.

    Returns:
        Under "sources" the size of each file in bytes, and under "samples" a hash of pieces of it,
        see `Fingerprint.sample`; by the files' paths within `directory`.
    """
    sources = {}
    samples = {}
    for path in files:
        name = within(directory, path)
        _, sources[name], samples[name] = fingerprint(path)
    return {"sources": sources, _SAMPLES: samples}


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
        DataError: If one of the settings of now is another than before, or a file holds other bytes
            by its sample. A folder that an earlier version of this package prepared has no samples.
    """
    for key, value in settings.items():
        if key == _SAMPLES:
            _check_samples(directory, part, before.get(key, {}), value)
        elif before.get(key) != value:
            had = f"{directory}: {part} with {key} {shown(before.get(key))}"
            raise DataError(f"{had}; take another directory, or empty it. Received: {shown(value)}")


def _check_samples(
    directory: str | pathlib.Path,
    part: str,
    before: Mapping[str, str],
    samples: Mapping[str, str],
) -> None:
    for name, sample in samples.items():
        if before.get(name, sample) != sample:
            raise DataError(
                f"{directory}: {part} from another {name}, which had the same size; take another "
                "directory, or empty it"
            )
