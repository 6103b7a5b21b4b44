"""TAFE and its kin: multi-task recommenders for funnels in which each step follows the one before.

    import tafe_tf

    run = tafe_tf.fit("schema.toml", train=frame, test=later_frame, run_dir="runs/shop", epochs=3)
    run.metrics["auc/ctr"]
    run.predict(frame)["ctcvr"]
    run.export("models/shop")

    tafe_tf.load("runs/shop")  # the same run, another day

Importing the package takes a millisecond; TensorFlow is loaded when `fit` or `load` is first used.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tafe_tf.api import fit
    from tafe_tf.schema import Schema
    from tafe_tf.training.run import Run, load

if sys.argv[:1] == ["-m"]:  # while `python -m` looks for one of our commands
    _quiet_start = importlib.import_module("tafe_tf.terminal.quiet_start")
    _quiet_start.quieten()
    _quiet_start.leave_out_optional_packages()
    _quiet_start.put_off_garbage_collection()
os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "2"
)  # TensorFlow's notes on the machine; 0 shows them

__version__ = "0.1.0"
__all__ = ["Run", "Schema", "fit", "load"]

_MODULES = {
    "fit": "tafe_tf.api",
    "load": "tafe_tf.training.run",
    "Run": "tafe_tf.training.run",
    "Schema": "tafe_tf.schema",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
