"""Measures an exported model in a session in rows per second: raw columns in, every output back.

    python -m benchmarks.infer_speed [--models="tafe mmoe"] [--against="COMMAND"]

Ali-CCP's 23 fields, 1,024 and 4,096 rows a request, one request after the other. Prints a table and
a line of JSON with rows/s by size of the request.
"""

from __future__ import annotations

import functools

from benchmarks.support import ali_ccp_shape, exported, rounds
from tafe_tf.export.session_model import SessionModel
from tafe_tf.terminal import command

SIZES = (1024, 4096)  # rows of a request


def measure(session: SessionModel) -> rounds.Figures:
    """Measures rows per second for each size."""
    return {f"infer_sps_{size}": _rate(session, size) for size in SIZES}


def _rate(session: SessionModel, size: int) -> float:
    request = ali_ccp_shape.rows(size, fields=ali_ccp_shape.ALL_FIELDS)

    def ask() -> int:
        session(request)
        return size

    ask()
    return rounds.rate(ask, rounds.SECONDS.value)


if __name__ == "__main__":
    names = [f"infer_sps_{size}" for size in SIZES]
    main = functools.partial(
        exported.compare,
        measure=measure,
        peer_keys={name: name for name in names},
        title="inference, rows/s",
    )
    command.run(main)
