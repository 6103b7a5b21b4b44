"""Invents raw Ali-CCP files with the layout, sizes and rates of the published ones.

    python -m benchmarks.ali_ccp_raw OUT --rows=2000000

Half of the rows are training rows. A user has 57.9 rows on average, one after the other. A row has
630 features on average and one row in a hundred has 1,980 or more; most of them describe its user.
Ids follow a Zipf law. 3.9 % of the rows are clicked and 0.02 % bought; a few are bought without a
click. Two million rows take 0.9 GB. Prints the path and the bytes of each file.
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
# The number of a user's behaviours is log-normal with this mean and with its P99 at 1,980.
BEHAVIOURS, SIGMA = 612.0, 0.578
CHUNK_USERS = 500  # users written at a time; they have about 300,000 features in common rows

# First id and number of ids by field, as in the published samples and in the vocabularies of
# AITM's preprocessing.
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
# The same, and the share of a user's behaviours that the field has.
BEHAVIOUR = {
    "109_14": (445_105, 12_100, 0.09),
    "110_14": (458_138, 2_976_000, 0.37),
    "127_14": (3_439_207, 419_000, 0.22),
    "150_14": (3_865_334, 98_800, 0.32),
}
# First id, number of ids, share of rows with the field, and the mean number of values in those.
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
WEIGHTED = ("508", "509", "702", "853")  # fields of a row whose values are not all 1
_VALUES = pa.array([f"{np.log(1 + count):.5f}" for count in range(1, 200)])


def zipf(rng: np.random.Generator, first: int, size: int, count: int) -> np.ndarray:
    """Draws ids from `first` to `first + size - 1`, whose frequency falls as 1 / rank; [count]."""
    rank = np.exp(rng.random(count) * np.log(size + 1)).astype(np.int64) - 1
    return np.asarray(first + np.minimum(rank, size - 1))


class Lists:
    """The feature lists of some rows, to which fields are added one by one.

    Args:
        rows: Number of rows.
        rng: Draws ids and values.
    """

    def __init__(self, rows: int, rng: np.random.Generator) -> None:
        self._rows = rows
        self._rng = rng
        self._owner: list[np.ndarray] = []  # by field, the row of each feature
        self._texts: list[pa.Array] = []  # by field, each feature as the file has it

    def add(self, field: str, first: int, size: int, counts: np.ndarray, weighted: bool) -> None:
        """Adds features of one field.

        Args:
            field: The field's name.
            first: The field's first id.
            size: Number of the field's ids.
            counts: How many features each row gets, [rows].
            weighted: Whether the values differ from 1.
        """
        total = int(counts.sum())
        ids = pa.array(zipf(self._rng, first, size, total)).cast(pa.string())
        values = pa.scalar("1.0")
        if weighted:
            values = _VALUES.take(pa.array(zipf(self._rng, 0, len(_VALUES), total)))
        pairs = pc.binary_join_element_wise(ids, values, "\x03")
        self._owner.append(np.repeat(np.arange(self._rows), counts))
        self._texts.append(pc.binary_join_element_wise(f"{field}\x02", pairs, ""))

    def cells(self) -> tuple[pa.Array, pa.Array]:
        """The columns `feature_num` and `feature_list`."""
        owner = np.concatenate(self._owner)
        by_row = pa.array(np.argsort(owner, kind="stable"))
        texts = pa.concat_arrays(self._texts).take(by_row)
        counts = np.bincount(owner, minlength=self._rows)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts)
        return pa.array(counts).cast(pa.string()), pc.binary_join(lists, "\x01")


def common_lines(keys: pa.Array, rng: np.random.Generator) -> bytes:
    """Makes the lines of a common file, one for each key (a user)."""
    users = len(keys)
    lists = Lists(users, rng)
    for field, (first, size) in USER.items():
        once = np.ones(users, np.int64)
        lists.add(field, first, size, once, weighted=False)
    mean_of_log = np.log(BEHAVIOURS) - SIGMA**2 / 2
    behaviours = rng.lognormal(mean_of_log, SIGMA, users)
    for field, (first, size, share) in BEHAVIOUR.items():
        counts = rng.poisson(behaviours * share)
        lists.add(field, first, size, counts, weighted=True)
    return _lines([keys, *lists.cells()])


def skeleton_lines(keys: pa.Array, first_row: int, rng: np.random.Generator) -> bytes:
    """Makes the lines of a skeleton file, one for each key.

    Args:
        keys: The user of each row.
        first_row: Number of the first of these rows in the file.
        rng: Draws labels and features.
    """
    rows = len(keys)
    lists = Lists(rows, rng)
    draw = rng.random(rows)
    for field, (first, size, share, values) in ROW.items():
        counts = rng.integers(1, 2 * values, rows)
        has_field = rng.random(rows) < share
        lists.add(field, first, size, counts * has_field, weighted=field in WEIGHTED)
    click = draw < CLICK
    buy_without_click = (draw >= CLICK) & (draw < CLICK + BUY_WITHOUT_CLICK)
    buy = (draw < BUY) | buy_without_click
    number = np.arange(first_row, first_row + rows)
    columns = [_text(number), _text(click.astype(np.int8)), _text(buy.astype(np.int8))]
    return _lines([*columns, keys, *lists.cells()])


def _text(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _lines(columns: Sequence[pa.Array]) -> bytes:
    lines = pc.binary_join_element_wise(*columns, ",")
    return "\n".join([*lines.to_pylist(), ""]).encode()


def write(directory: pathlib.Path, split: str, rows: int, seed: Sequence[int]) -> None:
    """Writes the two files of a split.

    Args:
        directory: Where to write them.
        split: "train" or "test".
        rows: Number of rows of the skeleton file.
        seed: Seed of everything drawn.
    """
    rng = np.random.default_rng(seed)
    done = 0
    with (
        open(directory / f"common_features_{split}.csv", "wb") as common,
        open(directory / f"sample_skeleton_{split}.csv", "wb") as skeleton,
    ):
        while done < rows:
            numbers = rng.integers(0, 2**63, CHUNK_USERS).tolist()
            keys = pa.array([f"{number:016x}" for number in numbers])
            rows_of_user = rng.geometric(1 / ROWS_PER_USER, CHUNK_USERS)
            user_of_row = np.repeat(np.arange(CHUNK_USERS), rows_of_user)[: rows - done]
            users = user_of_row[-1] + 1
            common.write(common_lines(keys[:users], rng))
            skeleton.write(skeleton_lines(keys.take(pa.array(user_of_row)), done + 1, rng))
            done += len(user_of_row)


def main() -> None:
    """Writes the four files."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "out",
        type=pathlib.Path,
        help="Directory to write the files to; made if it does not exist.",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=2_000_000,
        help="Rows of both skeleton files together; 2,000,000 by default.",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="Seed of everything that is drawn; 0 by default.",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(("train", "test")):
        rows = (options.rows + 1 - number) // 2
        write(options.out, split, rows, (options.seed, number))
    for path in sorted(options.out.glob("*.csv")):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
