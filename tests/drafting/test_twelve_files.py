"""Twelve real-looking files go from a draft to a served answer without an edit."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator

import numpy as np
import pytest
from servers import LocalServer
from twelve_files import LABELS, ROWS, TWELVE

import tafe_tf
from tafe_tf import schema_toml
from tafe_tf.data.formats.splits import find_splits
from tafe_tf.drafting.draft import draft
from tafe_tf.first_look import raw
from tafe_tf.first_look.dialect import dialect_of
from tafe_tf.first_look.look import look
from tafe_tf.first_look.start import start_problems
from tafe_tf.serving.client import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
ASKED = 50  # rows that the server is asked


@pytest.mark.parametrize("name", TWELVE)
def test_a_draft_finds_the_labels_and_has_no_problems(name: str, tmp_path: pathlib.Path) -> None:
    path = TWELVE[name](tmp_path)
    text = draft(path)
    schema = schema_toml.parse(tomllib.loads(text))
    assert schema.labels == LABELS[name]
    assert "cannot be read" not in text
    schema_file = tmp_path / "draft.toml"
    schema_file.write_text(text, encoding="utf-8")
    found = look(path, str(schema_file))
    assert found.rows == {"train": ROWS}
    assert found.problems == () and found.bad == {"train": 0} and found.leaks == ()
    assert not found.stops("raise")
    assert start_problems(str(path), str(schema_file)) == []
    assert [step.label for step in found.steps] == list(schema.labels)
    assert all(0.0 < step.rate < 0.6 and step.unknown == 0.0 for step in found.steps)


@pytest.fixture(scope="module")
def seconds() -> Iterator[dict[str, float]]:
    """Seconds from the first command to the first metrics, by file; printed at the end."""
    found: dict[str, float] = {}
    yield found
    for name, duration in found.items():
        print(f"{name}: the first metrics after {duration:.1f} s")


def run(*command: str, until: str = "") -> tuple[str, float]:
    """Runs a command, and returns what it printed and when it printed a line with a text."""
    start = time.monotonic()
    seen = 0.0
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            lines.append(line)
            if until in line and not seen:
                seen = time.monotonic() - start
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    return "".join(lines), seen


def train_by_commands(path: pathlib.Path, work: pathlib.Path) -> float:
    """Drafts and trains in two commands; returns the seconds until the first metrics."""
    schema_file = work / "draft.toml"
    begin = time.monotonic()
    text, _ = run("tafe_tf.draft", str(path))
    schema_file.write_text(text, encoding="utf-8")
    drafted = time.monotonic() - begin
    _, trained = run(
        "tafe_tf.train",
        f"--data_dir={path}",
        f"--schema={schema_file}",
        f"--run_dir={work / 'run'}",
        "--epochs=1",
        until="epoch 1:",
    )
    return drafted + trained


def train_in_python(path: pathlib.Path, work: pathlib.Path) -> None:
    """The same with the functions, and with a model that is sooner built."""
    schema_file = work / "draft.toml"
    schema_file.write_text(draft(path), encoding="utf-8")
    tafe_tf.fit(
        schema_file,
        train=find_splits(path)["train"],
        model="shared_bottom",
        run_dir=work / "run",
        epochs=1,
        verbose=False,
    )


# Of this one both commands run as a user would give them; the others differ in reading alone.
BY_COMMANDS = ("pandas",)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWELVE)
def test_from_a_draft_to_a_served_answer(
    name: str, tmp_path: pathlib.Path, seconds: dict[str, float]
) -> None:
    path = TWELVE[name](tmp_path)
    if name in BY_COMMANDS:
        seconds[name] = train_by_commands(path, tmp_path)
    else:
        train_in_python(path, tmp_path)
    finished = tafe_tf.load(tmp_path / "run")
    files = find_splits(path)["train"]
    expected = finished.predict(files)
    export = finished.export(tmp_path / "models" / "small")
    table = raw.read_rows(files, ROWS, dialect_of(finished.schema)).table
    rows = table.slice(0, ASKED)
    flags = ("--model_name=small", f"--model_base_path={export.parent}")
    with (
        LocalServer(tmp_path / "log", *flags) as server,
        Client(server.grpc, "small", timeout=60.0) as client,
    ):
        answers = client.predict(rows)
    assert set(answers) == set(expected)
    for output, values in answers.items():
        assert len(expected[output]) == ROWS
        np.testing.assert_allclose(values, expected[output][:ASKED], rtol=0, atol=2e-6)
