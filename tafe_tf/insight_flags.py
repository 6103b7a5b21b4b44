"""Flags that several of the commands which look at a model share; they bring no TensorFlow."""

from __future__ import annotations

from absl import flags

BY = flags.DEFINE_list(
    "by",
    [],
    "Columns, comma-separated, by whose values the rows are also measured. By default none.",
)
DAY = flags.DEFINE_string(
    "day",
    "",
    "Column with the day of each row, for the lift of one model over another by day. By default "
    "there is none.",
)
FIGURES = flags.DEFINE_string(
    "figures",
    "",
    "Folder to write the paper's figures to, as SVG files. By default none are written.",
)
HTML = flags.DEFINE_string(
    "html",
    "",
    "File, or its URI, to write an HTML page to. By default none is written.",
)
JSON = flags.DEFINE_bool("json", False, "Whether to print JSON instead of tables.")
