"""Models in a session: errors, one row against many, and what is logged."""

from __future__ import annotations

import logging
import pathlib

import numpy as np
import pytest
import small_models
import tensorflow as tf

from tafe_tf.export.probe_rows import probe_rows
from tafe_tf.export.session_model import SessionModel


def test_loading_is_quiet_and_leaves_the_logger_alone(
    exports: dict[str, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = tf.get_logger()
    level = logger.level
    noted: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", noted.append)
    logger.addHandler(handler)
    try:
        SessionModel(exports["numbers"]).close()
        assert noted == []
        logger.warning("still heard")
        assert [record.getMessage() for record in noted] == ["still heard"]
    finally:
        logger.removeHandler(handler)
    assert logger.level == level


def test_one_row_is_answered_as_among_others(exports: dict[str, pathlib.Path]) -> None:
    path = exports["shop"]
    schema = small_models.run_of(path).schema()
    rows = probe_rows(schema, path / "assets", 5)
    model = SessionModel(path)
    together = model(rows)
    for i in range(5):
        alone = model({name: values[i : i + 1] for name, values in rows.items()})
        for name, values in alone.items():
            np.testing.assert_allclose(values, together[name][i : i + 1], rtol=0, atol=1e-6)
    model.close()


def test_what_cannot_be_asked_is_an_error(exports: dict[str, pathlib.Path]) -> None:
    model = SessionModel(exports["numbers"])
    with pytest.raises(KeyError, match="nothing"):
        model({"user": [1], "item": [2]}, "nothing")
    with pytest.raises(KeyError, match="item"):
        model({"user": [1]})
    with pytest.raises(tf.errors.InvalidArgumentError):
        model.run("ctr", {"user": np.array([[1]]), "item": np.array([2])}, ["ctr"])
    model.close()


def test_no_model_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match="SavedModel file does not exist"):
        SessionModel(tmp_path)
