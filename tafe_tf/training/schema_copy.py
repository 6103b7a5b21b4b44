"""The text of a schema for a copy in another folder."""

from __future__ import annotations

from tafe_tf import schema_toml
from tafe_tf.features import vector_files
from tafe_tf.schema import Schema
from tafe_tf.storage.texts import read_text


def text_of_copy(schema: Schema, schema_file: str) -> str:
    """The text of a schema's file, for a copy in another folder.

    Where a path (`pretrained`) would mean another file there, the schema is written anew with whole
    paths.

    Args:
        schema: What the file says.
        schema_file: The file, a path or a URI.
    """
    with_paths = vector_files.with_paths_from(schema, schema_file)
    return read_text(schema_file) if with_paths == schema else schema_toml.dump(with_paths)
