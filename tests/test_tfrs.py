"""TensorFlow Recommenders: its tests run in a process whose `tf.keras` is legacy Keras."""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys

import pytest
from sources import SOURCES
from test_packaging import imports

pytest.importorskip("tf_keras", reason="needs the extra [tfrs]")
CHECKS = pathlib.Path(__file__).with_name("tfrs_process.py")


@pytest.mark.slow
def test_the_checks_pass_with_legacy_keras() -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        str(CHECKS),
        "--quiet",
        "-p",
        "no:cacheprovider",
    ]
    # The same packages as here, installed or of the checkout.
    env = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_legacy_keras_the_import_says_what_to_set() -> None:
    with pytest.raises(ImportError, match="TF_USE_LEGACY_KERAS=1"):
        importlib.import_module("tafe_tf.tfrs")


def test_nothing_else_needs_it() -> None:
    needs = {
        module
        for module in SOURCES
        if any(name.startswith("tensorflow_recommenders") for name in imports(module))
    }
    assert needs == {"tafe_tf.tfrs"}
    assert [module for module in SOURCES if "tafe_tf.tfrs" in imports(module)] == []
