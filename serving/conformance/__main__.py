"""Asks a running server everything that a server of an exported model must do.

    python -m serving.conformance --target=localhost:8500 --rest=localhost:8501 --model_name=shop \\
        --export=models/shop/1

The server is TensorFlow Serving or `serving.server`: its address is all that is needed. Nothing is
changed on the server. A line is printed for each check, and the exit code is 1 if one failed.
"""

from __future__ import annotations

import sys

from absl import flags

from tafe_tf.serving.conformance.run import expected_answers, run
from tafe_tf.serving.conformance.target import Target
from tafe_tf.serving.wire.errors import ServingError
from tafe_tf.terminal import command

_TARGET = flags.DEFINE_string("target", "localhost:8500", "The server's gRPC address, HOST:PORT.")
_REST = flags.DEFINE_string(
    "rest", "", "The server's REST address, HOST:PORT; if not given, REST is not asked."
)
_MODEL = flags.DEFINE_string("model_name", "default", "The model's name on the server.")
_EXPORT = flags.DEFINE_string(
    "export",
    "",
    "The directory of the served version, whose own answers the server must give; if not given, "
    "answers are checked less closely.",
)
_FUZZ = flags.DEFINE_integer("fuzz", 1000, "The number of damaged requests to send.", lower_bound=0)
_TIMEOUT = flags.DEFINE_float("timeout", 30.0, "Seconds that one call may take.", lower_bound=0.001)


def main(argv: list[str]) -> None:
    """Runs the checks; exit code 1 if one failed, or if the server cannot be asked at all."""
    command.only_flags(argv)
    with command.one_line_errors(ServingError):
        known = expected_answers(_EXPORT.value) if _EXPORT.value else None
        target = Target(_TARGET.value, _REST.value, _MODEL.value, _TIMEOUT.value, known)
    passed, failed = run(target, _FUZZ.value)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    command.run(main)
