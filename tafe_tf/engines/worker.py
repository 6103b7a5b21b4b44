"""What a worker of a cluster does with a part that is dealt to it.

A worker imports this module before anything else of the package. It needs no TensorFlow, so that
the environment is set before TensorFlow reads it.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import NamedTuple

from tafe_tf.engines.driver import EngineError, Part, Work

# What the launcher's environment says of how to compute; a worker does as it does.
ENVIRONMENT = (
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)


class Errand(NamedTuple):
    """What to do with every part.

    Attributes:
        environment: Environment variables of the launcher, by name.
        work: The pickled function, see `Driver.run`. A worker unpickles it after it has set the
            environment, since that may import TensorFlow.
    """

    environment: Mapping[str, str]
    work: bytes


def errand_of(work: Work) -> Errand:
    """What workers need to know to do parts as this process would.

    Args:
        work: Does a part, see `Driver.run`.
    """
    known = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return Errand(known, pickle.dumps(work))


def attempt(part: bytes, errand: Errand) -> int:
    """Does a part.

    Args:
        part: The pickled part.
        errand: What to do with it.

    Returns:
        The number of its rows.

    Raises:
        EngineError: If it fails; the message is one line and names the part's file.
    """
    os.environ.update(errand.environment)
    work: Work = pickle.loads(errand.work)
    task: Part = pickle.loads(part)
    try:
        return sum(work(task))
    except Exception as error:
        raise EngineError(_line(error, task.path)) from error


def _line(error: Exception, path: str) -> str:
    """An error's message in one line, with the part's file and, if it says nothing, its kind."""
    text = " ".join(str(error).split("\n")).strip()
    if not isinstance(error, OSError | ValueError):
        text = f"{type(error).__name__}: {text}"
    return text if path in text else f"{path}: {text}"
