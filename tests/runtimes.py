"""Does an export answer alike in other releases of TensorFlow? Prints a table.

    python tests/runtimes.py                      # or `make runtimes`: all of `RELEASES`
    python tests/runtimes.py --releases=2.15.1

Each release gets an environment of its own, with nothing but tensorflow-cpu in it (0.5 to 1 GB, in
--environments). In it `replay.py` asks every export its own warm-up requests again. The exit code
is 1 if a release does not load an export, or answers otherwise by more than the export's own gate
allows.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import Any

import small_models
import tensorflow as tf
from absl import app, flags
from replay import to_text

from tafe_tf.export import warmup
from tafe_tf.export.gate import TOLERANCE
from tafe_tf.export.publish import ExportConfig, publish
from tafe_tf.export.session_model import SessionModel

HERE = pathlib.Path(__file__).parent
RELEASES = ("2.15.1", "2.16.2", "2.17.1", "2.18.1", "2.19.1", "2.20.0", "2.21.0")
EXPORTS = {  # funnel and settings, by the name in the table
    "shop": ("shop", ExportConfig(version=1)),
    "loans": ("loans", ExportConfig(version=1)),
    "numbers": ("numbers", ExportConfig(version=1)),
    "shop, int8, platt": (
        "shop",
        ExportConfig(version=1, embedding_storage="int8", calibration="platt"),
    ),
    "shop, float16, isotonic": (
        "shop",
        ExportConfig(version=1, embedding_storage="float16", calibration="isotonic"),
    ),
}

_RELEASES = flags.DEFINE_list("releases", list(RELEASES), "Releases of tensorflow-cpu to ask.")
_ENVIRONMENTS = flags.DEFINE_string(
    "environments",
    str(pathlib.Path(tempfile.gettempdir()) / "tafe_tf_runtimes"),
    "Directory of the environments. One that is there already is used again.",
)


def questions(export: pathlib.Path) -> dict[str, Any]:
    """The warm-up requests of an export with its answers here, as `replay.replay` takes them."""
    asked = []
    served = SessionModel(export)
    for request in warmup.read(export):
        signature = request.model_spec.signature_name
        feeds = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        names = sorted(served.signatures[signature].outputs)
        answers = served.run(signature, feeds, names)
        outputs = zip(names, answers, strict=True)
        asked.append(
            {
                "signature": signature,
                "inputs": {name: to_text(array) for name, array in feeds.items()},
                "outputs": {name: to_text(array) for name, array in outputs},
            }
        )
    served.close()
    return {"export": str(export), "questions": asked}


def python_with(release: str) -> pathlib.Path:
    """The Python of an environment that has this release of tensorflow-cpu."""
    directory = pathlib.Path(_ENVIRONMENTS.value) / release
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", f"tensorflow-cpu=={release}"]
        subprocess.run(pip, check=True)
    return python


def ask(python: pathlib.Path, files: Iterable[pathlib.Path]) -> list[dict[str, Any]]:
    """What `replay.py` found with another Python, for each file of questions.

    Raises:
        RuntimeError: If it does not come that far, as where TensorFlow cannot be imported.
    """
    done = subprocess.run(
        [python, HERE / "replay.py", *files],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    if done.returncode:
        raise RuntimeError(f"{python}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main(argv: list[str]) -> None:
    """Makes the exports, asks every release, and prints a row for each pair of them."""
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        files = {}
        for number, (name, (funnel, config)) in enumerate(EXPORTS.items()):
            place = pathlib.Path(directory) / str(number)
            # With this seed the untrained weights give logits that rise with the labels, without
            # which nothing can be calibrated.
            run = small_models.make_run(place, funnel, seed=9)
            export = publish(run, place / "export", config)
            files[name] = place / "questions.json"
            files[name].write_text(json.dumps(questions(export)), encoding="utf-8")
        print("\n| tensorflow-cpu | NumPy | Python | export | requests | largest difference |")
        print("|---|---|---|---|---|---|")
        for release in _RELEASES.value:
            answers = ask(python_with(release), files.values())
            for name, found in zip(files, answers, strict=True):
                failed = failed or not found.get("difference", 1.0) <= TOLERANCE
                print(_row(name, found), flush=True)
    sys.exit(int(failed))


def _row(export: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    versions = f"| {found['tensorflow']} | {found['numpy']} | {found['python']} "
    if "error" in found:
        return f"{versions}| {export} | {found['questions']} | failed: {found['error']} |"
    return f"{versions}| {export} | {found['questions']} | {found['difference']:.1e} |"


if __name__ == "__main__":
    app.run(main)
