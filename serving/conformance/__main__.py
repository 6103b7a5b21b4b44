"""Asks a running server everything that a server of an exported model must do.

    python -m serving.conformance --target=localhost:8500 --rest=localhost:8501 --model_name=shop --export=models/shop/1

TensorFlow Serving or `serving.server`: the address is all that it needs. It changes nothing on the server.
"""

from __future__ import annotations

import functools
import pathlib
import sys
import traceback

from absl import app, flags
from rich.console import Console

from tafe_tf import schema, schema_toml
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import SessionModel
from tafe_tf.serving.conformance import grpc_checks
from tafe_tf.serving.conformance.rest_checks import REST_CHECKS
from tafe_tf.serving.conformance.target import Arrays, Failure, Target
from tafe_tf.serving.wire.errors import ServingError

_TARGET = flags.DEFINE_string("target", "localhost:8500", "host:port of gRPC.")
_REST = flags.DEFINE_string("rest", "", "host:port of REST; without it REST is not asked.")
_MODEL = flags.DEFINE_string("model_name", "default", "The model's name.")
_EXPORT = flags.DEFINE_string(
    "export", "", "The served version's directory, if it is at hand: answers must be its."
)
_FUZZ = flags.DEFINE_integer("fuzz", 1000, "Damaged requests to send.", lower_bound=0)
_TIMEOUT = flags.DEFINE_float("timeout", 30.0, "Seconds a call.", lower_bound=0.001)


def expected(path: str) -> tuple[Arrays, Arrays]:
    """Rows that reach known, unseen, missing and extreme values, and what the export answers to them."""
    dataset = schema_toml.load(pathlib.Path(path) / "assets.extra" / "schema.toml")
    rows = probe_rows(dataset, pathlib.Path(path) / "assets", 100)
    served = SessionModel(path)
    outputs = dict(served(rows))
    served.close()
    return rows, outputs


def run(target: Target) -> tuple[int, int]:
    """Runs all checks, says how each went, and returns how many passed and failed."""
    console, failed = Console(highlight=False, soft_wrap=True), 0
    damaged = functools.partial(grpc_checks.fuzz, count=_FUZZ.value)
    named = [
        (check.__name__, check)
        for check in [*grpc_checks.CHECKS, *(REST_CHECKS if _REST.value else ())]
    ]
    named.append((f"survives_{_FUZZ.value}_damaged_requests", damaged))
    for name, check in named:
        try:
            check(target)
            console.print(f"[green]ok[/]     {name.replace('_', ' ')}")
        except (Failure, ServingError) as error:
            failed += 1
            console.print(f"[red]FAILED[/] {name.replace('_', ' ')}: ", end="")
            console.print(str(error), markup=False)
        except Exception:
            failed += 1
            console.print(f"[red]FAILED[/] {name.replace('_', ' ')}")
            traceback.print_exc()
    return len(named) - failed, failed


def main(argv: list[str]) -> None:
    """Prints a line a check; exit code 1 if one failed."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    try:
        known = expected(_EXPORT.value) if _EXPORT.value else None
        target = Target(_TARGET.value, _REST.value, _MODEL.value, _TIMEOUT.value, known)
    except (OSError, ServingError, schema.SchemaError) as error:
        sys.exit(f"error: {error}")
    passed, failed = run(target)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    app.run(main)
