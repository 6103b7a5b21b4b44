"""The files of a SavedModel."""

from __future__ import annotations

import logging
import pathlib
import uuid
from collections.abc import Sequence

import keras
from tensorflow.core.protobuf import fingerprint_pb2

from tafe_tf.export.log_records import only_records
from tafe_tf.export.signatures import Signatures
from tafe_tf.export.table_storage import StoredTable
from tafe_tf.features.graph import Features


def write(
    path: pathlib.Path,
    signatures: Signatures,
    features: Features,
    tables: Sequence[StoredTable],
) -> None:
    """Writes a SavedModel with all signatures, unchecked. The same run gives the same bytes.

    Args:
        path: The new directory.
        signatures: The functions to write.
        features: The feature graph that they call, with its vocabularies.
        tables: The embedding tables that they read.
    """
    archive = keras.export.ExportArchive()
    archive.track(features)  # its lookup tables and their vocabularies
    for table in tables:
        archive.track(table)
    functions = signatures.functions()
    with only_records(logging.getLogger("absl"), _is_of_no_argument):
        for name, (function, inputs) in functions.items():
            archive.add_endpoint(name, function, input_signature=inputs)
        archive.write_out(str(path), verbose=False)
    _name_by_content(path / "fingerprint.pb")


def _is_of_no_argument(record: logging.LogRecord) -> bool:
    """Whether a record is none of TensorFlow's warnings that it calls the input "user-id" user_id.

    They would mislead: whoever calls a signature gives the input by its own name.
    """
    return "is not a valid tf.function parameter name" not in record.getMessage()


def _name_by_content(path: pathlib.Path) -> None:
    """Replaces the random identity in a fingerprint by one that follows from its content."""
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = ""
    content = fingerprint.SerializeToString(deterministic=True)
    identity = uuid.uuid5(uuid.NAMESPACE_OID, content.hex())
    fingerprint.uuid = str(identity)
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
