"""One row means one thing, by whatever way it comes."""

from __future__ import annotations

import pathlib
import random
from typing import Any

import every_way
import pytest
from drawn_rows import KINDS, Drawn

from tafe_tf.data.errors import DataError
from tafe_tf.features.graph import Features
from tafe_tf.schema import Dtype, Feature, Schema, Task
from tafe_tf.serving.wire.errors import ServingError


def test_every_way_means_the_same(tmp_path: pathlib.Path) -> None:
    counts = every_way.compare(seed=0, rows=300, directory=tmp_path)
    print(every_way.count_table(counts))
    assert all(cells >= 10_000 for cells, _ in counts.values())
    assert {way: differing for way, (_, differing) in counts.items() if differing} == {}


# Kinds of values that have no meaning as a dtype, and how the error begins to name the mend.
REFUSED: dict[Dtype, list[str]] = {
    "string": [
        *("boolean", "whole float", "float", "fraction decimal"),
        *("moment", "exact moment", "zoned", "clock", "duration"),
    ],
    "int64": ["uuid", "fixed"],
    "float32": ["uuid", "fixed"],
}
# Ways that have a type for every kind; the others write some kinds as numbers or texts.
TYPED = ["Parquet", "pandas Arrow", "Arrow"]
TYPED_KINDS = {
    "TFRecord": ["whole float"],
    "ORC": [kind for kind in REFUSED["string"] if kind not in ("clock", "duration")],
    "Polars": [kind for kind in REFUSED["string"]],
    "pandas": [kind for kind in REFUSED["string"]],
    "pandas nullable": [kind for kind in REFUSED["string"]],
    "lists": [*REFUSED["string"], "uuid"],
    "NumPy": [*REFUSED["string"]],
}


@pytest.mark.parametrize("is_list", [False, True])
@pytest.mark.parametrize(
    ("dtype", "kind"), [(dtype, kind) for dtype, kinds in REFUSED.items() for kind in kinds]
)
def test_every_way_refuses_what_has_no_meaning(
    tmp_path: pathlib.Path, dtype: Dtype, kind: str, is_list: bool
) -> None:
    rng = random.Random(0)
    values: list[Any] = [KINDS[kind](rng) for _ in range(6)]
    if is_list:
        values = [[value] for value in values]
    columns = {
        "store": Drawn(kind, dtype, values, [], is_list),
        "size": Drawn("small", "int64", [1] * 6, [1] * 6, False),
    }
    settings: dict[str, Any] = {"max_length": 2} if is_list else {}
    settings |= {"kind": "log_round"} if dtype == "float32" else {"kind": "hash", "buckets": 9}
    if dtype == "int64":
        settings["dtype"] = "int64"
    schema = Schema(
        name="refused",
        features=(Feature(name="store", **settings),),
        tasks=(Task(name="click"),),
    )
    features = Features(schema, tmp_path)
    message = r"column 'store' is .* in this table and (lists of )?(text|int64|float32) in the sch"
    ways = [*TYPED, *(way for way, kinds in TYPED_KINDS.items() if kind in kinds)]
    if is_list and kind == "fixed":
        ways.remove("pandas Arrow")
    for way in ways:
        source = every_way.FILES_AND_FRAMES[way](columns, tmp_path, random.Random(0))
        with pytest.raises(DataError, match=message):
            every_way.read_ids(source, features)
        if not isinstance(source, str):
            with pytest.raises(ServingError, match=message):
                every_way.client_ids(source, features)
