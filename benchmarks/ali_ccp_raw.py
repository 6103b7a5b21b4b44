"""Writes raw Ali-CCP files, invented, with the published files' layout, sizes and rates: to measure their reader on.

    python -m benchmarks.ali_ccp_raw OUT --rows=2000000

Half the rows are training rows. A user has 57.9 rows, one after the other; a row has 630 features on average, 1,980 or
more in a row of a hundred, most of them its user's; ids follow a Zipf law; 3.9 % click, 0.02 % buy, and a few buy
without a click. 2 million rows take 0.9 GB.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_PER_USER = 42.3e6 / 730_600
CLICK, BUY, BUY_WITHOUT_CLICK = 0.039, 0.0002, 0.00001
BEHAVIOURS, SIGMA = (
    612.0,
    0.578,
)  # a user's behaviours: their mean, and a log-normal law with its P99 at 1,980
CHUNK_USERS = 500  # 300,000 features of common rows

# Field: its first id and number of ids, as in the published samples and the vocabularies of AITM's preprocessing.
USER = {
    "101": (1, 238_635),
    "121": (3_438_658, 98),
    "122": (3_438_756, 14),
    "124": (3_438_769, 3),
    "125": (3_438_772, 8),
    "126": (3_438_778, 4),
    "127": (3_438_782, 4),
    "128": (3_864_885, 3),
    "129": (3_864_888, 5),
}
BEHAVIOUR = {
    "109_14": (445_105, 12_100, 0.09),
    "110_14": (458_138, 2_976_000, 0.37),
    "127_14": (3_439_207, 419_000, 0.22),
    "150_14": (3_865_334, 98_800, 0.32),
}
# The same with the share of rows that have the field, and the number of values of those that do.
ROW = {
    "205": (4_186_222, 467_298, 1.0, 1),
    "206": (8_315_276, 6_929, 1.0, 1),
    "207": (8_400_000, 263_942, 1.0, 1),
    "210": (9_018_000, 110_000, 0.9, 5),
    "216": (9_154_780, 106_399, 1.0, 1),
    "301": (9_351_665, 4, 1.0, 1),
    "508": (9_354_837, 5_888, 0.6, 1),
    "509": (9_511_769, 104_830, 0.3, 1),
    "702": (9_867_762, 51_878, 0.3, 1),
    "853": (10_020_538, 37_148, 0.3, 2),
}
_VALUES = pa.array([f"{np.log(1 + count):.5f}" for count in range(1, 200)])


def zipf(rng: np.random.Generator, first: int, size: int, count: int) -> np.ndarray:
    """Ids whose frequency falls as 1 / rank."""
    rank = np.exp(rng.random(count) * np.log(size + 1)).astype(np.int64) - 1
    return np.asarray(first + np.minimum(rank, size - 1))


class Lists:
    """Feature lists of some rows in the making: fields are added one by one.

    Args:
        rows: how many.
        rng: draws ids and values.
    """

    def __init__(self, rows: int, rng: np.random.Generator) -> None:
        self._rows, self._rng = rows, rng
        self._owner: list[np.ndarray] = []
        self._texts: list[pa.Array] = []

    def add(self, field: str, first: int, size: int, counts: np.ndarray, weighted: bool) -> None:
        """Adds counts[i] features of a field to row i."""
        total = int(counts.sum())
        ids = pa.array(zipf(self._rng, first, size, total)).cast(pa.string())
        values = pa.scalar("1.0")
        if weighted:
            values = _VALUES.take(pa.array(zipf(self._rng, 0, len(_VALUES), total)))
        self._owner.append(np.repeat(np.arange(self._rows), counts))
        self._texts.append(
            pc.binary_join_element_wise(
                f"{field}\x02", pc.binary_join_element_wise(ids, values, "\x03"), ""
            )
        )

    def cells(self) -> tuple[pa.Array, pa.Array]:
        """The cells `feature_num` and `feature_list`."""
        owner = np.concatenate(self._owner)
        texts = pa.concat_arrays(self._texts).take(pa.array(np.argsort(owner, kind="stable")))
        counts = np.bincount(owner, minlength=self._rows)
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
        return pa.array(counts).cast(pa.string()), pc.binary_join(
            pa.ListArray.from_arrays(offsets, texts), "\x01"
        )


def common_lines(keys: pa.Array, rng: np.random.Generator) -> bytes:
    """Lines of a common file."""
    lists = Lists(len(keys), rng)
    for field, (first, size) in USER.items():
        lists.add(field, first, size, np.ones(len(keys), np.int64), weighted=False)
    mean = rng.lognormal(np.log(BEHAVIOURS) - SIGMA**2 / 2, SIGMA, len(keys))
    for field, (first, size, share) in BEHAVIOUR.items():
        lists.add(field, first, size, rng.poisson(mean * share), weighted=True)
    return _lines([keys, *lists.cells()])


def skeleton_lines(keys: pa.Array, first_row: int, rng: np.random.Generator) -> bytes:
    """Lines of a skeleton file, one for each key."""
    lists, draw = Lists(len(keys), rng), rng.random(len(keys))
    for field, (first, size, share, values) in ROW.items():
        counts = rng.integers(1, 2 * values, len(keys)) * (rng.random(len(keys)) < share)
        lists.add(field, first, size, counts, weighted=field in ("508", "509", "702", "853"))
    lonely = (draw >= CLICK) & (draw < CLICK + BUY_WITHOUT_CLICK)
    labels = [draw < CLICK, (draw < BUY) | lonely]
    number = pa.array(np.arange(first_row, first_row + len(keys)))
    texts = [pa.array(column).cast(pa.int8()).cast(pa.string()) for column in labels]
    return _lines([number.cast(pa.string()), *texts, keys, *lists.cells()])


def _lines(cells: Sequence[pa.Array]) -> bytes:
    lines = pc.binary_join_element_wise(*cells, ",")
    return "\n".join([*lines.to_pylist(), ""]).encode()


def write(directory: pathlib.Path, split: str, rows: int, seed: Sequence[int]) -> None:
    """Writes the two files of a split."""
    rng, done = np.random.default_rng(seed), 0
    with (
        open(directory / f"common_features_{split}.csv", "wb") as common,
        open(directory / f"sample_skeleton_{split}.csv", "wb") as skeleton,
    ):
        while done < rows:
            keys = pa.array([f"{key:016x}" for key in rng.integers(0, 2**63, CHUNK_USERS).tolist()])
            counts = rng.geometric(1 / ROWS_PER_USER, CHUNK_USERS)
            users = pa.array(np.repeat(np.arange(CHUNK_USERS), counts)[: rows - done])
            common.write(common_lines(keys[: users[-1].as_py() + 1], rng))
            skeleton.write(skeleton_lines(keys.take(users), done + 1, rng))
            done += len(users)


def main() -> None:
    """Writes the four files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=pathlib.Path, help="directory, made if it is not there")
    parser.add_argument(
        "--rows", type=int, default=2_000_000, help="of both skeleton files together"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(("train", "test")):
        write(options.out, split, (options.rows + 1 - number) // 2, (options.seed, number))
    for path in sorted(options.out.glob("*.csv")):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
