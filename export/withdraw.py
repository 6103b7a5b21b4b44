"""Takes the newest version of a model back: the one before it is served again.

    python -m export.rollback DIR [--to_version=N]       # DIR holds the versions

A version is withdrawn by a rename to `withdrawn-<version>`. TensorFlow Serving, which polls the directory and reads
numbered names only, then loads the version before it, and drops the withdrawn one once that is ready.
"""

from __future__ import annotations

import os
import pathlib
import sys

from absl import app, flags

from tafe_tf.export.check import ExportError, check
from tafe_tf.export.session_model import versions
from tafe_tf.schema import SchemaError

_TO_VERSION = flags.DEFINE_integer(
    "to_version", 0, "The version to go back to; by default the one before the newest."
)


def rollback(base_path: str | pathlib.Path, to_version: int = 0) -> list[pathlib.Path]:
    """Withdraws every version above `to_version`, which must itself pass the gate.

    Args:
        base_path: holds the numbered versions.
        to_version: the one to go back to, or 0 for the one before the newest.

    Returns:
        Where the withdrawn versions lie now.

    Raises:
        ExportError: if there is no such version, or it fails the gate: then nothing is withdrawn.
    """
    base_path = pathlib.Path(base_path)
    found = versions(base_path)
    if len(found) < 2:
        raise ExportError(
            f"{base_path}: holds {len(found)} version(s), so there is none to go back to"
        )
    target = found[-2] if not to_version else base_path / str(to_version)
    if target not in found:
        raise ExportError(f"{target}: is no version; there are {', '.join(p.name for p in found)}")
    check(target)
    newer = [path for path in found if int(path.name) > int(target.name)]
    withdrawn = [path.with_name(f"withdrawn-{path.name}") for path in newer]
    for path, aside in reversed(
        list(zip(newer, withdrawn, strict=True))
    ):  # the newest first: no gap is served
        os.rename(path, aside)
    return withdrawn


def main(argv: list[str]) -> None:
    """Withdraws and says so; what the user can mend ends it with one line and exit code 1."""
    if len(argv) != 2:
        raise app.UsageError("give one directory")
    try:
        for path in rollback(argv[1], _TO_VERSION.value):
            print(f"withdrew {path}")
    except (ExportError, OSError, SchemaError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main)
