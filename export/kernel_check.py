"""Whether the native kernel computes what a SavedModel's own operations compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tafe_tf.export import warmup
from tafe_tf.export.differences import largest_difference, tolerance_of
from tafe_tf.export.errors import ExportError
from tafe_tf.export.session_model import DEFAULT_SIGNATURE, SessionModel

# Of a probability: what the gate allows between an export and the model that was trained. Both ways
# round in float32, and a narrow smooth step makes more of it.
TOLERANCE = 1e-5


def check(served: SessionModel, signature: str, columns: Mapping[str, Any]) -> float:
    """Compares both ways of computing a signature on some rows.

    Args:
        served: A SavedModel whose signature the kernel computes.
        signature: The signature's name.
        columns: A value for every input of the signature.

    Returns:
        The largest difference between two probabilities; that of an amount counts by its own
        tolerance.

    Raises:
        ExportError: If it exceeds `TOLERANCE`.
        tf.errors.OpError: what the runtime finds wrong with the values.
    """
    by_kernel = served(columns, signature)
    stock = served(columns, signature, stock=True)
    differences = []
    for name in stock:
        difference = largest_difference(name, by_kernel[name], stock[name])
        differences.append(difference * TOLERANCE / tolerance_of(name, TOLERANCE))
    largest = float(np.max(differences))  # NaN if one is
    if not largest <= TOLERANCE:
        raise ExportError(
            f"{served.path}: signature {signature}: the native kernel's probabilities differ from "
            f"the SavedModel's by up to {largest:.1g}, more than {TOLERANCE:g}; --native=off "
            "computes without it, and `tafe native` checks the kernel itself when it builds it"
        )
    return largest


def check_warmup(served: SessionModel) -> float:
    """Compares both ways on the export's warm-up requests to `serving_default`.

    The other signatures call the function that this one calls.

    Args:
        served: A SavedModel whose signatures the kernel computes.

    Returns:
        The largest difference between two probabilities.

    Raises:
        ExportError: If it exceeds `TOLERANCE`, or there is no such request.
        ValueError: If the file of warm-up requests is damaged.
        tf.errors.OpError: what the runtime finds wrong with a request.
    """
    differences = []
    for request in warmup.read(served.path):
        if request.model_spec.signature_name == DEFAULT_SIGNATURE:
            columns = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            differences.append(check(served, DEFAULT_SIGNATURE, columns))
    if not differences:
        raise ExportError(f"{served.path}: there is no warm-up request to compare the kernel on")
    return max(differences)
