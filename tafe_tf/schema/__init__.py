"""What a dataset is: its features, its funnel of tasks and its special columns.

`tafe_tf.schema_toml` reads a schema from a TOML file, or from a dict with the same keys, and writes
it back.
"""

from tafe_tf.schema.amounts import Amount, is_probability
from tafe_tf.schema.columns import ABSENT, Column, Dtype
from tafe_tf.schema.dataset import MISSING_TEXTS, ORDERS, Schema
from tafe_tf.schema.features import FIRST, MISSING, MOST_ROWS, OF_OWNER, UNSEEN, Feature
from tafe_tf.schema.rules import SchemaError
from tafe_tf.schema.scores import RANK_SCORE, RANKS, SCORE, Score
from tafe_tf.schema.sequences import SequenceField
from tafe_tf.schema.tasks import UNKNOWN, Task

__all__ = [
    "ABSENT",
    "FIRST",
    "MISSING",
    "MISSING_TEXTS",
    "MOST_ROWS",
    "OF_OWNER",
    "ORDERS",
    "RANKS",
    "RANK_SCORE",
    "SCORE",
    "UNKNOWN",
    "UNSEEN",
    "Amount",
    "Column",
    "Dtype",
    "Feature",
    "Schema",
    "SchemaError",
    "Score",
    "SequenceField",
    "Task",
    "is_probability",
]
