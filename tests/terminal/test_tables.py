"""What the title of the metrics says."""

from __future__ import annotations

from typing import Any

import pytest

from tafe_tf.schema import Feature, Schema, Task
from tafe_tf.terminal.tables import metrics_table

HOUR = Feature(name="hour", kind="integer", size=24)
VIOLATIONS = ", 2.00% with a later step above an earlier one"
WITHOUT = ", 1,234 without a user, which grouped AUC leaves out"


@pytest.mark.parametrize(
    ("steps", "counted", "title"),
    [
        (2, {}, f"test: 5,000 rows{VIOLATIONS}"),
        (2, {"rows_without_group": 0}, f"test: 5,000 rows{VIOLATIONS}"),
        (2, {"rows_without_group": 1234}, f"test: 5,000 rows{VIOLATIONS}{WITHOUT}"),
        (1, {}, "test: 5,000 rows"),
        (1, {"rows_without_group": 1234}, f"test: 5,000 rows{WITHOUT}"),
    ],
)
def test_the_title_counts_what_is_there_to_count(
    steps: int, counted: dict[str, Any], title: str
) -> None:
    tasks = (Task(name="click"), Task(name="buy"))[:steps]
    schema = Schema(name="shop", features=(HOUR,), tasks=tasks, group="user")
    metrics = {"rows": 5000, "violation_rate": 0.02, "auc/ctr": 0.7, **counted}
    table = metrics_table(metrics, schema, "test")
    assert table.title == title
    assert table.row_count == 2 * steps - 1
