"""Rows a second of the exported model in a session: raw columns in, every output back, one request after the other.

python -m benchmarks.infer_speed [--models="tafe mmoe"] [--against="COMMAND"]

Ali-CCP's 23 fields, 1,024 and 4,096 rows a request.
"""

from __future__ import annotations

import functools

from absl import app

from benchmarks.support import ali_ccp_shape, exported, rounds
from tafe_tf.export.session_model import SessionModel

SIZES = (1024, 4096)


def measure(session: SessionModel) -> rounds.Figures:
    """Rows a second by size."""
    return {f"infer_sps_{size}": _rate(session, size) for size in SIZES}


def _rate(session: SessionModel, size: int) -> float:
    rows = ali_ccp_shape.rows(size, fields=ali_ccp_shape.ALL_FIELDS)

    def ask() -> int:
        session(rows)
        return size

    ask()
    return rounds.rate(ask, rounds.SECONDS.value)


if __name__ == "__main__":
    keys = {f"infer_sps_{size}": f"infer_sps_{size}" for size in SIZES}
    app.run(
        functools.partial(
            exported.compare, measure=measure, peer_keys=keys, title="inference, rows/s"
        )
    )
