"""Twelve small funnels as people have them, each in a file of another kind.

Each function writes one file, or a folder of files, and returns its path. The columns are those of
shops, ads, hotels and mail, and every label depends on them, so that there is something to learn.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 3000
_START = datetime.datetime(2026, 3, 1)


class Funnel:
    """Rows of a made-up funnel: a user, an item, an hour, a price, and two or three steps.

    Args:
        seed: The seed of all draws.
        rates: The rate of the first step, and of each later one given the one before.
        rows: The number of rows.
    """

    def __init__(self, seed: int, rates: tuple[float, ...] = (0.3, 0.3), rows: int = ROWS) -> None:
        self.random = np.random.default_rng(seed)
        self.rows = rows
        self.user = self.random.zipf(1.3, rows) % 400
        self.item = self.random.integers(0, 60, rows)
        self.hour = self.random.integers(0, 24, rows)
        self.price = np.round(self.random.lognormal(3.0, 0.8, rows), 2)
        taste = np.random.default_rng(7).normal(0.0, 1.0, 60)[self.item]
        shift = taste - 0.3 * (np.log(self.price) - 3.0)
        happened = np.ones(rows, bool)
        self.steps: list[np.ndarray] = []
        for rate in rates:
            logit = np.log(rate / (1.0 - rate)) + shift
            happened = happened & (self.random.random(rows) < 1.0 / (1.0 + np.exp(-logit)))
            self.steps.append(happened.astype(int))

    def moments(self) -> list[datetime.datetime]:
        """A moment for each row, later rows later."""
        seconds = np.sort(self.random.integers(0, 30 * 86400, self.rows))
        return [_START + datetime.timedelta(seconds=int(second)) for second in seconds]

    def chosen(self, values: list[str]) -> list[str]:
        """One of some values for each row."""
        return [values[i] for i in self.random.integers(0, len(values), self.rows)]


def _csv_text(columns: dict[str, list[Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def semicolons(folder: pathlib.Path) -> pathlib.Path:
    """CSV with semicolons, from a spreadsheet; numbers have a decimal point."""
    funnel = Funnel(1)
    columns = {
        "Kunde": [f"K{user:05d}" for user in funnel.user],
        "Artikel": [f"A-{item}" for item in funnel.item],
        "Stunde": funnel.hour.tolist(),
        "Preis": funnel.price.tolist(),
        "Farbe": funnel.chosen(["rot", "grün", "", "blau"]),
        "Click": funnel.steps[0].tolist(),
        "Order": funnel.steps[1].tolist(),
    }
    path = folder / "kampagne.csv"
    path.write_text(_csv_text(columns, ";"), encoding="utf-8")
    return path


def tabs(folder: pathlib.Path) -> pathlib.Path:
    """TSV, gzipped, with a byte order mark, and times as texts."""
    funnel = Funnel(2)
    columns = {
        "event_time": [moment.isoformat(sep=" ") for moment in funnel.moments()],
        "user_id": funnel.user.tolist(),
        "item_id": (funnel.item + 100000).tolist(),
        "hour": funnel.hour.tolist(),
        "price": funnel.price.tolist(),
        "clicked": funnel.steps[0].tolist(),
        "purchased": funnel.steps[1].tolist(),
    }
    path = folder / "purchases.tsv.gz"
    text = "\ufeff" + _csv_text(columns, "\t")
    path.write_bytes(gzip.compress(text.encode("utf-8")))
    return path


def quoted(folder: pathlib.Path) -> pathlib.Path:
    """CSV, compressed by zst, whose texts hold commas, quotes and line breaks."""
    funnel = Funnel(3)
    titles = ['Chair, "oak"\nlarge', "Table", "Lamp, brass", "Sofa\nred", "Shelf"]
    columns = {
        "session": [f"s{number}" for number in range(funnel.rows)],
        "title": funnel.chosen(titles),
        "tags": [f"t{item % 7}|t{item % 5}|t{item % 3}" for item in funnel.item],
        "item": funnel.item.tolist(),
        "price": funnel.price.tolist(),
        "add_to_cart": funnel.steps[0].tolist(),
        "bought": funnel.steps[1].tolist(),
    }
    path = folder / "sessions.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        file.write(_csv_text(columns).encode("utf-8"))
    return path


def pandas_frame(folder: pathlib.Path) -> pathlib.Path:
    """Parquet from pandas: categories, nullable integers, booleans, nanoseconds."""
    import pandas as pd

    funnel = Funnel(4)
    age = pd.Series(funnel.random.integers(18, 80, funnel.rows), dtype="Int64")
    age[funnel.random.random(funnel.rows) < 0.1] = pd.NA
    frame = pd.DataFrame(
        {
            "ts": pd.to_datetime(funnel.moments()).astype("datetime64[ns]"),
            "customer_id": funnel.user,
            "store": pd.Categorical(funnel.chosen(["north", "south", "east"])),
            "product": pd.Categorical([f"p{item}" for item in funnel.item]),
            "age": age,
            "is_member": funnel.random.random(funnel.rows) < 0.4,
            "visits": np.where(funnel.hour < 3, np.nan, funnel.hour),
            "price": funnel.price,
            "opened": funnel.steps[0].astype(bool),
            "converted": funnel.steps[1].astype(float),
        }
    )
    path = folder / "mailing.parquet"
    frame.to_parquet(path)
    return path


def nested_lists(folder: pathlib.Path) -> pathlib.Path:
    """Parquet with lists, lists of a fixed size, maps and a struct."""
    funnel = Funnel(5)
    interests = [
        [(f"topic{item % 9}", float(price)), (f"topic{hour % 4 + 9}", 1.0)]
        for item, hour, price in zip(funnel.item, funnel.hour, funnel.price, strict=True)
    ]
    recent = [[f"i{item}", f"i{(item + hour) % 60}"][: hour % 3] for item, hour in zip(
        funnel.item, funnel.hour, strict=True)]  # fmt: skip
    pairs = np.stack([funnel.item, funnel.hour], axis=1).reshape(-1)
    table = pa.table(
        {
            "user": pa.array([f"u{user}" for user in funnel.user]),
            "recent_items": pa.array(recent, pa.list_(pa.string())),
            "pair": pa.FixedSizeListArray.from_arrays(pa.array(pairs), 2),
            "interests": pa.array(interests, pa.map_(pa.string(), pa.float64())),
            "context": pa.array(
                [
                    {"hour": int(hour), "device": "ios" if hour % 2 else "web"}
                    for hour in funnel.hour
                ]
            ),
            "is_click": pa.array(funnel.steps[0], pa.int8()),
            "is_conversion": pa.array(funnel.steps[1], pa.int8()),
        }
    )
    path = folder / "feed.parquet"
    pq.write_table(table, path)
    return path


def polars_frame(folder: pathlib.Path) -> pathlib.Path:
    """Parquet from Polars: categories, decimals, dates, and -1 for a step that was not reached."""
    import polars as pl

    funnel = Funnel(6, rates=(0.4, 0.4, 0.4))
    frame = pl.DataFrame(
        {
            "day": [moment.date() for moment in funnel.moments()],
            "visitor": [f"v{user}" for user in funnel.user],
            "hotel": funnel.item,
            "rooms": funnel.hour % 4 + 1,
            "price": funnel.price,
            "view": funnel.steps[0],
            "cart": funnel.steps[1],
            "booking": np.where(funnel.steps[1] == 1, funnel.steps[2], -1),
        }
    ).with_columns(
        pl.col("price").cast(pl.Decimal(12, 2)),
        pl.col("visitor").cast(pl.Categorical),
        pl.col("cart").cast(pl.Int8),
    )
    path = folder / "hotels.parquet"
    frame.write_parquet(path)
    return path


def examples(folder: pathlib.Path) -> pathlib.Path:
    """TFRecord shards of Examples that omit what is absent; one shard lacks a rare column."""
    import tensorflow as tf

    funnel = Funnel(7)
    directory = folder / "examples"
    directory.mkdir()
    for shard in range(2):
        with tf.io.TFRecordWriter(str(directory / f"part-{shard:05d}.tfrecord")) as writer:
            for row in range(shard, funnel.rows, 2):
                features = {
                    "user": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[f"u{funnel.user[row]}".encode()])
                    ),
                    "ad": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[int(funnel.item[row])])
                    ),
                    "bid": tf.train.Feature(
                        float_list=tf.train.FloatList(value=[float(funnel.price[row])])
                    ),
                    "click": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[int(funnel.steps[0][row])])
                    ),
                    "install": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=[int(funnel.steps[1][row])])
                    ),
                }
                if shard == 0 and funnel.hour[row] == 3:
                    features["coupon"] = tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[b"c%d" % (funnel.item[row] % 3)])
                    )
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    return directory


def words(folder: pathlib.Path) -> pathlib.Path:
    """CSV with Yes and No, and NA for what is missing."""
    funnel = Funnel(8)
    columns = {
        "age": [str(value) if value > 2 else "NA" for value in funnel.hour + 18],
        "job": funnel.chosen(["admin.", "technician", "NA", "services", "retired"]),
        "balance": [f"{price * 10 - 200:.2f}" for price in funnel.price],
        "contact": [f"c{item}" for item in funnel.item],
        "clicked": ["Yes" if step else "No" for step in funnel.steps[0]],
        "subscribed": ["Yes" if step else "No" for step in funnel.steps[1]],
    }
    path = folder / "bank.csv"
    path.write_text(_csv_text(columns), encoding="utf-8")
    return path


def dates(folder: pathlib.Path) -> pathlib.Path:
    """CSV in which a step is the date when it happened, or nothing, beside a purchase's amount."""
    funnel = Funnel(9, rates=(0.3, 0.4))
    moments = funnel.moments()
    clicked, bought = funnel.steps

    def at(step: np.ndarray, hours: int) -> list[str]:
        late = datetime.timedelta(hours=hours)
        return [
            (moment + late).isoformat() if happened else ""
            for moment, happened in zip(moments, step, strict=True)
        ]

    columns = {
        "impression_time": [moment.isoformat() for moment in moments],
        "campaign": [f"camp{item}" for item in funnel.item],
        "placement": funnel.chosen(["top", "side", "feed"]),
        "bid": funnel.price.tolist(),
        "click_time": at(clicked, 1),
        "order_date": at(bought, 30),
        "order_amount": [
            price if happened else "" for price, happened in zip(funnel.price, bought, strict=True)
        ],
    }
    path = folder / "attribution.csv"
    path.write_text(_csv_text(columns), encoding="utf-8")
    return path


