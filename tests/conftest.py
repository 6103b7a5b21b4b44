"""Shared by all tests."""

from __future__ import annotations

import gc
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tafe_tf.native.library import Library
    from tafe_tf.serving.batch.job import Job

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_collection_finish() -> None:
    """Keeps Python's garbage collector from looking through all that imports made, over and over.

    It took a sixth of the time of the tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class Exports(dict[str, pathlib.Path]):
    """Version 1 of every tiny funnel by its name, made when it is first asked for."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__()
        self._root = root

    def __missing__(self, name: str) -> pathlib.Path:
        import small_models  # TensorFlow takes seconds, and most tests need none

        from tafe_tf.export.publish import ExportConfig, publish

        run = small_models.make_run(self._root / name, name)
        self[name] = publish(run, self._root / name / "export", ExportConfig(version=1))
        return self[name]


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """The tiny funnels' exports; `small_models.run_of` gives the run that one was made from."""
    return Exports(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="session")
def old_export(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An export of "numbers" without the signatures `fields` and `describe`, as they once were."""
    import small_models

    from tafe_tf.export.publish import ExportConfig, publish
    from tafe_tf.export.signatures import Signatures

    root = tmp_path_factory.mktemp("old")
    run = small_models.make_run(root, "numbers")
    functions = Signatures.functions

    def without(signatures: Signatures) -> dict[str, Any]:
        known = functions(signatures)
        return {name: known[name] for name in known if name not in ("fields", "describe")}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Signatures, "functions", without)
        return publish(run, root / "export", ExportConfig(version=1))


@pytest.fixture
def loans(exports: dict[str, pathlib.Path], tmp_path: pathlib.Path) -> Job:
    """A batch-scoring job of three shards and one more: 250 rows of CSV, with keys."""
    from scoring_jobs import loans_job

    return loans_job(exports, tmp_path)


@pytest.fixture(scope="session")
def kernel() -> Iterator[Library]:
    """The kernel beside the package, or one made for these tests: a process can hold only one."""
    from tafe_tf.native import library

    there = library.load()
    if there is not None:
        yield there
        return
    try:
        with library.built() as made:
            yield made
    except library.BuildError as error:
        pytest.skip(str(error))
