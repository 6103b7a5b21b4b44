"""Exported models in sessions, side by side; `infer_speed` and `latency` measure them."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from collections.abc import Callable, Mapping

from absl import flags, logging

from benchmarks.support import ali_ccp_export, ali_ccp_shape, rounds
from tafe_tf.export.session_model import SessionModel
from tafe_tf.terminal import command

_MODELS = flags.DEFINE_spaceseplist(
    "models",
    ["tafe"],
    "The models to measure, separated by spaces: MODEL, or MODEL/ARGUMENT=VALUE/... with arguments "
    "of its constructor.",
)


def compare(
    argv: list[str],
    measure: Callable[[SessionModel], rounds.Figures],
    peer_keys: Mapping[str, str],
    title: str,
) -> None:
    """Exports the models of --models on Ali-CCP's 23 fields, and measures them in rounds.

    Args:
        argv: The command's arguments.
        measure: Measures the figures of one model.
        peer_keys: What the peer calls each of our figures, as in `rounds.run`.
        title: What is measured, with its unit.
    """
    command.only_flags(argv)
    logging.set_verbosity(logging.WARNING)
    ways = {}
    with tempfile.TemporaryDirectory() as root:
        for i, spec in enumerate(_MODELS.value):
            directory = pathlib.Path(root) / str(i)
            version = ali_ccp_export.export(directory, spec, ali_ccp_shape.ALL_FIELDS)
            ways[spec] = functools.partial(measure, SessionModel(version))
        seen = rounds.run(ways, peer_keys)
    rounds.show(seen, title)
