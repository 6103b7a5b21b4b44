"""Flags that several of the commands which look at a model share; they bring no TensorFlow."""

from __future__ import annotations

from absl import flags

BY = flags.DEFINE_list(
    "by",
    [],
    "Columns, comma-separated, by whose values the rows are also measured. By default none.",
)
HTML = flags.DEFINE_string(
    "html",
    "",
    "File, or its URI, to write an HTML page to. By default none is written.",
)
