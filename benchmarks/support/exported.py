"""Exported models in sessions, side by side: what `infer_speed` and `latency` measure."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Mapping

from absl import app, flags, logging

from benchmarks.support import ali_ccp_export, ali_ccp_shape, rounds
from tafe_tf.export.session_model import SessionModel

_MODELS = flags.DEFINE_spaceseplist("models", ["tafe"], "MODEL or MODEL/ARGUMENT=VALUE/...")


def compare(
    argv: list[str],
    measure: Callable[[SessionModel], rounds.Figures],
    peer_keys: Mapping[str, str],
    title: str,
) -> None:
    """Exports the models that --models names, each untrained on Ali-CCP's 23 fields, and measures them in rounds."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as directory:
        ways = {
            spec: _of(SessionModel(_export(spec, pathlib.Path(directory) / str(i))), measure)
            for i, spec in enumerate(_MODELS.value)
        }
        seen = rounds.run(ways, peer_keys)
    rounds.show(seen, title)


def _export(spec: str, directory: pathlib.Path) -> pathlib.Path:
    return ali_ccp_export.export(directory, spec, ali_ccp_shape.ALL_FIELDS)


def _of(session: SessionModel, measure: Callable[[SessionModel], rounds.Figures]) -> rounds.Measure:
    return lambda: measure(session)
