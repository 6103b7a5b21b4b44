"""Withdraws the newest version of a model, so that the one before it is served again.

    python -m export.rollback DIR [--to_version=N]       # DIR holds the versions

`export.withdraw` says how a running server notices.
"""

from __future__ import annotations

from absl import app, flags

from tafe_tf.export.errors import ExportError
from tafe_tf.export.withdraw import withdraw
from tafe_tf.terminal import command

_TO_VERSION = flags.DEFINE_integer(
    "to_version",
    0,
    "Number of the version to go back to; all versions above it are withdrawn. The default, 0, "
    "means the version before the newest.",
    lower_bound=0,
)


def main(argv: list[str]) -> None:
    """Withdraws the versions and prints where each lies now."""
    if len(argv) != 2:
        raise app.UsageError("give one directory")
    with command.one_line_errors(ExportError):
        for path in withdraw(argv[1], _TO_VERSION.value):
            print(f"withdrew {path}")


if __name__ == "__main__":
    command.run(main)
