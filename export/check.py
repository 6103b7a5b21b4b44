"""Checks an export: the gate that every version passes before it is published.

    python -m export.check DIR       # DIR is a version, or holds the versions: then the highest one

`export.gate` says what is checked. A table shows the shares of missing and of unseen values in the
warm-up rows, which are held-out rows, beside those of the training rows.
"""

from __future__ import annotations

from absl import app

from tafe_tf.export.errors import ExportError
from tafe_tf.export.field_shares import print_warmup
from tafe_tf.export.gate import check
from tafe_tf.export.versions import one_version
from tafe_tf.storage.addresses import named
from tafe_tf.terminal import command


def main(argv: list[str]) -> None:
    """Prints what the gate found."""
    if len(argv) != 2:
        raise app.UsageError("give one directory")
    with command.one_line_errors(ExportError):
        path = one_version(argv[1])
        found = check(path)
    print(f"{named(str(path))}: may be served")
    for line in found:
        print(f"  {line}")
    print_warmup(path)


if __name__ == "__main__":
    command.run(main)
