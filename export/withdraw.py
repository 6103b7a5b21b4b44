"""Rolls back: withdraws the newest versions of a model, so that an older one is served again."""

from __future__ import annotations

import os
import pathlib

from tafe_tf.export.errors import ExportError
from tafe_tf.export.gate import check
from tafe_tf.export.versions import versions


def withdraw(
    export_dir: str | pathlib.Path,
    to_version: int = 0,
) -> list[pathlib.Path]:
    """Withdraws every version above `to_version`, which must itself pass the gate.

    A version is withdrawn by a rename to `withdrawn-<version>`. TensorFlow Serving polls the
    directory and reads only names that are numbers: it loads the older version, and unloads the
    withdrawn one once the older one is ready.

    Args:
        export_dir: The directory in which versions are published.
        to_version: Number of the version to go back to. The default, 0, means the one before the
            newest.

    Returns:
        The directories of the withdrawn versions under their new names, in ascending order.

    Raises:
        ExportError: If there is no such version, or it does not pass the gate. Nothing is withdrawn
            then.

    Example:
        withdraw("models/shop")  # [PosixPath('models/shop/withdrawn-3')]
    """
    export_dir = pathlib.Path(export_dir)
    found = versions(export_dir)
    if len(found) < 2:
        raise ExportError(
            f"{export_dir}: holds {len(found)} version(s), so there is none to go back to"
        )
    target = export_dir / str(to_version) if to_version else found[-2]
    if target not in found:
        names = ", ".join(path.name for path in found)
        raise ExportError(f"{target}: is no version; there are {names}")
    check(target)
    newer = []
    for path in found:
        if int(path.name) > int(target.name):
            newer.append(path)
    withdrawn = [path.with_name(f"withdrawn-{path.name}") for path in newer]
    pairs = list(zip(newer, withdrawn, strict=True))
    for path, new_path in reversed(pairs):  # the newest first, so that no gap is served
        os.rename(path, new_path)
    return withdrawn
