"""Raw Ali-CCP files, invented and published, and a reader that parses them line by line."""

from __future__ import annotations

import collections
import pathlib
import shutil
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from samples import sample_folder

from tafe_tf.data.formats.splits import find_files
from tafe_tf.data.public.ali_ccp.fields import FIELDS
from tafe_tf.data.public.ali_ccp.prepare import Settings

ROOT = pathlib.Path(__file__).resolve().parents[1]
LISTS = ("109_14", "110_14", "127_14", "150_14", "210", "508", "509", "702", "853")
_SINGLE = (
    "101",
    "121",
    "122",
    "124",
    "125",
    "126",
    "127",
    "128",
    "129",
    "205",
    "206",
    "207",
    "216",
)
SINGLE = {"aitm18": (*_SINGLE, "508", "509", "702", "853", "301"), "full23": (*_SINGLE, "301")}
Row = dict[str, Any]


def small(**settings: Any) -> Settings:
    """Several blocks and shards from small files."""
    return Settings(block_bytes=2000, shard_blocks=2, **settings)


def feature_list(rng: np.random.Generator, fields: tuple[str, ...], most: int) -> str:
    """Up to `most` features, with several of one field, equal weights and a field that is none."""
    picked = rng.choice([*fields, "999"], rng.integers(0, most + 1))
    values = rng.choice(["1.0", "0.69315", "2.5", "-1", "1e-3"], len(picked))
    features = [f"{f}\x02{rng.integers(1, 50)}\x03{v}" for f, v in zip(picked, values, strict=True)]
    return f"{len(features)},{chr(1).join(features)}"


def invented(directory: pathlib.Path, rows: int = 150, seed: int = 0) -> pathlib.Path:
    """Raw files of 12 users each; a few rows have a conversion and no click."""
    directory.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        rng = np.random.default_rng([seed, split == "test"])
        keys = [f"{key:016x}" for key in rng.integers(0, 2**64, 12, np.uint64).tolist()]
        lines = [f"{key},{feature_list(rng, FIELDS, 60)}\n" for key in keys]
        (directory / f"common_features_{split}.csv").write_text("".join(lines))
        labels = rng.choice(["0,0", "1,0", "1,1", "0,1"], rows, p=[0.6, 0.2, 0.1, 0.1])
        ends = [feature_list(rng, FIELDS, 12) for _ in range(rows)]
        lines = [
            f"{i + 1},{label},{rng.choice(keys)},{end}\n"
            for i, (label, end) in enumerate(zip(labels, ends, strict=True))
        ]
        (directory / f"sample_skeleton_{split}.csv").write_text("".join(lines))
    return directory


def sample(directory: pathlib.Path) -> pathlib.Path:
    """The published rows, the common rows' keys renamed to those of the skeleton."""
    source = sample_folder("ali_ccp") / "raw"
    directory.mkdir(exist_ok=True)
    common = (source / "common_features_train.csv").read_text()
    names = {
        "train": ("bacff91692951881", "0" * 16),
        "test": ("23bd0f75de327c60", "543b0cd53c7d5858"),
    }
    for split, (first, second) in names.items():
        text = common.replace("84dceed2e3a667f8", first).replace("0000350f0c2121e7", second)
        (directory / f"common_features_{split}.csv").write_text(text)
        shutil.copyfile(
            source / f"sample_skeleton_{split}.csv", directory / f"sample_skeleton_{split}.csv"
        )
    return directory


def parsed(text: str) -> list[tuple[str, int, np.float32]]:
    parts = [
        feature.replace("\x03", "\x02").split("\x02") for feature in text.split("\x01") if feature
    ]
    return [(field, int(number), np.float32(value)) for field, number, value in parts]


def lines_of(path: pathlib.Path) -> list[str]:
    return path.read_bytes().decode(errors="backslashreplace").splitlines()


def twin(
    raw: pathlib.Path, split: str, name: str, max_values: int
) -> tuple[list[Row], collections.Counter[str]]:
    """All rows of a skeleton file, one by one; None for those that are dropped."""
    lines = (raw / f"common_features_{split}.csv").read_text().splitlines()
    common = {key: parsed(text) for key, _, text in (line.split(",") for line in lines)}
    rows: list[Any] = []
    counts: collections.Counter[str] = collections.Counter()
    for line in lines_of(raw / f"sample_skeleton_{split}.csv"):
        _, click, conversion, key, _, text = line.split(",")
        counts["unknown"] += sum(field not in FIELDS for field, _, _ in parsed(text))
        if click < conversion:
            rows.append(None)
            continue
        fields: dict[str, list[tuple[int, np.float32]]] = {field: [] for field in FIELDS}
        for field, number, value in parsed(text) + common[key]:
            fields.get(field, []).append((number, value))
        row: Row = {"click": int(click), "conversion": int(conversion)}
        row |= {f"f{field}": fields[field][0][0] if fields[field] else -1 for field in SINGLE[name]}
        counts["several"] += any(len(fields[field]) > 1 for field in SINGLE[name])
        for field in LISTS if name == "full23" else ():
            limit = max_values if len(field) > 3 or field == "210" else min(5, max_values)
            places = sorted(range(len(fields[field])), key=lambda i: -fields[field][i][1])[:limit]
            row[f"f{field}"], row[f"f{field}_weights"] = [], []
            for number, value in (fields[field][i] for i in sorted(places)):
                row[f"f{field}"].append(number)
                row[f"f{field}_weights"].append(value)
        rows.append(row)
    counts["unknown"] += sum(
        field not in FIELDS for features in common.values() for field, _, _ in features
    )
    return rows, counts


def written(directory: pathlib.Path, split: str) -> list[Row]:
    return [
        row
        for file in find_files(directory, split, required=False)
        for row in pq.read_table(file).to_pylist()
    ]


def content(directory: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}