def one_step(folder: pathlib.Path) -> pathlib.Path:
    """CSV with one step only, and large ids: UUIDs, and unsigned integers of 64 bits."""
    funnel = Funnel(10, rates=(0.25,))
    columns = {
        "device_id": [str(uuid.UUID(int=int(user) * 2**90 + 5)) for user in funnel.user],
        "creative": [int(item) + 2**63 for item in funnel.item],
        "hour": funnel.hour.tolist(),
        "score": np.round(funnel.random.random(funnel.rows), 4).tolist(),
        "click": funnel.steps[0].tolist(),
    }
    path = folder / "ctr.csv"
    path.write_text(_csv_text(columns), encoding="utf-8")
    return path


def broken_order(folder: pathlib.Path) -> pathlib.Path:
    """CSV in which a tenth of the purchases lacks the click, under names that no program likes."""
    funnel = Funnel(11)
    clicked, bought = funnel.steps
    lost = (bought == 1) & (funnel.random.random(funnel.rows) < 0.1)
    columns = {
        "Item No": [f"n{item}" for item in funnel.item],
        "item no": (funnel.item % 6).tolist(),
        "class": funnel.chosen(["a", "b", "c"]),
        "2nd price": funnel.price.tolist(),
        "größe": funnel.chosen(["S", "M", "L"]),
        "self": funnel.hour.tolist(),
        "Click?": np.where(lost, 0, clicked).tolist(),
        "Purchase?": bought.tolist(),
    }
    path = folder / "raw export.csv"
    path.write_text(_csv_text(columns), encoding="utf-8")
    return path


