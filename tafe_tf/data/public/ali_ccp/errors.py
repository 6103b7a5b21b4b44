"""What is wrong with a block of raw Ali-CCP lines: they are read again one by one, slowly, up to the first bad one."""

from __future__ import annotations

import math
import re

import numpy as np

from tafe_tf.data.bad_rows import WHOLE_ROW, BadRows, Problem

SKELETON_CELLS = (
    "sample_id",
    "click",
    "conversion",
    "common_feature_index",
    "feature_num",
    "feature_list",
)
COMMON_CELLS = ("common_feature_index", "feature_num", "feature_list")

_KEY = re.compile(r"[0-9a-f]{16}\Z")
_INTEGER = re.compile(r"[0-9]+\Z")
_FEATURE_RULE = r"a feature must be field, \x02, id, \x03, value, and \x01 between two"
_LARGEST = 2**63 - 1

Found = tuple[str, str, object] | None  # column, rule, value


def raise_for(path: str, block: bytes, first_row: int, *, skeleton: bool) -> None:
    """Raises BadRowError for the first bad line of a block, if there is one.

    Args:
        path: the file.
        block: whole lines.
        first_row: number of the first line, from 1.
        skeleton: whether the lines are of a skeleton file or of a common one.
    """
    lines = [line for line in re.split(rb"\r\n|\n|\r", block) if line]
    for row, line in enumerate(lines, first_row):
        if found := problem_of(line.decode(errors="backslashreplace"), skeleton):
            BadRows().judge(path, np.array([row]), [Problem(0, *found)])


def problem_of(line: str, skeleton: bool) -> Found:
    """What is wrong with one line: column, rule and value; None if nothing is."""
    names = SKELETON_CELLS if skeleton else COMMON_CELLS
    cells = line.split(",")
    if len(cells) != len(names):
        return WHOLE_ROW, f"must have {len(names)} cells", _short(line)
    row = dict(zip(names, cells, strict=True))
    for name in ("click", "conversion"):
        if row.get(name, "0") not in ("0", "1"):
            return name, "a label must be 0 or 1", row[name]
    key = row["common_feature_index"]
    if not _KEY.match(key):
        return "common_feature_index", "must be 16 hexadecimal digits", key
    return _list_problem(row["feature_list"], row["feature_num"])


def _list_problem(text: str, declared: str) -> Found:
    features = text.split("\x01") if text else []
    for feature in features:
        parts = re.split("[\x02\x03]", feature)
        if (
            len(parts) != 3
            or "".join(c for c in feature if c in "\x02\x03") != "\x02\x03"
            or not parts[0]
        ):
            return "feature_list", _FEATURE_RULE, _short(feature)
        if not _INTEGER.match(parts[1]) or int(parts[1]) > _LARGEST:
            return (
                "feature_list",
                "a feature's id must be an integer from 0 to 2^63 - 1",
                _short(feature),
            )
        if not _is_finite(parts[2]):
            return "feature_list", "a feature's value must be a finite number", _short(feature)
    if not _INTEGER.match(declared) or int(declared) != len(features):
        return (
            "feature_num",
            f"must be the number of features in the list, {len(features)}",
            declared,
        )
    return None


def _is_finite(text: str) -> bool:
    try:
        with np.errstate(over="ignore"):
            return "_" not in text and math.isfinite(np.float32(text))
    except ValueError:
        return False


def _short(text: str) -> str:
    """A list can be 100 kB long."""
    return text if len(text) <= 100 else f"{text[:100]}..."
