"""What is wrong with a block of raw Ali-CCP lines.

The lines are read again one by one, slowly, up to the first bad one.
"""

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
_LONGEST = 100  # characters of a value in a message; a list can be 100 kB long

Found = tuple[str, str, object] | None  # column, rule, value


def raise_for(
    path: str,
    block: bytes,
    first_row: int,
    *,
    skeleton: bool,
) -> None:
    """Raises BadRowError for the first bad line of a block, if there is one.

    Args:
        path: The file.
        block: Whole lines.
        first_row: The number of the first line, from 1.
        skeleton: Whether the lines are of a skeleton file or of a common one.
    """
    lines = [line for line in re.split(rb"\r\n|\n|\r", block) if line]
    for row, line in enumerate(lines, first_row):
        found = problem_of(line.decode(errors="backslashreplace"), skeleton)
        if found:
            BadRows().judge(
                path,
                np.array([row]),
                [Problem(0, *found)],
            )


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
        rule = _broken_rule(feature)
        if rule:
            return "feature_list", rule, _short(feature)
    if not _INTEGER.match(declared) or int(declared) != len(features):
        rule = f"must be the number of features in the list, {len(features)}"
        return "feature_num", rule, declared
    return None


def _broken_rule(feature: str) -> str | None:
    """The rule that a feature breaks, or None."""
    parts = re.split("[\x02\x03]", feature)
    separators = "".join(re.findall("[\x02\x03]", feature))
    if separators != "\x02\x03" or not parts[0]:
        return _FEATURE_RULE
    _, number, value = parts
    if not _INTEGER.match(number) or int(number) > _LARGEST:
        return "a feature's id must be an integer from 0 to 2^63 - 1"
    if not _is_finite(value):
        return "a feature's value must be a finite number"
    return None


def _is_finite(text: str) -> bool:
    try:
        with np.errstate(over="ignore"):
            return "_" not in text and math.isfinite(np.float32(text))
    except ValueError:
        return False


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
