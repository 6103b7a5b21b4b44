"""Shared by the tests of exports."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import small_models

from tafe_tf.export.session_model import SessionModel
from tafe_tf.training.run_dir import RunDir


@pytest.fixture(params=sorted(small_models.SCHEMAS))
def served(
    request: pytest.FixtureRequest, exports: dict[str, pathlib.Path]
) -> Iterator[tuple[RunDir, SessionModel]]:
    """Each shared export in a session, with the run that it was made from."""
    path = exports[request.param]
    model = SessionModel(path)
    yield small_models.run_of(path), model
    model.close()
