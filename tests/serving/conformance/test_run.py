"""The checks of `serving.conformance`, on the local server with three tiny funnels."""

from __future__ import annotations

import inspect
import pathlib
import subprocess
import sys
import types
from collections.abc import Iterator

import numpy as np
import pytest
from servers import FUNNELS, LocalServer, answers

from tafe_tf import schema_toml
from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.serving.conformance import grpc_checks, refusal_checks, rest_checks, run
from tafe_tf.serving.conformance.target import Check, Target


@pytest.fixture(params=FUNNELS)
def target(
    request: pytest.FixtureRequest, server: LocalServer, exports: dict[str, pathlib.Path]
) -> Iterator[Target]:
    """One model of the server after the other."""
    path = exports[request.param]
    schema = schema_toml.load(path / "assets.extra" / "schema.toml")
    rows = probe_rows(schema, path / "assets", 100)
    expected = answers(path, rows)
    found = Target(server.grpc, server.rest, request.param, 60.0, (rows, expected))
    yield found
    found.close()


CHECKS = [*grpc_checks.CHECKS, *refusal_checks.CHECKS, *rest_checks.CHECKS]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conforms(target: Target, check: Check) -> None:
    check(target)


@pytest.mark.parametrize("module", [grpc_checks, refusal_checks, rest_checks])
def test_no_check_is_forgotten(module: types.ModuleType) -> None:
    found = set()
    for function in vars(module).values():
        is_public = inspect.isfunction(function) and not function.__name__.startswith("_")
        if is_public and list(inspect.signature(function).parameters) == ["target"]:
            found.add(function)
    assert set(module.CHECKS) == found and len(module.CHECKS) == len(found)


def test_checks_are_named_by_what_they_say() -> None:
    names = list(run.named_checks(rest=True, damaged=7))
    assert "answers probabilities" in names and "rest answers as grpc" in names
    assert names[-1] == "survives 7 damaged requests"
    assert len(names) == len(CHECKS) + 1
    without_rest = run.named_checks(rest=False, damaged=7)
    assert len(without_rest) == len(names) - len(rest_checks.CHECKS)


def test_100_megabytes_of_rows(server: LocalServer) -> None:
    target = Target(server.grpc, server.rest, "numbers", 60.0, None)
    many = np.zeros(6_500_000, np.int64)
    request = target.request({"user": many, "item": many})
    target.refuses("INVALID_ARGUMENT", "has 6500000 rows; send at most 65536 a request", request)
    target.lives()


@pytest.mark.slow
def test_the_conformance_command(
    server: LocalServer, exports: dict[str, pathlib.Path], other_numbers: pathlib.Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "tafe_tf.serving.conformance",
        f"--target={server.grpc}",
        f"--rest={server.rest}",
    ]
    options = ["--model_name=numbers", f"--export={exports['numbers']}", "--fuzz=50"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert f"{len(CHECKS) + 1} passed, 0 failed" in done.stdout
    wrong = [*command, "--model_name=numbers", f"--export={other_numbers}", "--fuzz=0"]
    done = subprocess.run(wrong, capture_output=True, text=True)
    assert done.returncode == 1
    assert "FAILED answers what the export does: output " in done.stdout
