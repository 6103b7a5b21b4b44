"""What a job that writes shards has to do, and what is known of each shard.

The shards hold a dataset's files, checked and with only the columns of its schema. They are the
same bytes whoever writes them:

<output>/train-00000-00000.parquet   what is good of the first `shard_rows` rows of the first file
         schema.toml                 the schema that they were checked against
         prepared.json               what they were made from, rows and dropped rows; written last
         .prepare/                   until then: the settings, and a record of each whole shard
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tafe_tf.data import bad_row_limit
from tafe_tf.data.bad_rows import Dropped, Policy
from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.read import BLOCK_ROWS
from tafe_tf.data.formats.splits import find_split
from tafe_tf.data.manifest import Entry
from tafe_tf.data.shards.same_job import sources_of
from tafe_tf.schema import Schema
from tafe_tf.storage.addresses import join, within

SPLITS = ("train", "valid", "test")
EXTENSIONS = {"parquet": ".parquet", "tfrecord": ".tfrecord.gz"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardJob:
    """What to make shards of, and where.

    Attributes:
        data_dir: The absolute path, or the URI, of the folder below which the files of the splits
            lie.
        schema: What to read of them.
        schema_text: The schema as TOML, which is written beside the shards.
        output: The absolute path, or the URI, of the folder for the shards, which holds nothing
            else.
        format: "parquet" (the default) or "tfrecord".
        shard_rows: How many rows of a file make a shard, bad rows included: a multiple of 65,536
            or any number below it. Default: 1,048,576.
        on_bad_row: "raise" (the default) to stop at a bad row, or "drop" to leave it out.
        max_bad_rows: How many rows of a split may be left out, see `bad_row_limit.check_limit`.
            Default: 1%.
        named: The files of each split, absolute paths, where they were found already. Default:
            none, they are those of `find_split`.

    Raises:
        DataError: If one of these breaks its rule.
    """

    data_dir: str
    schema: Schema
    schema_text: str
    output: str
    format: str = "parquet"
    shard_rows: int = 16 * BLOCK_ROWS
    on_bad_row: Policy = "raise"
    max_bad_rows: str = bad_row_limit.DEFAULT
    named: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            bad_row_limit.check_limit(self.max_bad_rows)
        except ValueError as error:
            raise DataError(str(error)) from None
        if self.format not in EXTENSIONS:
            rule = f"format must be one of {', '.join(EXTENSIONS)}"
            raise DataError(f"{rule}. Received: {self.format!r}")
        fits_a_block = 1 <= self.shard_rows <= BLOCK_ROWS
        is_multiple = self.shard_rows > 0 and self.shard_rows % BLOCK_ROWS == 0
        if not fits_a_block and not is_multiple:
            rule = f"shard_rows must be a multiple of {BLOCK_ROWS}, or 1 to that"
            raise DataError(f"{rule}. Received: {self.shard_rows}")

    @functools.cached_property
    def files(self) -> dict[str, list[str]]:
        """The files of each split that has some."""
        found = {split: list(files) for split, files in self.named.items() if files}
        if found:
            return found
        for split in SPLITS:
            files = find_split(
                self.data_dir,
                split,
                required=split == "train",
            )
            if files:
                found[split] = files
        return found

    def settings(self) -> dict[str, Any]:
        """What the shards depend on, with the present sizes and samples of the files."""
        found = sources_of(self.data_dir, itertools.chain.from_iterable(self.files.values()))
        schema_hash = hashlib.sha256(self.schema_text.encode())
        return {
            "schema": schema_hash.hexdigest()[:16],
            "format": self.format,
            "shard_rows": self.shard_rows,
            "files": len(found["sources"]),
            **self._named_splits(),
            **found,
        }

    def _named_splits(self) -> dict[str, Any]:
        """The names of each split's files, where nothing but the job says which split is theirs."""
        names = {}
        for split, files in self.named.items():
            names[split] = [within(self.data_dir, path) for path in files]
        return {"splits": names} if names else {}

    @property
    def work(self) -> str:
        """The hidden folder of what is known while the job is under way."""
        return join(self.output, ".prepare")

    def shard(
        self,
        split: str,
        file: int,
        part: int,
    ) -> str:
        """Where the shard of a part of a file lies."""
        extension = EXTENSIONS[self.format]
        return join(self.output, f"{_stem(split, file, part)}{extension}")

    def record(
        self,
        split: str,
        file: int,
        part: int,
    ) -> str:
        """Where the record of a part of a file lies."""
        return join(self.work, f"{_stem(split, file, part)}.json")


def _stem(
    split: str,
    file: int,
    part: int,
) -> str:
    return f"{split}-{file:05d}-{part:05d}"


class Piece(NamedTuple):
    """Parts of one file to make shards of.

    Attributes:
        split: "train", "valid" or "test".
        file: The file's number in its split.
        first: The first part.
        stop: The part to stop before, or None for all up to the file's end.
        path: The file.
    """

    split: str
    file: int
    first: int
    stop: int | None
    path: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a part that is done.

    Attributes:
        written: The number of good rows. Default: 0.
        dropped: The number of bad rows. Default: 0.
        reasons: Why they are bad. Default: none.
        last: Whether the file ends with this part. Default: False.
        shard: What the shard held when it was written. Default: None, there is no good row, so no
            shard.
    """

    written: int = 0
    dropped: int = 0
    reasons: list[Dropped] = dataclasses.field(default_factory=list)
    last: bool = False
    shard: Entry | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Record:
        """The record that `to_json` gave."""
        reasons = [Dropped(**reason) for reason in stored["reasons"]]
        return cls(**{**stored, "reasons": reasons})
