"""Small files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tafe_tf.data.errors import DataError


def read_json(path: str | pathlib.Path) -> Any:
    """Reads a JSON file.

    Args:
        path: The file.

    Raises:
        DataError: If the file holds no JSON; the message starts with its name.
        OSError: If the file cannot be read.
    """
    text = pathlib.Path(path).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: holds no JSON: {error}") from None


def write_json(path: str | pathlib.Path, value: Any) -> None:
    """Writes JSON beside `path` and renames it into place."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: str | pathlib.Path, text: str) -> None:
    """Writes a text file beside `path` and renames it into place."""
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def write_arrays(path: str | pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as .npz beside `path` and renames it into place."""
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.tmp")
    with open(beside, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    os.replace(beside, path)