def spark_folder(folder: pathlib.Path) -> pathlib.Path:
    """A folder as Spark writes it: parts of Parquet, one of them empty, and a marker file."""
    funnel = Funnel(12)
    table = pa.table(
        {
            "user_id": pa.array(funnel.user, pa.int64()),
            "query": pa.array([f"q{item}" for item in funnel.item]),
            "product_uuid": pa.array(
                [uuid.UUID(int=int(item) % 13 * 2**70).bytes for item in funnel.item], pa.binary(16)
            ),
            "price": pa.array(funnel.price, pa.float32()),
            "label_click": pa.array(funnel.steps[0], pa.int32()),
            "label_pay": pa.array(funnel.steps[1], pa.int32()),
        }
    )
    directory = folder / "logs.parquet"
    directory.mkdir()
    half = funnel.rows // 2
    for number, part in enumerate([table.slice(0, half), table.slice(0, 0), table.slice(half)]):
        pq.write_table(part, directory / f"part-{number:05d}-c000.snappy.parquet")
    (directory / "_SUCCESS").write_text("")
    (directory / ".part-00000-c000.snappy.parquet.crc").write_bytes(b"crc")
    return directory


TWELVE: dict[str, Callable[[pathlib.Path], pathlib.Path]] = {
    "semicolons": semicolons,
    "tabs": tabs,
    "quoted": quoted,
    "pandas": pandas_frame,
    "lists": nested_lists,
    "polars": polars_frame,
    "tfrecord": examples,
    "words": words,
    "dates": dates,
    "one_step": one_step,
    "broken_order": broken_order,
    "spark": spark_folder,
}
# The label columns that a draft must find, in order.
LABELS = {
    "semicolons": ("Click", "Order"),
    "tabs": ("clicked", "purchased"),
    "quoted": ("add_to_cart", "bought"),
    "pandas": ("opened", "converted"),
    "lists": ("is_click", "is_conversion"),
    "polars": ("view", "cart", "booking"),
    "tfrecord": ("click", "install"),
    "words": ("clicked", "subscribed"),
    "dates": ("click_time", "order_date"),
    "one_step": ("click",),
    "broken_order": ("Click?", "Purchase?"),
    "spark": ("label_click", "label_pay"),
}
