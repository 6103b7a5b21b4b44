"""Builds the native kernel for this machine's CPU and checks it against the layers.

    python -m tafe_tf.native

It needs a C++ compiler, g++ or clang++, or the one that the environment's CXX names, and takes less
than a minute. Training, evaluation, batch scoring and the local server use the kernel from then on;
--native=off in their commands leaves the layers.
"""

from __future__ import annotations

import sys
import time

from absl import flags

from tafe_tf.native import library
from tafe_tf.native.check import CheckError, check
from tafe_tf.terminal import command

_IF_POSSIBLE = flags.DEFINE_bool(
    "if_possible",
    False,
    "Whether to end with exit code 0 and one line where the kernel cannot be built, for example "
    "because there is no compiler.",
)


def main(argv: list[str]) -> None:
    """Builds, checks and installs; what cannot be built ends it with one line and exit code 1."""
    command.only_flags(argv)
    try:
        build()
    except (library.BuildError, CheckError, OSError) as error:
        if not _IF_POSSIBLE.value:
            sys.exit(f"error: {error}")
        print(f"no native kernel, the stock layers compute: {error}")


def build() -> None:
    """What `main` does, errors aside."""
    if library.load() is not None:
        print(f"the native kernel is there: {library.path()}")
        return
    began = time.monotonic()
    with library.built() as made:
        print(f"built in {time.monotonic() - began:.0f} s", flush=True)
        for target, difference in check(made).items():
            print(f"{target}: loss and gradients are those of the layers within {difference:.0e}")
        print(f"the native kernel is there: {library.install(made)}")


if __name__ == "__main__":
    command.run(main)
