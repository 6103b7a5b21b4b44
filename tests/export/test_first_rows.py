"""The table of the first rows' scores."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import small_models

from tafe_tf.data.formats.write import write
from tafe_tf.export.first_rows import score_first_rows
from tafe_tf.export.session_model import SessionModel


def test_the_table_shows_scores_and_the_last_step_reached(
    exports: dict[str, pathlib.Path],
) -> None:
    path = exports["numbers"]
    file = path.parents[1] / "data" / "test.parquet"
    table = score_first_rows(path.parent, file, rows=20)
    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert list(columns) == ["row", "ctr", "ctcvr", "cvr", "reached"] and table.row_count == 20
    raw = small_models.rows("numbers", 600, seed=1)
    model = SessionModel(path)
    scores = model({name: np.array(raw[name][:20]) for name in ("user", "item")})
    model.close()
    for name, values in scores.items():
        assert columns[name] == [f"{value:.4f}" for value in values]
    reached = {(0, 0): "", (1, 0): "click", (1, 1): "buy"}
    labels = zip(raw["click"][:20], raw["buy"][:20], strict=True)
    assert columns["reached"] == [reached[pair] for pair in labels]  # type: ignore[index]


@pytest.mark.parametrize("extension", ["csv", "parquet", "tfrecord"])
def test_rows_need_no_labels(
    exports: dict[str, pathlib.Path],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    extension: str,
) -> None:
    raw = small_models.rows("numbers", 20)
    with_labels, without = (tmp_path / f"{name}.{extension}" for name in ("with", "without"))
    write(with_labels, raw)
    write(without, {name: raw[name] for name in ("user", "item")})
    path = exports["numbers"].parent
    expected = score_first_rows(path, with_labels)
    table = score_first_rows(path, without)
    said = capsys.readouterr().out
    assert said.startswith(f"only the inputs are read: {without}: column 'click' is missing")
    headers = [str(column.header) for column in table.columns]
    assert headers == ["row", "ctr", "ctcvr", "cvr"]
    for found, wanted in zip(table.columns, expected.columns, strict=False):
        assert list(found.cells) == list(wanted.cells)
