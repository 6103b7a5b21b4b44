"""Small files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any


def write_json(path: str | pathlib.Path, value: Any) -> None:
    """Writes JSON beside `path` and renames it into place."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: str | pathlib.Path, text: str) -> None:
    """Writes a text file beside `path` and renames it into place."""
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
