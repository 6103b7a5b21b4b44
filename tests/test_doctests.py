"""The examples in docstrings run and print what they say; what users build with has examples."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pathlib
import subprocess
import sys
from types import ModuleType

import pytest
from sources import SOURCES

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ON_ENGINES = {"tafe_tf.serving.batch.spark"}  # tests/engines gives its example a Spark session
WITH_EXAMPLES = [
    name
    for name, path in SOURCES.items()
    if ">>> " in path.read_text(encoding="utf-8") and name not in ON_ENGINES
]
# Environment variables that must be set before Keras is imported, so in a process of its own.
ENVIRONMENTS = {
    "tafe_tf.jax_training": {"KERAS_BACKEND": "jax"},
    "tafe_tf.tfrs": {"TF_USE_LEGACY_KERAS": "1"},
}
COMPLETE = ["tafe_tf.layers", "tafe_tf.models", "tafe_tf.losses", "tafe_tf.metrics"]


def run_examples(name: str) -> None:
    """Runs a module's examples in this process.

    Raises:
        AssertionError: if one prints something else; its text is doctest's report.
    """
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
        runner.run(test, out=report.append)
    assert runner.tries > 0, f"{name} has examples that doctest does not find"
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # for examples that write files
    if name not in ENVIRONMENTS:
        run_examples(name)
        return
    done = subprocess.run(
        [sys.executable, __file__, name],
        env={**os.environ, **ENVIRONMENTS[name], "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def without_example(package: ModuleType) -> list[str]:
    """The classes and functions that a package offers and whose docstrings hold no example."""
    missing = []
    for name in package.__all__:
        value = getattr(package, name)
        is_code = inspect.isclass(value) or inspect.isfunction(value)
        if is_code and ">>> " not in (value.__doc__ or ""):
            missing.append(f"{package.__name__}.{name}")
    return missing


@pytest.mark.parametrize("name", COMPLETE)
def test_every_layer_model_loss_and_metric_has_an_example(name: str) -> None:
    assert without_example(importlib.import_module(name)) == []


if __name__ == "__main__":
    run_examples(sys.argv[1])
