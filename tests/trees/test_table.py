"""The table of a funnel's rows, against plain Python."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import numpy as np
import small_models

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.formats.write import write
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features
from tafe_tf.trees.table import TreeTable, frequent_ids

MOST = 3


def words(path: pathlib.Path) -> dict[str, int]:
    """The ids of a vocabulary's values."""
    lines = path.read_text().splitlines()
    return {word: number for number, word in enumerate(lines, start=2)}


def expected_tags(row: dict[str, Any], ids: dict[str, int], listed: list[int]) -> list[float]:
    """The columns of a row's tags: the share of their weights of each listed one, and how many."""
    tags = row["tags"][:3]
    weights = row["tag_weights"][:3]
    shares = []
    for value in listed:
        own = [weight for tag, weight in zip(tags, weights, strict=True) if ids[tag] == value]
        shares.append(sum(own) / sum(weights))
    return [*shares, float(len(tags))]


def test_columns_of_every_kind(tmp_path: pathlib.Path) -> None:
    schema_file = tmp_path / "schema.toml"
    numbers = '[[features]]\nname = "sizes"\nkind = "quantile"\nmax_length = 2\n'
    exact = '[[features]]\nname = "size"\nkind = "number"\n'
    vectors = '[[features]]\nname = "note"\nkind = "vector"\nlength = 2\n'
    schema_file.write_text(small_models.SHOP + vectors + numbers + exact)
    schema = schema_toml.load(schema_file)
    columns = small_models.rows("shop", 200)
    sizes: list[list[float]] = [[1.5, 4.0, 9.0], [], [2.0], [0.5, 0.25]]
    columns["sizes"] = [sizes[i % 4] for i in range(200)]
    columns["size"] = [None if i % 9 == 0 else i / 4 for i in range(200)]
    columns["note"] = [None if i % 7 == 0 else [i / 8, -3.5] for i in range(200)]
    path = tmp_path / "train.parquet"
    write(path, columns)
    vocabulary.build([str(path)], schema, tmp_path, BadRows())
    features = Features(schema, tmp_path)
    data = FunnelData(files=[str(path)], schema=schema, batch_size=64)

    listed = frequent_ids(features, data.evaluation_batches("all"), MOST)
    table = TreeTable(features, listed)
    rows = table.rows(data.evaluation_batches("all"), group="user")

    tags = words(tmp_path / "vocabulary" / "tags.txt")
    assert listed == {"tags": list(tags.values())[:MOST]}  # the file is in order of frequency
    named = [f"tags.{value}" for value in listed["tags"]]
    assert table.names == [
        *("user", "item", "hour", "price"),
        *named,
        *("tags.count", "note.0", "note.1", "sizes", "sizes.count", "size"),
    ]
    assert [table.names[i] for i in table.categories] == ["user", "item", "hour"]
    users = words(tmp_path / "vocabulary" / "user.txt")
    by_row = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    for row, found in zip(by_row, rows.table, strict=True):
        price = math.nan if row["price"] is None else np.float32(row["price"])
        pooled = [np.mean(row["sizes"][:2]) if row["sizes"] else math.nan, len(row["sizes"][:2])]
        assert found[0] == users[row["user"]] and found[2] == row["hour"] + 2
        assert 2 <= found[1] < 42
        np.testing.assert_allclose(found[3], price)
        np.testing.assert_allclose(found[4:8], expected_tags(row, tags, listed["tags"]), rtol=1e-6)
        np.testing.assert_array_equal(found[8:10], row["note"] or [math.nan, math.nan])
        np.testing.assert_allclose(found[10:12], pooled, rtol=1e-6)
        assert found[12] == row["size"] or (row["size"] is None and math.isnan(found[12]))
    of_tasks = [np.array(columns[name]) for name in ("click", "buy")]
    labels = np.column_stack(of_tasks)
    np.testing.assert_array_equal(rows.labels, labels > 0)
    assert rows.group is not None and rows.group.astype(str).tolist() == columns["user"]
    same_item: dict[Any, float] = {}
    for row, found in zip(by_row, rows.table, strict=True):
        assert same_item.setdefault(row["item"], found[1]) == found[1]
