"""Rows a second of the exported model in a session: raw columns in, every output back, one request after the other.

python -m benchmarks.infer_speed [--models="tafe mmoe"] [--against="COMMAND"]

Ali-CCP's 23 fields, 1,024 and 4,096 rows a request.
"""

from __future__ import annotations

import pathlib
import tempfile

import tensorflow as tf
from absl import app, flags, logging

from benchmarks import ali_ccp_shape, rounds
from export.session import SessionModel

_MODELS = flags.DEFINE_spaceseplist("models", ["tafe"], "MODEL or MODEL/ARGUMENT=VALUE/...")
SIZES = (1024, 4096)


def served(spec: str, directory: pathlib.Path) -> rounds.Measure:
    """Measures one model."""
    session = SessionModel(ali_ccp_shape.export(directory, spec, ali_ccp_shape.ALL_FIELDS))
    requests = {size: ali_ccp_shape.rows(size, fields=ali_ccp_shape.ALL_FIELDS) for size in SIZES}

    def rate(size: int) -> float:
        def ask() -> int:
            session(requests[size])
            return size

        ask()
        return rounds.rate(ask, rounds.SECONDS.value)

    return lambda: {f"infer_sps_{size}": rate(size) for size in SIZES}


def main(argv: list[str]) -> None:
    """Interleaved rounds; medians."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    tf.config.threading.set_intra_op_parallelism_threads(1)  # as a process that only serves has it
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as directory:
        ways = {spec: served(spec, pathlib.Path(directory) / str(i)) for i, spec in enumerate(_MODELS.value)}
        seen = rounds.run(ways, {f"infer_sps_{size}": f"infer_sps_{size}" for size in SIZES})
    rounds.show(seen, "inference, rows/s")


if __name__ == "__main__":
    app.run(main)
