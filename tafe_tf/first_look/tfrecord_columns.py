"""Which columns the records of a TFRecord file have. This module imports TensorFlow."""

from __future__ import annotations

import tensorflow as tf

from tafe_tf.data.errors import DataError
from tafe_tf.data.formats.tfrecord_kinds import first_records


def find(path: str, records: int) -> tuple[list[str], set[str]]:
    """Finds the columns of a file, and those among them that hold lists.

    Args:
        path: The file.
        records: How many records to look at. A column is one of lists if any of them holds more
            than one value of it.

    Raises:
        DataError: If a record is no `tf.train.Example`, or the file is damaged.
    """
    names: dict[str, None] = {}
    lists: set[str] = set()
    try:
        for serialized in first_records(path, records):
            example = tf.train.Example.FromString(serialized)
            for name, feature in example.features.feature.items():
                kind = feature.WhichOneof("kind")
                if kind is None:
                    continue
                names[name] = None
                if len(getattr(feature, kind).value) > 1:
                    lists.add(name)
    except DataError:
        raise
    except (tf.errors.OpError, ValueError, OSError) as error:
        reason = str(error).partition("{{")[0]
        raise DataError(f"{path}: cannot be read: {reason}") from None
    except Exception as error:  # protobuf's own error, of whichever of its implementations
        if type(error).__name__ != "DecodeError":
            raise
        raise DataError(f"{path}: cannot be read: a record is no tf.train.Example") from None
    return sorted(names), lists
