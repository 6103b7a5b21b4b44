"""The raw Ali-CCP reader against a twin that parses line by line, on invented rows and a sample."""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from ali_ccp_files import ROOT, SINGLE, content, invented, sample, small, twin, written

from tafe_tf import schema_toml
from tafe_tf.data.bad_rows import BadRows
from tafe_tf.data.batches.dataset import FunnelData
from tafe_tf.data.batches.position import Position
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import read_blocks
from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.public.ali_ccp.fields import protocol
from tafe_tf.data.public.ali_ccp.prepare import prepare
from tafe_tf.data.public.ali_ccp.shards import uniform
from tafe_tf.features import vocabulary
from tafe_tf.features.graph import Features


@pytest.mark.parametrize("name", ["aitm18", "full23"])
@pytest.mark.parametrize("make", [invented, sample])
def test_the_join_is_the_twins(
    tmp_path: pathlib.Path, make: Callable[..., pathlib.Path], name: str
) -> None:
    raw, out = make(tmp_path / "raw"), tmp_path / "out"
    seen: list[int] = []
    prepared = prepare(raw, out, small(protocol=name, max_values=6), seen.append)
    unknown = 0
    for split in ("train", "test"):
        rows, counts = twin(raw, split, name, 6)
        kept = [row for row in rows if row is not None]
        assert written(out, split) == kept
        dropped = len(rows) - len(kept)
        expected = {
            "read": len(rows),
            "written": len(kept),
            "dropped": dropped,
            "several_values": counts["several"],
        }
        assert prepared["rows"][split] == expected
        assert make is sample or (dropped and counts["several"] and len(find_files(out, split)) > 2)
        unknown += counts["unknown"]
    assert prepared["features_of_unknown_fields"] == unknown
    assert json.loads((out / "prepared.json").read_text()) == prepared
    assert (prepared["dataset"], prepared["protocol"], prepared["row_split"]) == (
        "ali_ccp",
        name,
        "official",
    )
    sizes = {path.name: path.stat().st_size for path in raw.iterdir()}
    assert prepared["sources"] == sizes and len(sizes) == 4
    assert sum(seen) == sum(prepared["common_rows"].values()) + sum(
        r["read"] for r in prepared["rows"].values()
    )
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", ["aitm18", "full23"])
def test_the_random_split(tmp_path: pathlib.Path, name: str) -> None:
    raw = invented(tmp_path / "raw", 300)
    for path in raw.glob("*_test.csv"):
        path.unlink()  # not read
    prepared = prepare(raw, tmp_path / "out", small(protocol=name, row_split="random", seed=3))
    rows, _ = twin(raw, "train", name, 50)
    is_test = uniform(np.arange(1, 301), 3) < 0.1
    for split, mask in (("train", ~is_test), ("test", is_test)):
        picked = [row for row, wanted in zip(rows, mask, strict=True) if wanted]
        kept = [row for row in picked if row is not None]
        assert written(tmp_path / "out", split) == kept
        counts = prepared["rows"][split]
        assert (counts["read"], counts["written"]) == (len(picked), len(kept))
    assert 0 < is_test.sum() < 100
    other = prepare(raw, tmp_path / "other", small(protocol=name, row_split="random", seed=4))
    assert other["rows"] != prepared["rows"]


def test_the_hash_of_a_place() -> None:
    numbers = np.arange(1, 200_001)
    first, second = uniform(numbers, 0), uniform(numbers, 1)
    assert first.min() >= 0 and first.max() < 1
    assert abs((first < 0.1).mean() - 0.1) < 0.002
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.01


def test_gz_gives_the_same_bytes(tmp_path: pathlib.Path) -> None:
    raw = invented(tmp_path / "raw")
    prepare(raw, tmp_path / "plain", small())
    for path in list(raw.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    prepare(raw, tmp_path / "gz", small())
    plain, packed = content(tmp_path / "plain"), content(tmp_path / "gz")
    assert plain.pop("prepared.json") != packed.pop("prepared.json")  # the sizes
    assert plain == packed
    whole = (raw / "sample_skeleton_test.csv.gz").read_bytes()
    (raw / "sample_skeleton_test.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"sample_skeleton_test.csv.gz: cannot be read: "):
        prepare(raw, tmp_path / "cut", small())


@pytest.mark.parametrize("name", ["aitm18", "full23"])
def test_tfrecord_holds_the_same_rows_and_training_reads_them(
    tmp_path: pathlib.Path, name: str
) -> None:
    raw, blocks = invented(tmp_path / "raw"), {}
    for extension in ("parquet", "tfrecord"):
        out = tmp_path / extension
        prepared = prepare(raw, out, small(protocol=name, format=extension, max_values=6))
        schema, files = schema_toml.load(out / "schema.toml"), find_files(out, "train")
        assert schema == protocol(name, 6).schema()
        read = list(read_blocks(files, schema, bad_rows=BadRows()))
        names = [column.name for column in schema.columns]
        blocks[extension] = [
            {n: block.columns[n].tolist() for n in names} | {"y": block.labels.tolist()}
            for block in read
        ]
    assert blocks["parquet"] == blocks["tfrecord"]
    statistics = vocabulary.build(files, schema, out, BadRows())
    assert statistics["rows"] == prepared["rows"]["train"]["written"]
    data = FunnelData(files=files, schema=schema, batch_size=16)
    features, rows = Features(schema, out), 0
    for batch in data.training_batches(Position()):
        inputs = features({key: tf.constant(values) for key, values in batch.inputs.items()})
        assert inputs["ids"].shape == (16, 18 if name == "aitm18" else 14 + 5 * 6 + 4 * 5)
        rows += 16
    assert rows == prepared["rows"]["train"]["written"] // 16 * 16


@pytest.mark.parametrize("name", ["aitm18", "full23"])
def test_the_schemas_of_the_repository_are_those_written(name: str) -> None:
    shipped = schema_toml.load(ROOT / f"flagfiles/schemas/ali_ccp_{name}.toml")
    assert shipped == protocol(name).schema()
    singles = [feature.name for feature in shipped.features if not feature.max_length]
    assert singles == [f"f{field}" for field in SINGLE[name]]
    assert {feature.min_count for feature in shipped.features} == {11}
