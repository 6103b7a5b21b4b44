"""One field of the model: which column it reads, and how values become rows of the table."""

from __future__ import annotations

import dataclasses
import math

from tafe_tf.schema.columns import MOST_LENGTH, Column, Dtype
from tafe_tf.schema.rules import (
    check,
    check_integer,
    check_name,
    check_one_of,
    check_separator,
    check_texts,
    is_number,
)

MOST_ROWS = 2**31 - 1  # of the embedding table; ids are int32
_MOST_VALUES = MOST_ROWS - 2  # of one field, beside the rows of unseen and missing ones
_MOST_BUCKETS = 1 << 24  # of log-rounded numbers, of one sign; float32 counts no further
_MOST_QUANTILES = 10_000
_QUANTILES = 64  # buckets of kind "quantile", if none are given
_SOFT_BUCKETS = 32  # of kind "number" with AutoDis
_MOST_SOFT_BUCKETS = 1000
UNSEEN, MISSING, FIRST = 0, 1, 2  # the first two rows of every field; its values start at FIRST

_KEYS_OF_KIND = {
    "vocabulary": {"dtype", "min_count"},
    "integer": {"size"},
    "hash": {"dtype", "buckets"},
    "log_round": {"scale", "max_abs"},
    "quantile": {"buckets"},
    "number": {"embedding", "buckets"},
    "vector": {"length"},
}
_KINDS_WITH_VALUES = ("vocabulary", "integer")  # each of their rows is of one value
_KEYS_OF_LISTS = ("pooling", "weights", "separator")
# What a feature that uses another one's rows has from it.
OF_OWNER = ("kind", "dtype", "min_count", "size", "buckets", "scale", "max_abs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feature:
    """One field of the model: a raw column and how its values become rows of the embedding table.

    Attributes:
        name: The field's name: letters, digits and underscores, starting with a letter.
        kind: How a value finds its row. "vocabulary": each value that occurs at least `min_count`
            times has a row. "integer": the values are 0 to `size` - 1. "hash": any value is hashed
            into one of `buckets` rows. "log_round": a number x falls into bucket
            sign(x) round(scale log(1 + |x|)), section 3.1 of the paper. "quantile": a number falls
            into one of `buckets` buckets that hold about equally many numbers of the training rows.
            "number": a number is scaled by those of the training rows and embedded as `embedding`
            says. "vector": a list of `length` numbers is projected to an embedding. Left out with
            `shares`.
        shares: The name of a feature whose rows this one uses, such as "item" for a list of items
            seen before. What says how values find rows is then that feature's, and is left out
            here: `kind`, `dtype`, `min_count`, `size`, `buckets`, `scale` and `max_abs`. Its
            vocabulary counts the values of both. Default: none, the feature has rows of its own.
        pretrained: A Parquet file of vectors that the rows of values start from, for "vocabulary"
            and "integer": its path, relative to the schema's folder, or a URI. It has a column of
            ids, named as the feature's column or "id", and one of lists, "vector", as long as the
            embedding dimension. Default: none, rows start at random.
        trainable: Whether training changes the feature's rows, those of unseen and of missing
            values among them. Default: true.
        column: The raw column. Default: `name`.
        dtype: "string" (the default) or "int64", for "vocabulary" and "hash".
        min_count: How often a value must occur to earn a row, for "vocabulary". Default: 1.
        size: The number of values, for "integer", which requires it.
        buckets: The number of rows, for "hash", which requires it, and for "quantile", 2 to 10,000;
            default 64. With `embedding = "autodis"` the number of soft buckets, 1 to 1,000; default
            32.
        embedding: How a scaled number z becomes an embedding, for "number". "linear" (the default):
            z w + b, with two vectors of the feature. "autodis": a soft choice among buckets, Guo et
            al. 2021. Missing numbers have a vector of their own either way.
        length: How many numbers each vector has, for "vector", which requires it.
        scale: Buckets per unit of log(1 + |x|), for "log_round". Default: 4.0.
        max_abs: Larger magnitudes share the last bucket of their sign, for "log_round".
            Default: 1e9.
        max_length: 0 (the default) for one value a row; otherwise the column holds lists, which are
            cut to this many values.
        pooling: How the embeddings of a list's values become one, for lists: their "mean" (the
            default) or "sum", weighted if `weights` is given.
        weights: A column with one number for each value of the list, for lists. Default: none.
        separator: The character between the values of a list, or of a vector, in a CSV cell.
            Default: "|".
        serve_as: The value that the served model takes for this feature in every row, of one value
            a row: for what only training knows, such as the position at which an item was shown.
            The model is trained on the column, and its export has no such input. Default: none.
        side: "user" for what is the same for all items of a ranking request (the user, the hour),
            or "item" (the default). The exported `rank` signature takes user columns once.

    Raises:
        SchemaError: If an attribute breaks its rule, or is set and has no meaning for this kind.

    Example:
        >>> from tafe_tf.schema import Feature
        >>> hour = Feature(name="hour", kind="integer", size=24, side="user")
        >>> hour.column, hour.raw_dtype, hour.rows()  # 24 values, unseen ones and missing ones
        ('hour', 'int64', 26)
    """

    name: str
    kind: str = ""
    shares: str = ""
    pretrained: str = ""
    trainable: bool = True
    column: str = ""
    dtype: Dtype = "string"
    min_count: int = 1
    size: int = 0
    buckets: int = 0
    scale: float = 4.0
    max_abs: float = 1e9
    embedding: str = "linear"
    length: int = 0
    max_length: int = 0
    pooling: str = "mean"
    weights: str = ""
    separator: str = "|"
    serve_as: str | int | float | None = None
    side: str = "item"

    def __post_init__(self) -> None:
        check_name(self.name, "features.name", has_column=True)
        if self._is_default("buckets"):
            object.__setattr__(self, "buckets", self._usual_buckets)
        if not self._waits_for_owner:
            self._check_kind()
        check_texts(self, f"{self._where}: ")
        self._check_values()
        self._check_start()
        self._check_list()
        if not self._waits_for_owner:
            self._check_served()
        object.__setattr__(self, "column", self.column or self.name)

    @property
    def _where(self) -> str:
        return f"feature {self.name!r}"

    @property
    def _usual_buckets(self) -> int:
        """The number of buckets where the schema gives none."""
        if self.kind == "quantile":
            return _QUANTILES
        is_soft = self.kind == "number" and self.embedding == "autodis"
        return _SOFT_BUCKETS if is_soft else 0

    @property
    def _waits_for_owner(self) -> bool:
        """Whether what says how values find rows is still to come from another feature."""
        return bool(self.shares and not self.kind)

    @property
    def owner(self) -> str:
        """The name of the feature whose rows this one uses: its own, or `shares`."""
        return self.shares or self.name

    def with_rows_of(self, owner: Feature) -> Feature:
        """This feature with what it has from the one whose rows it uses.

        Args:
            owner: The feature that `shares` names.

        Raises:
            SchemaError: If a key is given here, too, and says something else; or if what is given
                here has no meaning for the owner's kind.
        """
        rule = f"must name a feature of ids, which {owner.name!r} of kind {owner.kind!r} is not"
        check(owner.has_ids, f"{self._where}: shares", rule, owner.name)
        keys = {}
        for key in OF_OWNER:
            keys[key] = getattr(owner, key)
            is_free = self._is_default(key) or getattr(self, key) == keys[key]
            rule = f"comes from {owner.name!r}, whose rows it shares, and must be left out"
            check(is_free, f"{self._where}: {key}", rule, getattr(self, key))
        return dataclasses.replace(self, **keys)

    def _check_kind(self) -> None:
        known = isinstance(self.kind, str) and self.kind in _KEYS_OF_KIND
        rule = f"must be one of {sorted(_KEYS_OF_KIND)}"
        check(known, f"{self._where}: kind", rule, self.kind)
        of_any_kind = set().union(*_KEYS_OF_KIND.values())
        for key in sorted(of_any_kind - _KEYS_OF_KIND[self.kind]):
            rule = f"has no meaning for kind {self.kind!r}"
            check(
                self._is_default(key),
                f"{self._where}: {key}",
                rule,
                getattr(self, key),
            )

    def _check_values(self) -> None:
        is_dtype = self.dtype in ("string", "int64")
        check(
            is_dtype,
            f"{self._where}: dtype",
            "must be 'string' or 'int64'",
            self.dtype,
        )
        check_integer(self.min_count, 1, f"{self._where}: min_count")
        if self.kind == "integer":
            check_integer(self.size, 1, f"{self._where}: size", _MOST_VALUES)
        if self.kind == "hash":
            check_integer(self.buckets, 1, f"{self._where}: buckets", _MOST_VALUES)
        if self.kind == "number":
            self._check_number()
        if self.kind == "vector":
            check_integer(self.length, 1, f"{self._where}: length", MOST_LENGTH)
        if self.kind == "quantile":
            check_integer(self.buckets, 2, f"{self._where}: buckets", _MOST_QUANTILES)
        for key in ("scale", "max_abs"):
            value = getattr(self, key)
            is_positive = is_number(value) and 0 < value < math.inf
            check(
                is_positive,
                f"{self._where}: {key}",
                "must be a positive number",
                value,
            )
        check(
            self.scale * math.log1p(self.max_abs) <= _MOST_BUCKETS,
            f"{self._where}: scale",
            f"must make at most {_MOST_BUCKETS:,} buckets up to max_abs",
            self.scale,
        )
        is_side = self.side in ("user", "item")
        check(
            is_side,
            f"{self._where}: side",
            "must be 'user' or 'item'",
            self.side,
        )

    def _check_number(self) -> None:
        known = ["linear", "autodis"]
        check_one_of(self.embedding, known, f"{self._where}: embedding")
        if self.embedding == "autodis":
            check_integer(self.buckets, 1, f"{self._where}: buckets", _MOST_SOFT_BUCKETS)
        else:
            rule = 'has no meaning for embedding "linear"'
            check(self._is_default("buckets"), f"{self._where}: buckets", rule, self.buckets)

    def _check_start(self) -> None:
        """Checks what says how the rows start and whether they are trained."""
        is_bool = isinstance(self.trainable, bool)
        check(is_bool, f"{self._where}: trainable", "must be true or false", self.trainable)
        for key in ("pretrained", "trainable"):
            is_owners = not self.shares or self._is_default(key)
            rule = f"is for {self.shares!r} to say, whose rows it shares"
            check(is_owners, f"{self._where}: {key}", rule, getattr(self, key))
        is_in_table = self.has_ids or self._is_default("trainable")
        rule = f"has no meaning for kind {self.kind!r}, which has no rows of the table"
        check(is_in_table, f"{self._where}: trainable", rule, self.trainable)
        can_start = self.kind in _KINDS_WITH_VALUES or not self.pretrained
        rule = f"needs kind {' or '.join(map(repr, _KINDS_WITH_VALUES))}, whose rows have values"
        check(can_start, f"{self._where}: pretrained", rule, self.pretrained)
        rule = f"has no meaning for kind {self.kind!r}, which has no rows"
        key = f"{self._where}: trainable"
        check(self.has_ids or self.trainable, key, rule, self.trainable)

    def _check_list(self) -> None:
        check_integer(self.max_length, 0, f"{self._where}: max_length", MOST_LENGTH)
        rule = f"has no meaning for kind {self.kind!r}, which has one value a row"
        key = f"{self._where}: max_length"
        check(self.has_ids or not self.max_length, key, rule, self.max_length)
        for key in _KEYS_OF_LISTS:
            is_of_vector = self.kind == "vector" and key == "separator"
            has_meaning = self.max_length > 0 or is_of_vector or self._is_default(key)
            rule = "needs max_length > 0 (a list)"
            check(
                has_meaning,
                f"{self._where}: {key}",
                rule,
                getattr(self, key),
            )
        is_pooling = self.pooling in ("sum", "mean")
        check(
            is_pooling,
            f"{self._where}: pooling",
            "must be 'sum' or 'mean'",
            self.pooling,
        )
        check_separator(self.separator, f"{self._where}: separator")

    def _check_served(self) -> None:
        key = f"{self._where}: serve_as"
        value = self.serve_as
        if value is None:
            return
        check(not self.max_length, key, "has no meaning for a list (max_length)", value)
        check(self.kind != "vector", key, "has no meaning for a vector", value)
        if self.raw_dtype == "string":
            check(isinstance(value, str), key, "must be a text, as the column's values are", value)
        elif self.raw_dtype == "int64":
            is_integer = isinstance(value, int) and not isinstance(value, bool)
            check(is_integer, key, "must be an integer, as the column's values are", value)
        else:
            check(is_number(value), key, "must be a number, as the column's values are", value)
        if self.kind == "integer":
            inside = isinstance(value, int) and 0 <= value < self.size
            check(inside, key, f"must be one of 0 to size - 1, {self.size - 1}", value)

    def _is_default(self, key: str) -> bool:
        value = getattr(self, key)
        default = getattr(type(self), key)
        return bool(value == default)

    @property
    def has_ids(self) -> bool:
        """Whether its values become ids of the embedding table."""
        return self.kind not in ("number", "vector")

    @property
    def slots(self) -> int:
        """Number of ids a row carries for this field."""
        return self.max_length or 1

    @property
    def is_numeric(self) -> bool:
        """Whether the raw values are numbers, of which neighbours mean something alike."""
        return self.kind in ("log_round", "quantile", "number")

    @property
    def is_scaled(self) -> bool:
        """Whether the numbers of the training rows decide what a number means."""
        return self.kind in ("quantile", "number", "vector")

    @property
    def raw_dtype(self) -> Dtype:
        """The dtype of the raw column."""
        if self.kind == "integer":
            return "int64"
        if self.is_numeric or self.kind == "vector":
            return "float32"
        return self.dtype

    @property
    def largest_bucket(self) -> int:
        """The log-round bucket of `max_abs`; buckets run from its negative to it."""
        return round(self.scale * math.log1p(self.max_abs))

    def rows(self, vocabulary_size: int = 0) -> int:
        """Number of embedding rows of this field, with those of unseen and of missing values.

        A field without ids has none.

        Args:
            vocabulary_size: The number of values in the field's vocabulary, for kind "vocabulary".
                Default: 0.
        """
        if not self.has_ids:
            return 0
        values = {
            "vocabulary": vocabulary_size,
            "integer": self.size,
            "hash": self.buckets,
            "log_round": 2 * self.largest_bucket + 1,
            "quantile": self.buckets,  # those that repeated quantiles leave over are not read
        }
        return FIRST + values[self.kind]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The raw columns this field reads: its values and, if it has them, their weights."""
        values = self._column(self.column, self.raw_dtype)
        if not self.weights:
            return (values,)
        return (values, self._column(self.weights, "float32"))

    def _column(self, name: str, dtype: Dtype) -> Column:
        return Column(
            name=name,
            dtype=dtype,
            max_length=self.length or self.max_length,
            separator=self.separator,
            is_exact=self.kind == "vector",
        )
