"""Twelve real-looking files go from a draft to a served answer without an edit."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
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


class Published(NamedTuple):
    """What the server must answer for the first rows of a file."""

    rows: pa.Table
    expected: dict[str, np.ndarray]


class Models(dict[str, Published]):
    """The export of each file's model, by the file's name, made when it is first asked for."""

    def __init__(self, root: pathlib.Path, seconds: dict[str, float]) -> None:
        super().__init__()
        self.root = root
        self._seconds = seconds

    def __missing__(self, name: str) -> Published:
        work = self.root / name
        work.mkdir()
        path = TWELVE[name](work)
        if name in BY_COMMANDS:
            self._seconds[name] = train_by_commands(path, work)
        else:
            train_in_python(path, work)
        finished = tafe_tf.load(work / "run")
        files = find_splits(path)["train"]
        expected = finished.predict(files)
        finished.export(work / "export")
        table = raw.read_rows(files, ROWS, dialect_of(finished.schema)).table
        assert all(len(values) == ROWS for values in expected.values())
        asked = {output: values[:ASKED] for output, values in expected.items()}
        self[name] = Published(table.slice(0, ASKED), asked)
        return self[name]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, seconds: dict[str, float]) -> Models:
    return Models(tmp_path_factory.mktemp("twelve"), seconds)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWELVE)
def test_from_a_draft_to_an_export(name: str, models: Models) -> None:
    assert models[name].rows.num_rows == ASKED


@pytest.mark.slow
def test_a_server_answers_for_each_of_them(models: Models, tmp_path: pathlib.Path) -> None:
    published = {name: models[name] for name in TWELVE}
    config = tmp_path / "models.config"
    entries = []
    for name in TWELVE:
        folder = models.root / name / "export"
        entries.append(
            f'config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" }}'
        )
    config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
    with LocalServer(tmp_path / "log", f"--model_config_file={config}") as server:
        for name, (rows, expected) in published.items():
            with Client(server.grpc, name, timeout=60.0) as client:
                answers = client.predict(rows)
            assert set(answers) == set(expected)
            for output, values in answers.items():
                np.testing.assert_allclose(values, expected[output], rtol=0, atol=2e-6)
