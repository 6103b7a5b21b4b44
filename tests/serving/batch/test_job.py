"""What a batch-scoring job must be."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest
import small_models

from tafe_tf.data.formats.write import write
from tafe_tf.serving.batch.job import Job, find_inputs
from tafe_tf.serving.batch.settings import JobError


def test_what_a_job_must_be(
    loans: Job, exports: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    def wrong(rule: str, task: Job = loans, **settings: Any) -> None:
        with pytest.raises(JobError, match=rule):
            dataclasses.replace(task, **settings)

    wrong("key 'row' is reserved: the output has row, p_view, p_apply", keys=("row",))
    wrong("key 'p_view' is reserved", keys=("p_view",))
    wrong("key 'id' must be given once", keys=("id", "id"))
    wrong("batch_size must be 1 or more. Received: 0", batch_size=0)
    wrong(
        "rows_per_shard must be a multiple of 65536, or 1 to that. Received: 100000",
        rows_per_shard=100000,
    )
    wrong("rows_per_shard must be .* Received: 0", rows_per_shard=0)
    wrong("on_bad_row must be 'raise' or 'drop'. Received: 'skip'", on_bad_row="skip")
    wrong("native must be 'auto', 'on' or 'off'. Received: 'yes'", native="yes")
    for signature in ("examples", "nothing", "__saved_model_init_op"):
        wrong(
            f"signature '{signature}' scores no rows of columns; these do: .*serving_default",
            signature=signature,
        )
    inputs = tmp_path / "in"
    wrong("the output must not lie among the input files", output=str(inputs))
    write(inputs / "a.csv.gz", small_models.rows("loans", 2))
    wrong(
        "a.csv and .*a.csv.gz would be scored into one file",
        inputs=find_inputs([str(inputs / "*")]),
    )
    write(inputs / "b.parquet", small_models.rows("loans", 2))
    both = find_inputs([str(inputs / "a.csv"), str(inputs / "b.parquet")])
    wrong("must be of one format. Received: .csv, .parquet", inputs=both)
    wrong("key 'tags' holds lists", model=str(exports["shop"]), keys=("tags",))
    for signature in ("rank", "examples"):
        wrong(
            f"'{signature}' scores no rows",
            model=str(exports["numbers"]),
            keys=(),
            signature=signature,
        )
