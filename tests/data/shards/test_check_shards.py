"""Shards are compared with the record of the job that wrote them before a run is made of them."""

from __future__ import annotations

import json
import pathlib

import pytest

from tafe_tf.data import manifest
from tafe_tf.data.manifest import ManifestError
from tafe_tf.data.shards.lifecycle import check_shards


def test_shards_hold_what_was_written(tmp_path: pathlib.Path) -> None:
    shards = [tmp_path / name for name in ("train-0.csv", "train-1.csv", "test-0.csv")]
    for shard in shards:
        shard.write_text("click\n1\n")
    paths = [str(shard) for shard in shards]
    check_shards(paths)  # nobody has prepared them
    names = [shard.name for shard in shards]
    record = {"manifest": manifest.entries(tmp_path, names)}
    (tmp_path / "prepared.json").write_text(json.dumps(record))
    check_shards(paths)
    shards[1].write_text("click\n0\n")  # as long as before
    with pytest.raises(ManifestError, match=r"train-1\.csv.*Prepare the shards again"):
        check_shards(paths)
    check_shards([paths[0], paths[2], "elsewhere/train-1.csv"])
    (tmp_path / "prepared.json").write_text("{}")  # of an older version
    check_shards(paths)
