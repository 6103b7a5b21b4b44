"""Runs the checks against a server and tells how each one went."""

from __future__ import annotations

import functools
import pathlib
import traceback

from rich.console import Console

from tafe_tf import schema_toml
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import SessionModel
from tafe_tf.export.signature_inputs import by_input
from tafe_tf.serving.conformance import grpc_checks, refusal_checks, rest_checks
from tafe_tf.serving.conformance.target import Arrays, Check, Failure, Target
from tafe_tf.serving.wire.errors import ServingError

_PROBES = 100  # rows that reach known, unseen, missing and extreme values


def expected_answers(export: str) -> tuple[Arrays, Arrays]:
    """Rows that reach known, unseen, missing and extreme values, and an export's outputs for them.

    Args:
        export: The directory of the exported version that is served.

    Raises:
        OSError: If a file of the export is missing.
        SchemaError: If its schema is damaged.
    """
    path = pathlib.Path(export)
    dataset = schema_toml.load(path / "assets.extra" / "schema.toml")
    rows = by_input(dataset, probe_rows(dataset, path / "assets", _PROBES))
    model = SessionModel(path)
    outputs = dict(model(rows))
    model.close()
    return rows, outputs


def named_checks(rest: bool, damaged: int) -> dict[str, Check]:
    """All checks by what each of them says of the server.

    Args:
        rest: Whether REST is asked too.
        damaged: The number of damaged requests to send.
    """
    checks = [*grpc_checks.CHECKS, *refusal_checks.CHECKS]
    if rest:
        checks += rest_checks.CHECKS
    named = {check.__name__.replace("_", " "): check for check in checks}
    survives = functools.partial(refusal_checks.survives_damage, count=damaged)
    return named | {f"survives {damaged} damaged requests": survives}


def run(target: Target, damaged: int) -> tuple[int, int]:
    """Runs all checks and prints a line for each.

    Args:
        target: The server; REST is asked if it has an address of REST.
        damaged: The number of damaged requests to send.

    Returns:
        How many checks passed, and how many failed.
    """
    console = Console(highlight=False, soft_wrap=True)
    checks = named_checks(bool(target.rest), damaged)
    failed = 0
    for name, check in checks.items():
        try:
            check(target)
        except (Failure, ServingError) as error:
            failed += 1
            console.print(f"[red]FAILED[/] {name}: ", end="")
            console.print(str(error), markup=False)
        except Exception:
            failed += 1
            console.print(f"[red]FAILED[/] {name}")
            traceback.print_exc()
        else:
            console.print(f"[green]ok[/]     {name}")
    return len(checks) - failed, failed
